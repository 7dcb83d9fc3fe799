"""`ringway call`'s side of FastAGI, against Asterisk's own writing and reading."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.agi.client import AgiClientError, ask, environment, read_mset
from router.agi.messages import mset, pair, parse_environment
from tests.fastagi import ENVIRONMENT, executed

VALUES = st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]), max_size=40)
HOSTILE = st.text(st.sampled_from('\\",()[]=${}; aé😀'), max_size=40)


def test_a_call_has_every_key_in_asterisks_order() -> None:
    lines = environment("02079460000", "07700900123", "call.1").decode().split("\n")
    assert [line.partition(": ")[0] for line in lines[:-2]] == list(ENVIRONMENT)
    assert lines[-2:] == ["", ""]


def test_a_call_says_what_is_asked() -> None:
    request = parse_environment(environment("020 7946 0000", "07700900123", "call.1")[:-2])
    assert (request.extension, request.dnid) == ("020 7946 0000", "020 7946 0000")
    assert (request.caller_id, request.calling_presentation) == ("07700900123", "0")
    assert (request.unique_id, request.script) == ("call.1", "route")


def test_a_call_without_a_caller_is_a_withheld_one() -> None:
    request = parse_environment(environment("1", "", "call.1")[:-2])
    assert request.caller_id == "unknown"
    assert int(request.calling_presentation) & 0x60


@pytest.mark.parametrize("text", ["1\n", "\n1", "1\r", "1\0", "1\nagi_extension: 2"])
def test_text_that_cannot_stand_in_a_line_is_not_sent(text: str) -> None:
    for did, caller in ((text, ""), ("1", text)):
        with pytest.raises(AgiClientError):
            environment(did, caller, "call.1")


def test_bytes_of_a_command_line_that_are_no_text_are_sent_as_they_are() -> None:
    assert b"agi_extension: 1\xff2\n" in environment("1\udcff2", "", "call.1")


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


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server of one call; `answer` gets the connection when the block has come."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                block = b""
                while not block.endswith(b"\n\n"):
                    block += connection.recv(4096)
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join(30)
            assert not thread.is_alive()


def test_the_variables_of_several_commands_come_in_their_order() -> None:
    def answer(connection: socket.socket) -> None:
        for line in (b'EXEC MSet "PARAM_A=1"\n', b'EXEC MSet "ROUTE_ID=x,ROUTE_STATUS=OK"\n'):
            connection.sendall(line)
            assert connection.recv(100) == b"200 result=0\n"

    with server(answer) as port:
        said = ask("127.0.0.1", port, "1", "", "call.1", 30)
    assert list(said.items()) == [("PARAM_A", "1"), ("ROUTE_ID", "x"), ("ROUTE_STATUS", "OK")]


@pytest.mark.parametrize("sent", [b"", b'EXEC MSet "ROUTE_ID=x"\n', b'EXEC MSet "ROUTE_STATUS=NO"\n'])
def test_a_router_that_does_not_decide_is_told(sent: bytes) -> None:
    def answer(connection: socket.socket) -> None:
        if sent:
            connection.sendall(sent)
            connection.recv(100)

    with server(answer) as port, pytest.raises(AgiClientError, match="without a decision"):
        ask("127.0.0.1", port, "1", "", "call.1", 30)


def test_a_router_that_stalls_is_not_waited_for_for_ever() -> None:
    gone = threading.Event()

    def stall(_: socket.socket) -> None:
        gone.wait(30)

    with server(stall) as port:
        with pytest.raises(TimeoutError):
            ask("127.0.0.1", port, "1", "", "call.1", 0.05)
        gone.set()


def test_nobody_there_is_an_error_of_the_system() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            ask("127.0.0.1", bound.getsockname()[1], "1", "", "call.1", 30)
