"""One connection's bytes, whole, in pieces and hostile: the session gives events or says why not, and never guesses."""

import itertools
from collections.abc import Iterable, Iterator, Sequence

import pytest

from router.agi.messages import AgiError, AgiReply, AgiRequest, Hangup, Refused
from router.agi.session import AgiSession, State
from router.config.limits import AGI_HANGUPS_MAX, ENVIRONMENT_MAX_BYTES, REPLY_MAX_BYTES, USAGE_MAX_BYTES
from tests.fastagi import ENVIRONMENT, environment, environment_lines

BLOCK = environment()
OK = AgiReply(200, "result=0")
USAGE = (
    b"520-Invalid command syntax.  Proper usage follows:\n"
    b"Usage: EXEC <application>\n\n  Runs it.\n520 End of proper usage.\n"
)
Outcome = AgiRequest | AgiReply | Hangup | Refused


def drive(pieces: Iterable[bytes]) -> tuple[list[Outcome], AgiSession]:
    """What comes out of a session whose owner answers each request and each refusal with one command."""
    session = AgiSession()
    outcomes: list[Outcome] = []
    for piece in pieces:
        if not session.receive(piece):
            assert session.next_event() is None
            continue
        outcomes += _taken(session)
    return outcomes, session


def _taken(session: AgiSession) -> Iterator[Outcome]:
    while True:
        try:
            event = session.next_event()
        except AgiError as error:
            yield error.cause
            if session.state is State.REFUSED and error.cause not in (Refused.NOT_AGI, Refused.TOO_LONG):
                session.send(b"a fallback\n")
                continue
            return
        if event is None:
            return
        yield event
        if isinstance(event, AgiRequest):
            assert session.state is State.ANSWERING
            session.send(b"a command\n")


def bytewise(data: bytes) -> list[bytes]:
    return [data[place : place + 1] for place in range(len(data))]


def outcomes_of(pieces: Iterable[bytes]) -> list[Outcome]:
    return drive(pieces)[0]


@pytest.fixture
def request_() -> AgiRequest:
    event = outcomes_of([BLOCK])[0]
    assert isinstance(event, AgiRequest)
    return event


def test_a_block_is_a_request_and_a_reply_ends_the_command(request_: AgiRequest) -> None:
    outcomes, session = drive([BLOCK, b"200 result=0\n"])
    assert outcomes == [request_, OK]
    assert session.state is State.ANSWERING
    assert not session.forged


def test_the_block_may_come_a_line_a_write(request_: AgiRequest) -> None:
    assert outcomes_of([*environment_lines(), b"200 result=0\n"]) == [request_, OK]


def test_the_block_may_come_byte_by_byte(request_: AgiRequest) -> None:
    assert outcomes_of(bytewise(BLOCK + b"200 result=0\nHANGUP\n")) == [request_, OK]


def test_the_block_may_be_cut_anywhere(request_: AgiRequest) -> None:
    for place in range(len(BLOCK) + 1):
        assert outcomes_of([BLOCK[:place], BLOCK[place:]]) == [request_], place


def test_the_end_of_the_block_may_be_cut_in_every_way(request_: AgiRequest) -> None:
    tail = 12
    for cuts in itertools.product([False, True], repeat=tail):
        pieces = [BLOCK[:-tail]]
        for place, cut in enumerate(cuts, start=len(BLOCK) - tail):
            if cut:
                pieces.append(b"")
            pieces[-1] += BLOCK[place : place + 1]
        assert outcomes_of(pieces) == [request_], cuts


def test_empty_pieces_change_nothing(request_: AgiRequest) -> None:
    pieces = [piece for line in environment_lines() for piece in (b"", line, b"")]
    assert outcomes_of([b"", *pieces, b"", b"200 result=0\n", b""]) == [request_, OK]


