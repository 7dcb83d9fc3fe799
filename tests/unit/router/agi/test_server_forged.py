"""Answers that forged lines have asked for: whatever follows them, nothing of such an answer stands at the end."""

import asyncio
import contextlib

import pytest

from dialplan.kinds.campaign import Campaign, Direction
from dialplan.kinds.fields import Destination
from dialplan.kinds.number import Number, NumberKind
from dialplan.kinds.registry import RowKind
from dialplan.routing.table import Patch, RoutingTable
from router.config.limits import AGI_HANGUPS_MAX
from tests.fastagi import executed
from tests.unit.router.agi.serving import PATIENCE_SECONDS, SHORT_SECONDS, serving
from tests.unit.router.agi.wires import Exchange, Line, forged

USUAL = b"200 result=0\n"
DEAD = b"511 Command Not Permitted on a dead channel or intercept routine\n"
OLD_DEAD = b"511 Command Not Permitted on a dead channel\n"  # before 16
NARROW, WIDE = "02079460000", "02079469999"  # an answer of one command, and one of several
REPORT = ["1.1", "win-back", "07700900123", "02079460000", "NOANSWER", "19", "1", "1800000000250", "480"]


def revoked(line: Line) -> bool:
    """Whether the call has the fallback response, and of the forged answer nothing that it did not set anew."""
    said = line.variables
    left = {name for name, value in said.items() if value and name.startswith(("PARAM_", "NEXT_PARAM_", "SHOW_"))}
    left |= {name for name in ("ROUTE_PARAMS", "ROUTE_DIGEST", "ROUTE_ID", "ATTEMPT_STATUS") if said.get(name)}
    place = (said.get("ROUTE_CONTEXT"), said.get("ROUTE_REASON"), said.get("ROUTE_STATUS"))
    return line.wire.ended and not left and place == ("ringway-default", "error", "OK")


def answered(exchange: Exchange, tail: str = "", did: str = NARROW, script: str = "route?params") -> tuple[Line, bytes]:
    """A call that has its answer, and what Asterisk still sends of its block."""
    begin, rest = forged(tail, did, script)
    line = exchange.line(begin)
    assert line.wire.commands
    assert line.variables.get("ROUTE_REASON", "assigned") == "assigned"
    return line, rest


# --- what follows the forged end -------------------------------------------------------------------------------------


@pytest.mark.parametrize("did", [NARROW, WIDE])
@pytest.mark.parametrize(
    "tail",
    [
        "",
        "x\n",
        "\n",
        "200 result=0\n",
        "200 result=0\n200 result=0\n",
        "511 gone\n",
        "520-x\n",
        "520-x\n520-y\nz\n",
        "520-Invalid command syntax.  Proper usage follows:\nUsage: EXEC\n",
        "520-x\nHANGUP\n",
        "520-x\n520 y\n",
        "520-x\n520 y\n520-z\n",
        "HANGUP\n520-x\n",
    ],
)
async def test_it_is_revoked_whatever_the_caller_lets_follow(tail: str, did: str) -> None:
    exchange = Exchange()
    line, rest = answered(exchange, tail, did)
    line.receive(rest)
    line.reply()
    assert revoked(line)
    assert exchange.rejected() == ["forged"]


async def test_a_block_of_usage_text_holds_nothing_up() -> None:
    """Begun by the caller, it has no end: what Asterisk itself writes behind it is known as no text of usage."""
    exchange = Exchange()
    for tail in ("520-x\n", "520-x\n" + "usage\n" * 2_000):
        line, rest = answered(exchange, tail)
        line.receive(rest + USUAL)
        assert revoked(line)


@pytest.mark.parametrize("reply", [DEAD, b"510 x\n", b"200 result=-1\n", b"520-x\n520 y\n", b"HANGUP\n", b"x\n"])
@pytest.mark.parametrize("did", [NARROW, WIDE])
async def test_a_revocation_goes_on_to_its_end_whatever_is_replied(reply: bytes, did: str) -> None:
    exchange = Exchange()
    line, rest = answered(exchange, "", did)
    line.receive(b"x\n" + USUAL, reply, rest, reply)
    line.reply(reply)
    assert revoked(line)
    assert exchange.rejected() == ["forged"]


