"""The commands' side of FastAGI, against Asterisk's own writing and reading."""

import contextlib
import itertools
import re
import socket
import struct
import threading
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.agi import client
from router.agi.client import AgiClientError, UnsendableError, ask_attempt, ask_route, environment, read_mset
from router.agi.messages import AgiRequest, mset, pair, parse_environment
from router.config.limits import ANSWER_MAX_BYTES, ANSWER_MAX_COMMANDS
from router.util import until
from tests.fastagi import ENVIRONMENT, executed

VALUES = st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]), max_size=40)
HOSTILE = st.text(st.sampled_from('\\",()[]=${}; aé😀'), max_size=40)


def asked(did: str = "1", caller: str = "07700900123", *arguments: str) -> AgiRequest:
    return AgiRequest("route", "", "call.1", caller, "0", did, did, arguments)


def test_a_request_has_every_key_in_asterisks_order() -> None:
    lines = environment(asked()).decode().split("\n")
    assert [line.partition(": ")[0] for line in lines[:-2]] == list(ENVIRONMENT)
    assert lines[-2:] == ["", ""]
    lines = environment(asked("1", "2", "a", "b")).decode().split("\n")
    assert lines[len(ENVIRONMENT) :] == ["agi_arg_1: a", "agi_arg_2: b", "", ""]


def test_a_request_is_to_the_letter() -> None:
    asked_so = AgiRequest("route", "params", "call.1", "07700900123", "0", "02079460000", "s", ("1", ""))
    assert environment(asked_so).decode().splitlines() == [
        "agi_network: yes",
        "agi_network_script: route?params",
        "agi_request: agi://localhost/route?params",
        "agi_channel: Ringway/call",
        "agi_language: en",
        "agi_type: Ringway",
        "agi_uniqueid: call.1",
        "agi_version: unknown",
        "agi_callerid: 07700900123",
        "agi_calleridname: unknown",
        "agi_callingpres: 0",
        "agi_callingani2: unknown",
        "agi_callington: unknown",
        "agi_callingtns: unknown",
        "agi_dnid: 02079460000",
        "agi_rdnis: unknown",
        "agi_context: ringway-inbound",
        "agi_extension: s",
        "agi_priority: 1",
        "agi_enhanced: 0.0",
        "agi_accountcode: unknown",
        "agi_threadid: unknown",
        "agi_arg_1: 1",
        "agi_arg_2: ",
        "",
    ]


REQUESTS = st.builds(
    AgiRequest,
    script=st.sampled_from(["route", "caller-id", "attempt"]),
    query=st.sampled_from(["", "params"]),
    unique_id=VALUES,
    caller_id=VALUES,
    calling_presentation=VALUES,
    dnid=VALUES,
    extension=VALUES,
    arguments=st.lists(VALUES, max_size=9).map(tuple),
)


@given(REQUESTS)
def test_a_router_reads_the_request_that_was_asked(request: AgiRequest) -> None:
    assert parse_environment(environment(request)[:-2]) == request


@pytest.mark.parametrize("text", ["1\n", "\n1", "1\r", "1\0", "1\nagi_extension: 2"])
def test_text_that_cannot_stand_in_a_line_is_not_sent(text: str) -> None:
    for request in (asked(text), asked("1", text), asked("1", "2", "a", text)):
        with pytest.raises(UnsendableError, match="leave out line feeds and NUL"):
            environment(request)


def test_bytes_of_a_command_line_that_are_no_text_are_sent_as_they_are() -> None:
    assert b"agi_extension: 1\xff2\n" in environment(asked("1\udcff2"))


@given(st.dictionaries(st.from_regex(r"[A-Z_]{1,9}", fullmatch=True), VALUES | HOSTILE, min_size=1, max_size=9))
def test_a_command_is_read_as_asterisk_reads_it(variables: dict[str, str]) -> None:
    command = mset([*(pair(*each) for each in variables.items()), "ROUTE_STATUS=OK"])
    assert list(read_mset(command.decode().rstrip("\n")).items()) == [
        (name, value) for name, value in executed(command, 99) if name in variables or name == "ROUTE_STATUS"
    ]


