"""Forged blocks: whatever a caller writes behind a forged end, no forged answer stands, in whole or in part."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tests.property.test_agi_session import cut
from tests.unit.router.agi.wires import Exchange, Line, forged, in_a_loop

USUAL = b"200 result=0\n"
TAILS = st.lists(
    st.sampled_from(
        [
            *("200 result=0\n", "200 result=0 x\n", "200 result=-1\n", "510 z\n", "511 x\n", "511\n"),
            *("520-x\n", "520 y\n", "520-Invalid command syntax.  Proper usage follows:\n", "520 End\n"),
            *("HANGUP\n", "agi_x: y\n", "\n", "x", "HANG", "52"),
        ]
    ),
    max_size=6,
).map("".join)
DIALLED = st.sampled_from(["02079460000", "02079469999"])
SCRIPTS = st.sampled_from(["route", "route?params"])


def revoked(line: Line) -> bool:
    said = line.variables
    left = [name for name, value in said.items() if value and name.startswith("PARAM_")]
    whole = (said.get("ROUTE_STATUS"), said.get("ROUTE_REASON")) == ("OK", "error")
    return whole and not left and not said.get("ROUTE_PARAMS") and not said.get("ROUTE_DIGEST")


@given(tail=TAILS, did=DIALLED, script=SCRIPTS)
@in_a_loop
async def test_a_forged_answer_is_revoked_by_the_lines_behind_it(tail: str, did: str, script: str) -> None:
    line = Exchange().line(*forged(tail, did, script))
    line.reply()
    assert revoked(line)
    assert line.wire.ended


@given(tail=TAILS, did=DIALLED, script=SCRIPTS, places=st.lists(st.integers(min_value=0), max_size=4))
@in_a_loop
async def test_in_other_pieces_only_a_usual_reply_alone_ends_a_forged_call(
    tail: str, did: str, script: str, places: Sequence[int]
) -> None:
    """Nothing tells such a one from a true reply, and to wait for more would cost each call that time."""
    begin, rest = forged(tail, did, script)
    line = Exchange().line(begin)
    seen = b""
    for piece in cut(rest, places):
        line.receive(piece)
        seen += piece
        if line.wire.closed:
            assert not seen.replace(USUAL, b"").replace(b"HANGUP\n", b"").removesuffix(b"HANG")
            return
    line.reply()
    line.connection.abort("deadline")
    assert revoked(line)