@pytest.mark.parametrize(
    ("data", "reply"),
    [
        (b"200 result=0\n", OK),
        (b"200 result=-2\n", AgiReply(200, "result=-2")),
        (b"510 Invalid or unknown command\n", AgiReply(510, "Invalid or unknown command")),
        (b"511 Command Not Permitted on a dead channel\n", AgiReply(511, "Command Not Permitted on a dead channel")),
        (USAGE, AgiReply(520, "Invalid command syntax.  Proper usage follows:")),
        (b"520-a\n520-b\nc\n520 d\n", AgiReply(520, "a")),
    ],
)
@pytest.mark.parametrize("before", [b"", b"HANGUP\n", b"HANGUP\nHANGUP\n"])
@pytest.mark.parametrize("after", [b"", b"HANGUP\n"])
def test_a_reply_is_read_in_every_split_with_hangups_around_it(
    data: bytes, reply: AgiReply, before: bytes, after: bytes
) -> None:
    whole = before + data + after
    expected = [reply]
    splits = [[whole[:place], whole[place:]] for place in range(len(whole) + 1)]
    for pieces in [*splits, bytewise(whole)]:
        outcomes, session = drive([BLOCK, *pieces])
        assert [outcome for outcome in outcomes[1:] if outcome != Hangup()] == expected, pieces
        assert (Hangup() in outcomes) is bool(before)
        assert not session.forged