@pytest.mark.parametrize("line", ["", "NOOP", 'EXEC Set "A=1"', "EXEC MSet A=1", 'EXEC MSet "A=1', "HTTP/1.1 400 Bad"])
def test_anything_but_the_one_command_is_not_understood(line: str) -> None:
    with pytest.raises(AgiClientError, match="not the expected command"):
        read_mset(line)


@pytest.mark.parametrize(
    ("pairs", "variables"),
    [
        (r"A=x\\\\,B=1", {"A": "x\\", "B": "1"}),
        (r"A=x\\", {"A": "x"}),  # one that escapes nothing is nothing
        ("A,B=1,C", {"": "C", "B": "1"}),
        ("", {"": ""}),
        ("A=b=c", {"A": "b=c"}),
    ],
)
def test_what_no_router_writes_is_read_as_asterisk_reads_it_too(pairs: str, variables: dict[str, str]) -> None:
    assert read_mset(f'EXEC MSet "{pairs}"') == variables


@contextmanager
def server(answer: Callable[[socket.socket], None], blocks: list[bytes] | None = None) -> Iterator[int]:
    """A server of one call; `answer` gets the connection when the block has come, which goes into `blocks`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                block = b""
                while not block.endswith(b"\n\n"):
                    block += connection.recv(4096)
                if blocks is not None:
                    blocks.append(block)
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join(30)
            assert not thread.is_alive()


def saying(command: bytes) -> Callable[[socket.socket], None]:
    """A server's answer of one command, or of none."""

    def answer(connection: socket.socket) -> None:
        if command:
            connection.sendall(command)
            connection.recv(100)

    return answer


def test_the_variables_of_several_commands_come_in_their_order() -> None:
    def answer(connection: socket.socket) -> None:
        for line in (b'EXEC MSet "PARAM_A=1"\n', b'EXEC MSet "ROUTE_ID=x,ROUTE_STATUS=OK"\n'):
            connection.sendall(line)
            assert connection.recv(100) == b"200 result=0\n"

    with server(answer) as port:
        said = ask_route("127.0.0.1", port, "1", "", "call.1", 30)
    assert list(said.items()) == [("PARAM_A", "1"), ("ROUTE_ID", "x"), ("ROUTE_STATUS", "OK")]


@pytest.mark.parametrize(("caller", "said", "withheld"), [("07700900123", "07700900123", False), ("", "unknown", True)])
def test_a_call_is_asked_for_by_its_numbers(caller: str, said: str, withheld: bool) -> None:
    blocks: list[bytes] = []
    with server(saying(b'EXEC MSet "ROUTE_STATUS=OK"\n'), blocks) as port:
        ask_route("127.0.0.1", port, "020 7946 0000", caller, "call.1", 30)
    request = parse_environment(blocks[0][:-2])
    assert (request.script, request.query, request.unique_id, request.arguments) == ("route", "", "call.1", ())
    assert (request.extension, request.dnid) == ("020 7946 0000", "020 7946 0000")
    assert (request.caller_id, bool(int(request.calling_presentation) & 0x60)) == (said, withheld)


@pytest.mark.parametrize("status", ["OK", "LATER", "REFUSED"])
def test_an_attempt_is_reported_and_its_status_returned(status: str) -> None:
    blocks: list[bytes] = []
    answer = f'EXEC MSet "ATTEMPT_STATUS={status}"\n'.encode()
    with server(saying(answer), blocks) as port:
        assert ask_attempt("127.0.0.1", port, ["id-1", "win-back", "a, b"], "call.1", 30) == status
    arguments = ("id-1", "win-back", "a, b")
    assert parse_environment(blocks[0][:-2]) == AgiRequest(
        "attempt", "", "call.1", "unknown", "67", "unknown", "s", arguments
    )


@pytest.mark.parametrize("sent", [b"", b'EXEC MSet "ATTEMPT_STATUS=MAYBE"\n', b'EXEC MSet "ROUTE_STATUS=OK"\n'])
def test_a_router_that_says_nothing_of_the_attempt_is_told(sent: bytes) -> None:
    with server(saying(sent)) as port, pytest.raises(AgiClientError, match="attempt"):
        ask_attempt("127.0.0.1", port, ["id-1"], "call.1", 30)