# --- a forged reply that comes alone, before the rest is seen --------------------------------------------------------

FILLED = b"x" * 1_435  # what is missing to fill a segment of TCP


@pytest.mark.parametrize(
    "reply",
    [
        b"200 result=0 " + FILLED + b"\n",
        b"200 " + FILLED + b"\n",
        b"200\n",
        b"200 result=0" + b"0" * 1_435 + b"\n",
        b"200 result=1\n",
        b"200 result=-1\n",
        b"510 " + FILLED + b"\n",
        b"511 " + FILLED + b"\n",
        b"511 Command Not Permitted on a dead channel" + FILLED + b"\n",
        b"510 result=0\n",
        b"510 Command Not Permitted on a dead channel\n",
        b"520-x\n" + FILLED + b"\n520 y\n",
        b"HANGUP\n" * (AGI_HANGUPS_MAX + 1) + USUAL,
        b"HANGUP\n" * 200 + USUAL,
        USUAL + b"HANGUP\n" * (AGI_HANGUPS_MAX + 1),
    ],
)
async def test_a_reply_that_a_caller_can_make_as_long_as_a_segment_ends_no_call_with_its_answer(reply: bytes) -> None:
    exchange = Exchange()
    line, rest = answered(exchange)
    line.receive(reply, rest)
    assert revoked(line)


@pytest.mark.parametrize("reply", [USUAL, DEAD, OLD_DEAD, b"HANGUP\n" * 2 + DEAD])
async def test_what_asterisk_itself_replies_ends_the_call_at_once(reply: bytes) -> None:
    exchange = Exchange()
    line, _ = answered(exchange)
    line.receive(reply)
    assert line.wire.closed
    assert len(line.wire.commands) == 1