@pytest.mark.parametrize(
    ("data", "replies"),
    [
        (b"520-a\nagi_context: x\n\n200 result=0\n", [AgiReply(200, "result=0", forged=True)]),
        (b"520-a\nagi_x\n520 b\n", [AgiReply(520, "b", forged=True)]),
        (b"520-a\n510 c\n", [AgiReply(510, "c", forged=True)]),
        (b"520-a\nb\n520-c\n510\n", [AgiReply(510, "", forged=True)]),
        (b"520-a\n\n\n200 result=0\n", [AgiReply(200, "result=0", forged=True)]),
        (b"520-a\n510-b\nc\n510 d\n", [AgiReply(510, "b", forged=True)]),
        (b"520-a\n520\n", [AgiReply(520, "", forged=True)]),
        (b"520-a\n agi_x\n 510 c\n5200 d\n51\n520 b\n", [AgiReply(520, "a")]),
        (b"520-" + b"a" * (USAGE_MAX_BYTES - 20) + b"\n520 b\n", [AgiReply(520, "a" * (USAGE_MAX_BYTES - 20))]),
    ],
)
def test_a_block_of_usage_text_with_lines_that_no_such_text_has_is_no_reply(
    data: bytes, replies: list[AgiReply]
) -> None:
    places = range(0, len(data) + 1, max(1, len(data) // 60))
    for pieces in [*([data[:place], data[place:]] for place in places), bytewise(data)]:
        outcomes, session = drive([BLOCK, *pieces])
        assert outcomes[1:] == replies, pieces
        assert session.forged is replies[0].forged


def test_a_block_of_usage_text_longer_than_asterisks_is_no_reply() -> None:
    begin = b"520-a\n" + b"usage\n" * (USAGE_MAX_BYTES // 6)
    for pieces in ([begin, b"200 result=0\n"], [begin + b"20", b"0 result=0\n"]):
        assert outcomes_of([BLOCK, *pieces])[1:] == [AgiReply(200, "result=0", forged=True)]
    for size, is_forged in ((USAGE_MAX_BYTES, False), (USAGE_MAX_BYTES + 1, True)):
        begin = b"520-".ljust(size - 1, b"a") + b"\n"
        assert drive([BLOCK, begin, b"520 b\n"])[1].forged is is_forged


def test_what_comes_before_usage_text_does_not_count_for_its_length() -> None:
    begin = b"520-".ljust(USAGE_MAX_BYTES - 1, b"a") + b"\n"
    outcomes = outcomes_of([BLOCK, b"x\n" * 100 + begin, b"520 b\n"])
    assert outcomes[1:] == [AgiReply(520, "a" * (USAGE_MAX_BYTES - 5), forged=True)]


@pytest.mark.parametrize("before", range(AGI_HANGUPS_MAX + 2))
@pytest.mark.parametrize("after", range(AGI_HANGUPS_MAX + 2))
def test_more_notices_of_a_hangup_than_asterisk_gives_are_forged(before: int, after: int) -> None:
    data = b"HANGUP\n" * before + b"200 result=0\n" + b"HANGUP\n" * after
    for pieces in ([data], bytewise(data), [b"HANGUP\n"] * before + [b"200 result=0\n"] + [b"HANGUP\n"] * after):
        assert drive([BLOCK, *pieces])[1].forged is (before + after > AGI_HANGUPS_MAX)


@pytest.mark.parametrize(
    ("come", "suspect"),
    [
        (b"", False),
        (b"HANGUP\n", False),
        (b"200 result=0\n", False),
        (b"200 result=0\nHANGUP\n", False),
        (b"2", True),
        (b"x", True),
        (b"x\n", True),
        (b"520-x\n", True),
        (b"x\n200 result=0\n", True),
    ],
)
def test_a_session_is_suspect_from_the_first_byte_that_is_no_reply(come: bytes, suspect: bool) -> None:
    assert drive([BLOCK, come])[1].suspect is suspect


def test_after_the_last_commands_nothing_is_sent_or_kept() -> None:
    session = AgiSession()
    session.receive(BLOCK)
    session.next_event()
    session.send(b"X\n")
    session.receive(b"x\n20")
    session.next_event()
    session.send_last()
    assert session.state is State.CLOSED
    assert _held(session) == [b""]
    assert not session.receive(b"0 result=0\n")
    assert session.next_event() is None
    assert _held(session) == [b""]
    with pytest.raises(RuntimeError, match="after the end"):
        session.send_last()


def test_replies_alternate_with_commands() -> None:
    session = AgiSession()
    session.receive(BLOCK)
    assert isinstance(session.next_event(), AgiRequest)
    for place in range(5):
        assert session.send(b"X\n") == b"X\n"
        assert session.next_event() is None
        session.receive(f"200 result={place}\n".encode())
        assert session.next_event() == AgiReply(200, f"result={place}")


def test_a_second_command_has_to_wait_for_the_reply() -> None:
    session = AgiSession()
    with pytest.raises(RuntimeError, match="wait for the reply"):
        session.send(b"X\n")
    session.receive(BLOCK)
    session.next_event()
    session.send(b"X\n")
    with pytest.raises(RuntimeError, match="WAITING"):
        session.send(b"Y\n")


def test_nothing_is_sent_after_the_end() -> None:
    session = AgiSession()
    session.receive(BLOCK)
    session.next_event()
    session.receive_eof()
    with pytest.raises(RuntimeError, match="CLOSED"):
        session.send(b"X\n")


@pytest.mark.parametrize("place", range(0, len(BLOCK), 7))
def test_the_end_of_the_stream_inside_the_block_is_no_call(place: int) -> None:
    outcomes, session = drive([BLOCK[:place]])
    assert outcomes == []
    with pytest.raises(AgiError, match="eof"):
        session.receive_eof()
    assert session.state is State.CLOSED
    assert not session.receive(BLOCK)
    assert session.next_event() is None


@pytest.mark.parametrize("place", range(len(USAGE)))
def test_the_end_of_the_stream_inside_a_reply_is_told(place: int) -> None:
    outcomes, session = drive([BLOCK, USAGE[:place]])
    assert len(outcomes) == 1
    with pytest.raises(AgiError, match="eof"):
        session.receive_eof()


def test_the_end_of_the_stream_after_the_reply_is_a_calls_ordinary_end() -> None:
    _, session = drive([BLOCK, b"200 result=0\n"])
    session.receive_eof()
    session.receive_eof()
    assert session.state is State.CLOSED


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"INVITE sip:1@x SIP/2.0\r\n",
        b"\n\n",
        b"\n",
        b"\0",
        b" agi_network: yes\n",
        b"AGI_network: yes\n",
        b"agi-network: yes\n",
        b"\xff\xfe",
        b"HANGUP\n",
        b"200 result=0\n",
        "\ufeffagi_network: yes\n".encode(),
    ],
)
def test_a_peer_that_speaks_something_else_is_known_by_its_first_bytes(data: bytes) -> None:
    for pieces in ([data], bytewise(data)):
        assert outcomes_of(pieces)[0] is Refused.NOT_AGI
    assert outcomes_of([data + BLOCK])[0] is Refused.NOT_AGI


@pytest.mark.parametrize("size", [13, 997, 4096, 1 << 20])
@pytest.mark.parametrize("unit", [b"x", b"agi_new: x\n", b"\r", b"\0"])
def test_a_block_without_an_end_is_refused_at_its_bound(unit: bytes, size: int) -> None:
    session = AgiSession()
    session.receive(b"agi_network: ")
    piece = unit * -(-size // len(unit))
    cause, received = _refused_after(session, piece)
    assert cause is Refused.TOO_LONG
    assert received <= ENVIRONMENT_MAX_BYTES + len(piece)


def _refused_after(session: AgiSession, piece: bytes) -> tuple[Refused, int]:
    """Send the piece again and again: the cause of the refusal, and how many bytes that took."""
    received = 0
    while True:
        received += len(piece)
        assert received < 10_000_000, "it is never refused"
        if not session.receive(piece):
            continue
        try:
            while session.next_event() is not None:
                pass
        except AgiError as error:
            return error.cause, received


def test_a_block_over_the_bound_is_refused_though_it_ends() -> None:
    filler = b"x" * ENVIRONMENT_MAX_BYTES
    assert outcomes_of([environment({"agi_rdnis": filler.decode()})]) == [Refused.TOO_LONG]


def test_a_block_just_inside_the_bound_is_read() -> None:
    room = ENVIRONMENT_MAX_BYTES - len(environment({"agi_rdnis": ""})) + 2
    largest = environment({"agi_rdnis": "x" * room})
    (request,) = outcomes_of([largest])
    assert isinstance(request, AgiRequest)
    assert outcomes_of([largest[:-2], b"\n\n"]) == [request]
    assert outcomes_of([environment({"agi_rdnis": "x" * (room + 1)})]) == [Refused.TOO_LONG]


def test_a_block_with_crlf_never_ends_and_is_never_guessed() -> None:
    outcomes, session = drive([BLOCK.replace(b"\n", b"\r\n")])
    assert outcomes == []
    with pytest.raises(AgiError, match="eof"):
        session.receive_eof()


@pytest.mark.parametrize("unit", [b"x", b"\n", b"x\n", b"HANGUP\n", b"520-more\n", b"agi_x: y\n", b"20", b"\xff\n"])
@pytest.mark.parametrize("size", [13, 4096, 1 << 18])
def test_a_reply_without_an_end_is_refused_at_its_bound(unit: bytes, size: int) -> None:
    session = AgiSession()
    session.receive(BLOCK)
    session.next_event()
    session.send(b"X\n")
    piece = unit * -(-size // len(unit))
    cause, received = _refused_after(session, piece)
    assert cause is Refused.BAD_REPLY
    assert session.state is State.REFUSED
    assert received <= REPLY_MAX_BYTES + len(piece)


def test_as_many_bytes_as_an_environment_may_have_come_before_a_reply() -> None:
    for over, expected in ((0, AgiReply(200, "result=0", forged=True)), (1, Refused.BAD_REPLY)):
        room = REPLY_MAX_BYTES + over - len(b"200 result=0\n")
        strays = b"x" * 9_999 + b"\n"
        strange = strays * (room // 10_000) + b"x" * (room % 10_000 - 1) + b"\n"
        assert outcomes_of([BLOCK, strange, b"200 result=0\n"])[1] == expected
        assert outcomes_of([BLOCK, strange + b"200 result=0\n"])[1] == expected


@pytest.mark.parametrize("before", [b"\n", b"x\n", b"\n\n"])
def test_a_line_before_the_reply_makes_it_forged_however_short(before: bytes) -> None:
    """A caller's text in the last argument is followed by no more than the blank line."""
    for pieces in ([before + b"200 result=0\n"], [before, b"200 result=0\n"]):
        assert outcomes_of([BLOCK, *pieces])[1:] == [AgiReply(200, "result=0", forged=True)]


def test_nothing_is_kept_of_a_refused_block_or_of_bytes_that_nobody_asked_for() -> None:
    session = AgiSession()
    session.receive(BLOCK.replace(b"\n\n", b"\n\nagi_x: y\n"))
    with pytest.raises(AgiError, match="after-environment"):
        session.next_event()
    assert _held(session) == [b""]
    session = AgiSession()
    session.receive(BLOCK)
    session.next_event()
    for _ in range(3):
        session.receive(b"x" * 100)
        assert session.next_event() is None
        assert _held(session) == [b""]
    assert session.forged
    session.send(b"X\n")
    for _ in range(3):
        session.receive(b"x" * 100 + b"\n")
        assert session.next_event() is None
        assert _held(session) == [b""]


FORGED_END = "1\nagi_callingpres: 0\nagi_dnid: 999\nagi_extension: 999\n"


def forged_end_lines() -> list[bytes]:
    """A From whose line feeds close the environment early; Asterisk's own lines follow."""
    return environment_lines({"agi_callerid": FORGED_END})


def test_real_lines_behind_a_forged_end_in_the_same_segment_refuse_the_call() -> None:
    outcomes, session = drive([b"".join(forged_end_lines())])
    assert outcomes == [Refused.AFTER_ENVIRONMENT]
    assert session.forged


@pytest.mark.parametrize(
    "behind", [b"a", b"\n", b"agi_x: y\n", b"200 result=0\n", b"HANGUPx", b"HANGUP\n!", b"hangup\n", b"\0"]
)
def test_any_byte_behind_the_blank_line_refuses_the_call(behind: bytes) -> None:
    assert outcomes_of([BLOCK + behind])[0] is Refused.AFTER_ENVIRONMENT
    assert outcomes_of([BLOCK[:-5], BLOCK[-5:] + behind])[0] is Refused.AFTER_ENVIRONMENT


def test_a_caller_who_hung_up_already_is_no_forger(request_: AgiRequest) -> None:
    whole = BLOCK + b"HANGUP\n"
    for place in range(len(whole)):
        outcomes, session = drive([whole[:place], whole[place:], b"511 Command Not Permitted\n"])
        assert outcomes == [request_, Hangup(), AgiReply(511, "Command Not Permitted")], place
        assert not session.forged


def test_real_lines_behind_a_forged_end_in_a_later_segment_make_the_reply_forged() -> None:
    lines = forged_end_lines()
    for pieces in (lines, [b"".join(lines[:9]), b"".join(lines[9:])]):
        outcomes, session = drive([*pieces, b"200 result=0\n"])
        assert isinstance(outcomes[0], AgiRequest)
        assert outcomes[0].extension == "999"
        assert outcomes[1:] == [AgiReply(200, "result=0", forged=True)]
        assert session.forged


def test_a_forged_reply_is_known_by_the_real_lines_behind_it() -> None:
    lines = environment_lines({"agi_callerid": FORGED_END, "agi_calleridname": "x"})
    forged = [*lines[:9], b"200 result=0\n" + b"".join(lines[9:])]
    outcomes, _ = drive(forged)
    assert outcomes[1:] == [AgiReply(200, "result=0", forged=True)]
    outcomes, _ = drive([*lines[:9], b"200 result=0\nagi_ca"])
    assert outcomes[1:] == [AgiReply(200, "result=0", forged=True)]


def test_a_name_that_forges_a_reply_comes_behind_its_own_key() -> None:
    lines = environment_lines({"agi_callerid": FORGED_END, "agi_calleridname": "x\n200 result=0"})
    outcomes, _ = drive(lines)
    assert outcomes[1] == AgiReply(200, "result=0", forged=True)


def test_bytes_before_the_command_goes_out_are_remembered_as_forged() -> None:
    session = AgiSession()
    session.receive(BLOCK)
    session.next_event()
    session.receive(b"agi_threadid: 1\n\n")
    assert session.next_event() is None
    session.send(b"X\n")
    session.receive(b"200 result=0\n")
    assert session.next_event() == AgiReply(200, "result=0", forged=True)


@pytest.mark.parametrize("key", ENVIRONMENT)
def test_a_key_that_a_caller_forges_refuses_the_call_in_every_split(key: str) -> None:
    data = environment({"agi_calleridname": f"x\n{key}: 999"})
    for step in (1, 2, 3, 5, 100, len(data)):
        pieces = [data[place : place + step] for place in range(0, len(data), step)]
        assert outcomes_of(pieces) == [Refused.BAD_ORDER]


def test_a_refused_call_may_still_be_sent_the_safe_answer() -> None:
    outcomes, session = drive([environment({"agi_dnid": "1\nx"}), b"200 result=0\n"])
    assert outcomes == [Refused.BAD_LINE, OK]
    assert session.state is State.ANSWERING


def test_keys_behind_one_another_twice_are_two_blocks_and_refused() -> None:
    assert outcomes_of([BLOCK + BLOCK]) == [Refused.AFTER_ENVIRONMENT]
    second = drive([BLOCK, BLOCK, b"200 result=0\n"])[0]
    assert second[1:] == [AgiReply(200, "result=0", forged=True)]


@pytest.mark.parametrize(
    "lines",
    [
        list(reversed(environment_lines()[:-1])),
        sorted(environment_lines()[:-1]),
        environment_lines()[:-1] * 2,
    ],
)
def test_reordered_or_doubled_blocks_are_refused(lines: Sequence[bytes]) -> None:
    assert outcomes_of([b"".join(lines) + b"\n"]) == [Refused.BAD_ORDER]


def test_a_closed_session_keeps_no_byte() -> None:
    _, session = drive([BLOCK, b"200 result=0\n"])
    session.receive_eof()
    for _ in range(10):
        assert not session.receive(b"x" * 1_000_000)
        assert session.next_event() is None
    assert sum(len(held) for held in _held(session)) == 0


def _held(session: AgiSession) -> list[bytes]:
    values = [getattr(session, name) for name in AgiSession.__slots__]
    return [bytes(value) for value in values if isinstance(value, bytes | bytearray)]