@pytest.mark.parametrize("sent", [b"", b'EXEC MSet "ROUTE_ID=x"\n', b'EXEC MSet "ROUTE_STATUS=NO"\n'])
def test_a_router_that_does_not_decide_is_told(sent: bytes) -> None:
    with server(saying(sent)) as port, pytest.raises(AgiClientError, match="without a decision"):
        ask_route("127.0.0.1", port, "1", "", "call.1", 30)


def test_a_router_that_stalls_is_not_waited_for_for_ever() -> None:
    gone = threading.Event()

    def stall(_: socket.socket) -> None:
        gone.wait(30)

    with server(stall) as port:
        with pytest.raises(TimeoutError):
            ask_route("127.0.0.1", port, "1", "", "call.1", 0.05)
        gone.set()


def test_an_address_that_takes_no_connection_is_not_waited_for_for_ever() -> None:
    with socket.socket() as full, contextlib.ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # more than it queues: the kernel leaves the next one without a word
            other = waiting.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(full.getsockname())
        with pytest.raises(TimeoutError):
            ask_route("127.0.0.1", full.getsockname()[1], "1", "", "call.1", 0.05)


def test_when_the_last_moment_has_come_nothing_is_tried_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time left is none: it does not make the socket one that never waits."""
    monkeypatch.setattr(client, "time", types.SimpleNamespace(monotonic=lambda: 1_000.0))
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(TimeoutError):
        ask_route("127.0.0.1", listener.getsockname()[1], "1", "", "call.1", 0)


@pytest.mark.parametrize("said", [b'EXEC MSet "ROUTE_STATUS=O', b"EXEC", b"\xff"])
def test_a_command_that_is_cut_off_is_shown_and_is_no_answer(said: bytes) -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(said)

    shown = f"not the expected command: {said.decode('utf-8', 'replace')!r}"
    with server(answer) as port, pytest.raises(AgiClientError, match=re.escape(shown)):
        ask_route("127.0.0.1", port, "1", "", "call.1", 30)


def test_bytes_of_an_answer_that_are_no_utf_8_are_replaced_and_the_rest_is_read() -> None:
    with server(saying(b'EXEC MSet "ROUTE_ID=x\xff,ROUTE_STATUS=OK"\n')) as port:
        said = ask_route("127.0.0.1", port, "1", "", "call.1", 30)
    assert said == {"ROUTE_ID": "x\N{REPLACEMENT CHARACTER}", "ROUTE_STATUS": "OK"}


# --- a router that goes on for ever, or goes behind its answer --------------------------------------------------------

TAKEN = b'EXEC MSet "ATTEMPT_STATUS=OK"\n'


def attempt_status(answer: Callable[[socket.socket], None]) -> str:
    with server(quietly(answer)) as port:
        return ask_attempt("127.0.0.1", port, ["id-1"], "call.1", 30)


def quietly(answer: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
    """The same, for a server whose peer may go first."""

    def run(connection: socket.socket) -> None:
        with contextlib.suppress(ConnectionError):
            answer(connection)

    return run


def commands(connection: socket.socket) -> None:
    while True:
        connection.sendall(b'EXEC MSet "A=1"\n' * 50)


def flood(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"x" * 65_536)


@pytest.mark.parametrize("before", [b"", TAKEN])
def test_one_deadline_is_for_all_of_it(before: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte a second, each of them in time."""
    seconds = itertools.count()
    passed = time.monotonic()
    for module in (client, until):
        monkeypatch.setattr(module, "time", types.SimpleNamespace(monotonic=lambda: passed))

    def answer(connection: socket.socket) -> None:
        nonlocal passed
        connection.sendall(before)
        if before:
            connection.recv(100)
        while next(seconds) < 100:
            passed += 1
            connection.sendall(b"E")

    if before:
        assert attempt_status(answer) == "OK"
    else:
        with pytest.raises(TimeoutError):
            attempt_status(answer)


@pytest.mark.parametrize("endless", [commands, flood])
def test_an_answer_without_an_end_is_refused_at_its_bound(endless: Callable[[socket.socket], None]) -> None:
    with pytest.raises(AgiClientError, match="more came than any router answers"):
        attempt_status(endless)


def test_one_command_more_than_any_router_sends_is_refused_however_short() -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(b'EXEC MSet "A=1"\n' * (ANSWER_MAX_COMMANDS + 1))
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass

    with pytest.raises(AgiClientError, match="more came than any router answers"):
        attempt_status(answer)