# --- no reply --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("did", [NARROW, WIDE])
@pytest.mark.parametrize("unit", [b"\n", b"x", b"agi_x: y\n", b"520-more\n", b"HANGUP\n"])
async def test_a_flood_in_place_of_a_reply_revokes_the_answer(unit: bytes, did: str) -> None:
    exchange = Exchange()
    line, _ = answered(exchange, "", did)
    line.receive(*[unit * 500] * (100_000 // len(unit) // 500 + 1))
    assert revoked(line)
    assert exchange.rejected() == ["bad-reply"]


@pytest.mark.parametrize("tail", ["", "x\n", "520-x\n"])
@pytest.mark.parametrize("did", [NARROW, WIDE])
async def test_at_the_deadline_an_answer_with_strange_lines_behind_it_is_revoked(tail: str, did: str) -> None:
    exchange = Exchange()
    line, rest = answered(exchange, tail, did)
    line.receive(rest)
    line.connection.abort("deadline")
    assert revoked(line)
    assert exchange.rejected() == ["deadline"]


@pytest.mark.parametrize("begun", [b"520-x\nusage\n", b"520-x", b"agi_ca", b"20"])
async def test_at_the_deadline_one_with_half_a_reply_behind_it_is_revoked(begun: bytes) -> None:
    line, _ = answered(Exchange())
    line.receive(begun)
    line.connection.abort("deadline")
    assert revoked(line)


@pytest.mark.parametrize("come", [b"", b"HANGUP\n"])
async def test_at_the_deadline_one_that_nobody_has_replied_to_stands(come: bytes) -> None:
    line, _ = answered(Exchange())
    line.receive(come)
    line.connection.abort("deadline")
    assert line.wire.closed
    assert len(line.wire.commands) == 1


async def test_who_is_told_at_the_deadline_still_gets_it_and_is_then_let_go() -> None:
    begin, rest = forged()
    async with serving(deadline_seconds=SHORT_SECONDS) as served:
        reader, writer = await served.open(begin)
        variables = dict(executed(await reader.readline()))
        writer.write(rest)
        while command := await reader.readline():
            variables |= executed(command)
        assert (variables["ROUTE_CONTEXT"], variables["ROUTE_STATUS"]) == ("ringway-default", "OK")
        assert served.rejected() == {"deadline": 1}
        await served.expect({("error", "default"): 1})
        assert await reader.read() == b""
        async with asyncio.timeout(PATIENCE_SECONDS):  # its own side it has never closed
            with contextlib.suppress(ConnectionError):
                while not writer.is_closing():
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(0.005)


async def test_at_the_end_of_a_drain_it_is_revoked_as_well() -> None:
    begin, rest = forged()
    async with serving() as served:
        reader, writer = await served.open(begin)
        variables = dict(executed(await reader.readline()))
        writer.write(rest)
        await served.until(
            lambda: all(
                each._careful is not None and each._careful.session.forged for each in served.server.connections
            )
        )
        assert await served.server.drain(SHORT_SECONDS) == 1
        while command := await reader.readline():
            variables |= executed(command)
        assert variables["ROUTE_CONTEXT"] == "ringway-default"
        writer.close()


# --- each verb, and the order ----------------------------------------------------------------------------------------


def outbound() -> RoutingTable:
    patch = Patch(1, full=True)
    patch.add(
        [
            (RowKind.CAMPAIGN, "win-back", Campaign("win-back", "acme", "W", Direction.OUTBOUND, Destination("camp"))),
            (RowKind.NUMBER, "+442079461111", Number("+442079461111", NumberKind.POOL)),
        ]
    )
    return RoutingTable().patched(patch)


@pytest.mark.parametrize(
    ("script", "arguments", "status"),
    [
        ("caller-id", ["win-back"], "SHOW_STATUS"),
        ("caller-id?destination", ["win-back"], "SHOW_STATUS"),
        ("route", [], "ROUTE_STATUS"),
    ],
)
async def test_of_each_verb_nothing_is_left_and_nothing_is_trusted_at_any_cut(
    script: str, arguments: list[str], status: str
) -> None:
    exchange = Exchange(outbound() if arguments else None)
    begin, rest = forged("", WIDE, script, arguments)
    line = exchange.line(begin)
    while not line.variables.get(status):
        line.receive(USUAL)
    given = len(line.wire.commands)
    assert line.variables[status] == "OK"
    line.receive(rest + USUAL)
    assert revoked(line)
    commands = line.wire.commands
    for cut in range(given + 1, len(commands)):
        said = dict(pair for command in commands[:cut] for pair in executed(command))
        assert said[status] == ""


async def test_a_report_of_an_attempt_that_was_taken_is_revoked() -> None:
    async with serving() as served:
        begin, rest = forged("", "s", "attempt", REPORT)
        reader, writer = await served.open(begin)
        variables = dict(executed(await reader.readline()))
        assert variables == {"ATTEMPT_STATUS": "OK"}
        writer.write(rest + USUAL)
        while command := await reader.readline():
            variables |= executed(command)
        assert (variables["ATTEMPT_STATUS"], variables["ROUTE_REASON"]) == ("", "error")
        writer.close()


# --- what is counted -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("did", [NARROW, WIDE])
@pytest.mark.parametrize("later", [False, True])
async def test_a_revoked_call_is_one_decision_one_record_and_one_duration(later: bool, did: str) -> None:
    exchange = Exchange()
    line, rest = answered(exchange, "", did)
    if later:
        exchange.server.accounts.settle()
    line.receive(rest + USUAL)
    line.connection.connection_lost(None)
    exchange.server.accounts.settle()
    assert exchange.count("decisions_total", reason="error", kind="default") == 1
    assert exchange.count("decisions_total", reason="assigned", kind="call-flow") == 0
    assert exchange.count("decision_seconds_count") == 1
    assert exchange.count("agi_seconds_count", verb="route") == 1
    (record,) = exchange.records
    assert (record.unique_id, record.reason, record.dialled) == ("1795316003.7", "error", "")


@pytest.mark.parametrize("end", ["reply", "eof", "deadline"])
async def test_any_other_call_is_counted_once_when_it_ends(end: str) -> None:
    exchange = Exchange()
    line, _ = answered(exchange)
    if end == "reply":
        line.receive(USUAL)
    elif end == "deadline":
        line.connection.abort("deadline")
    line.connection.connection_lost(None)
    assert exchange.count("decisions_total", reason="assigned", kind="call-flow") == 1
    assert exchange.count("decision_seconds_count") == 1
    assert [record.reason for record in exchange.records] == ["assigned"]
