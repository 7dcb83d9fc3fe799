"""The FastAGI session takes any bytes in any pieces: it is total, bounded, and believes no forged line."""

import contextlib
import itertools
from collections.abc import Iterable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from router.agi.messages import AgiError, AgiReply, AgiRequest, Hangup, Refused
from router.agi.session import AgiSession, State
from router.config.limits import ENVIRONMENT_MAX_BYTES, REPLY_MAX_BYTES
from tests.fastagi import ENVIRONMENT, environment

FRAGMENTS = st.sampled_from(
    [
        b"\n",
        b"\n\n",
        b"\r\n",
        b"agi_",
        b"agi_network: yes\n",
        b"agi_extension: 999\n",
        b"agi_arg_1: x\n",
        b"200 result=0\n",
        b"200 ",
        b"520-usage\n",
        b"520 end\n",
        b"HANGUP\n",
        b"HANG",
        b": ",
        b"\0",
        b"\xff\xfe",
        b"x" * 5000,
        environment(),
        environment({"agi_dnid": "1"}),
    ]
)
PIECES = st.lists(st.binary(max_size=40) | FRAGMENTS, max_size=30)
FORGERIES = st.lists(
    st.sampled_from(
        [
            "\n",
            "\n\n",
            "x",
            "200 result=0",
            "HANGUP",
            "agi_extension: 999",
            "agi_dnid: 999",
            "agi_callingpres: 0",
            "agi_calleridname: x",
            "agi_arg_1: 999",
            "agi_new: x",
            *(f"\n{key}: 999" for key in list(ENVIRONMENT)[9:]),
        ]
    ),
    max_size=20,
).map("".join)


def held(session: AgiSession) -> int:
    """How many bytes the session keeps."""
    values = [getattr(session, name) for name in AgiSession.__slots__]
    return sum(len(value) for value in values if isinstance(value, bytes | bytearray))


def drive(session: AgiSession, pieces: Iterable[bytes]) -> list[AgiRequest | AgiReply | Hangup | Refused]:
    """Answer whatever may be answered with one command, as the server does; the bound is checked at each step."""
    outcomes: list[AgiRequest | AgiReply | Hangup | Refused] = []
    for piece in pieces:
        session.receive(piece)
        while True:
            try:
                event = session.next_event()
            except AgiError as error:
                outcomes.append(error.cause)
                assert session.state is State.REFUSED
                session.send(b"safe\n")
                continue
            if event is None:
                break
            outcomes.append(event)
            if isinstance(event, AgiRequest):
                session.send(b"answer\n")
        assert held(session) <= max(ENVIRONMENT_MAX_BYTES, REPLY_MAX_BYTES)
    return outcomes


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(bounds)]


@given(PIECES)
def test_any_bytes_give_events_or_an_agi_error_and_are_not_hoarded(pieces: list[bytes]) -> None:
    session = AgiSession()
    drive(session, pieces)
    with contextlib.suppress(AgiError):
        session.receive_eof()
    assert session.state is State.CLOSED
    session.receive(b"x" * 100)
    assert session.next_event() is None


@given(pieces=PIECES, places=st.lists(st.integers(min_value=0), max_size=20))
def test_what_is_refused_whole_is_not_taken_for_a_call_in_pieces(pieces: list[bytes], places: list[int]) -> None:
    """A refusal for the block itself does not depend on how TCP cut it."""
    data = b"".join(pieces)
    whole = drive(AgiSession(), [data])
    parts = drive(AgiSession(), cut(data, places))
    if whole and whole[0] in (Refused.NOT_AGI, Refused.BAD_LINE, Refused.BAD_ORDER, Refused.MISSING_KEY):
        assert parts[0] is whole[0]
    if whole and isinstance(whole[0], AgiRequest):
        assert parts[0] == whole[0]


@given(
    places=st.lists(st.integers(min_value=0), max_size=30),
    reply=st.sampled_from([b"200 result=0\n", b"HANGUP\n511 Dead\n", b"520-a\nb\n\n520 c\n", b"510 x\nHANGUP\n"]),
    before=st.sampled_from([b"", b"HANGUP\n"]),
)
def test_an_honest_call_comes_out_the_same_in_every_split(places: list[int], reply: bytes, before: bytes) -> None:
    data = environment()
    once = drive(AgiSession(), [data, before + reply])
    session = AgiSession()
    cut_up = drive(session, [*cut(data, places), *cut(before + reply, places)])
    # A hangup may be told of more than once, as Asterisk itself does.
    assert [each for each in cut_up if each != Hangup()] == [each for each in once if each != Hangup()]
    assert (Hangup() in cut_up) is (Hangup() in once)
    assert not session.forged


@given(
    caller=FORGERIES,
    name=FORGERIES,
    dialled=FORGERIES,
    places=st.lists(st.integers(min_value=0), max_size=12),
)
def test_a_callers_text_never_changes_what_is_asked_unnoticed(
    caller: str, name: str, dialled: str, places: list[int]
) -> None:
    """Whatever line feeds a caller brings along, the call is refused, known as forged, or read as Asterisk meant it."""
    data = environment({"agi_callerid": caller, "agi_calleridname": name, "agi_rdnis": dialled})
    session = AgiSession()
    outcomes = drive(session, [*cut(data, places), b"200 result=0\n"])
    first = outcomes[0]
    if isinstance(first, AgiRequest) and not session.forged:
        assert (first.dnid, first.extension) == (ENVIRONMENT["agi_dnid"], ENVIRONMENT["agi_extension"])
        assert (first.script, first.unique_id) == (ENVIRONMENT["agi_network_script"], ENVIRONMENT["agi_uniqueid"])
        assert first.arguments == ()
        assert first.caller_id == caller.partition("\n")[0]  # what the caller may choose anyway