def test_the_longest_answer_is_taken() -> None:
    assert ANSWER_MAX_COMMANDS * 2_047 < ANSWER_MAX_BYTES

    def answer(connection: socket.socket) -> None:
        line = b'EXEC MSet "A=' + b"x" * 2_000 + b'"\n'
        for command in [line] * (ANSWER_MAX_COMMANDS - 1) + [TAKEN]:
            connection.sendall(command)
            connection.recv(100)

    assert attempt_status(answer) == "OK"


def resets(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def reads_then_resets(connection: socket.socket) -> None:
    connection.recv(100)
    resets(connection)


def goes(_: socket.socket) -> None:
    """With our reply unread, or before it comes."""


def talks_on(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 400 Bad Request\n")


@pytest.mark.parametrize("then", [resets, reads_then_resets, goes, talks_on, commands, flood])
@pytest.mark.parametrize("status", ["OK", "LATER", "REFUSED"])
def test_what_was_said_of_an_attempt_stands_whatever_the_router_does_then(
    then: Callable[[socket.socket], None], status: str
) -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(f'EXEC MSet "ATTEMPT_STATUS={status}"\n'.encode())
        then(connection)

    assert attempt_status(answer) == status


@pytest.mark.parametrize("then", [resets, reads_then_resets, goes, talks_on])
def test_a_route_stands_once_its_status_is_set_and_not_before(then: Callable[[socket.socket], None]) -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(said)
        then(connection)

    said = b'EXEC MSet "ROUTE_ID=x,ROUTE_STATUS=OK"\n'
    with server(quietly(answer)) as port:
        assert ask_route("127.0.0.1", port, "1", "", "call.1", 30) == {"ROUTE_ID": "x", "ROUTE_STATUS": "OK"}
    said = b'EXEC MSet "ROUTE_ID=x"\n'
    with server(quietly(answer)) as port, pytest.raises((OSError, AgiClientError)):
        ask_route("127.0.0.1", port, "1", "", "call.1", 30)


def test_a_silent_router_is_left_with_the_answer_that_it_has_given(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = threading.Event()
    left = iter([30.0] * 2)  # to read, to reply; it is the next reading that is in vain
    monkeypatch.setattr(client, "left", lambda _: next(left, 0.05))

    def answer(connection: socket.socket) -> None:
        connection.sendall(TAKEN)
        gone.wait(30)

    with server(answer) as port:
        assert ask_attempt("127.0.0.1", port, ["id-1"], "call.1", 30) == "OK"
        gone.set()


@pytest.mark.parametrize(("later", "status"), [("LATER", "LATER"), ("", None)])
def test_of_two_words_about_an_attempt_the_later_one_holds_and_a_revoked_one_is_none(
    later: str, status: str | None
) -> None:
    """As in Asterisk; a router that revokes sends all of it at once and closes its side."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(TAKEN + f'EXEC MSet "ATTEMPT_STATUS={later}"\n'.encode())
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(100):
            pass

    if status is not None:
        assert attempt_status(answer) == status
    else:
        with pytest.raises(AgiClientError, match="without a word about the attempt"):
            attempt_status(answer)


def test_the_next_address_of_a_host_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        dead = gone.getsockname()
    with server(saying(TAKEN)) as port:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in (dead, dead, ("127.0.0.1", port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        assert ask_attempt("host", port, ["id-1"], "call.1", 30) == "OK"


def test_only_addresses_for_streams_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """One for datagrams would take anything and never answer."""
    found: list[tuple[object, ...]] = []
    real = socket.getaddrinfo

    def look_up(*asked: object, **how: object) -> list[tuple[object, ...]]:
        found[:] = real(*asked, **how)  # type: ignore[arg-type]
        return found

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with server(saying(TAKEN)) as port:
        assert ask_attempt("127.0.0.1", port, ["id-1"], "call.1", 30) == "OK"
    assert {kind for _, kind, *_ in found} == {socket.SOCK_STREAM}


def test_a_host_without_an_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])
    with pytest.raises(OSError, match="the host has no address"):
        ask_route("host", 1, "1", "", "call.1", 30)


def test_nobody_there_is_an_error_of_the_system() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            ask_route("127.0.0.1", bound.getsockname()[1], "1", "", "call.1", 30)
