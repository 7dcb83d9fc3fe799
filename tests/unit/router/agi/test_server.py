"""The server over real sockets: each connection ends, each call is answered rightly or safely, and all is counted."""

import asyncio
import contextlib
import gc
import pathlib
import resource
import socket
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any

import pytest
import structlog

from dialplan.decide import Kind, Reason
from dialplan.model import CallFlow, Destination, Number, NumberKind, Parameter, ParameterType, Row, RowKind
from dialplan.numbers import Bare
from dialplan.table import Patch, RoutingTable
from router.agi.handler import Answer, Reading, RouteHandler
from router.agi.messages import AgiRequest, Refused
from router.agi.server import CAUSES, AgiServer, Limits
from router.limits import ENVIRONMENT_MAX_BYTES
from router.observe.log import CallRecord
from router.observe.metrics import Metrics
from tests.fastagi import Call, environment, environment_lines, executed, place

PATIENCE_SECONDS = 30.0
SHORT_SECONDS = 0.15  # a deadline that a test waits for
FORGED_END = "1\nagi_callingpres: 0\nagi_dnid: 999\nagi_extension: 020794600001\n"


def routes(count: int = 1) -> RoutingTable:
    """Numbers +44207946NNNN, each with a flow of its own; +442079469999 has more parameters than one line takes."""
    rows: list[tuple[RowKind, str, Row | None]] = []
    for index in range(count):
        did, flow = f"+44207946{index:04}", f"flow-{index}"
        rows.append((RowKind.CALL_FLOW, flow, CallFlow(flow, flow, Destination(flow))))
        rows.append((RowKind.NUMBER, did, Number(did, NumberKind.RESERVED, "acme", call_flow=flow)))
    parameters = tuple(Parameter(f"P{index}", ParameterType.TEXT, default="v" * 90) for index in range(60))
    rows.append((RowKind.CALL_FLOW, "wide", CallFlow("wide", "Wide", Destination("wide"), parameters=parameters)))
    did = "+442079469999"
    rows.append((RowKind.NUMBER, did, Number(did, NumberKind.RESERVED, "acme", call_flow="wide")))
    patch = Patch(1, whole=True)
    patch.add(rows)
    return RoutingTable().patched(patch)


class Handler:
    """The real one, but for the extension `raise`."""

    def __init__(self, table: RoutingTable) -> None:
        self._real = RouteHandler(lambda: table, Reading("GB", Bare.E164, Destination("ringway-default")))

    def answer(self, request: AgiRequest, now: float) -> Answer:
        if request.extension == "raise":
            raise ZeroDivisionError("a defect")
        return self._real.answer(request, now)

    def safe_answer(self, taken_back: Answer | None = None) -> Answer:
        return self._real.safe_answer(taken_back)


class Served:
    """A server that serves, and what it said and counted."""

    def __init__(self, server: AgiServer, metrics: Metrics, addresses: list[tuple[str, int]]) -> None:
        self.server = server
        self.metrics = metrics
        self.addresses = addresses
        self.log = structlog.testing.LogCapture()
        self.written: list[CallRecord] = []

    @property
    def records(self) -> list[CallRecord]:
        """The calls' records so far, with those that wait to be written together."""
        self.server.account()
        return self.written

    @property
    def address(self) -> tuple[str, int]:
        return self.addresses[0]

    def count(self, name: str, **labels: str) -> float:
        self.server.account()
        value = self.metrics.registry.get_sample_value(f"ringway_{name}", labels)
        assert value is not None, (name, labels)
        return value

    def rejected(self) -> dict[str, int]:
        """Causes with their counts, those of zero left out."""
        counts = {str(cause): int(self.count("agi_rejected_total", cause=str(cause))) for cause in CAUSES}
        return {cause: count for cause, count in counts.items() if count}

    def decided(self) -> dict[tuple[str, str], int]:
        pairs = [(reason, kind) for reason in Reason for kind in Kind]
        counts = {pair: int(self.count("decisions_total", reason=pair[0], kind=pair[1])) for pair in pairs}
        return {pair: count for pair, count in counts.items() if count}

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():  # noqa: ASYNC110 - a count changes without an event
                await asyncio.sleep(0.001)

    async def expect(self, decided: dict[tuple[str, str], int]) -> None:
        """Insist on these counts; calls are counted a moment after they were answered."""
        with contextlib.suppress(TimeoutError):
            await self.until(lambda: sum(self.decided().values()) >= sum(decided.values()))
        assert self.decided() == decided

    async def recorded(self, calls: int) -> list[CallRecord]:
        """The records of that many calls."""
        await self.until(lambda: len(self.records) >= calls)
        return self.records

    async def until_idle(self) -> None:
        await self.until(lambda: self.count("agi_connections") == 0)

    async def call(self, pieces: Sequence[bytes] | None = None, **how: Any) -> Call:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await place(*self.address, pieces, **how)

    async def dial(self, extension: str, **fields: str) -> Call:
        keys = {f"agi_{name}": value for name, value in fields.items()}
        return await self.call(environment_lines({"agi_extension": extension} | keys))

    async def open(self, *pieces: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*self.address)
        for piece in pieces:
            writer.write(piece)
        return reader, writer


@contextlib.asynccontextmanager
async def serving(
    *,
    table: RoutingTable | None = None,
    hosts: Sequence[str] = ("127.0.0.1",),
    drain_seconds: float = PATIENCE_SECONDS,
    **limits: Any,
) -> AsyncIterator[Served]:
    """A server on free ports; afterwards it has drained, and no connection, task or socket is left."""
    await asyncio.to_thread(lambda: None)  # the loop has its own open now
    sockets_before = _sockets()
    metrics = Metrics()
    usual: dict[str, Any] = {"allow": ("127.0.0.0/8", "::1/128"), "deadline_seconds": PATIENCE_SECONDS}
    wanted = Limits(**(usual | limits))
    capture = structlog.testing.LogCapture()
    log = structlog.wrap_logger(None, processors=[capture], wrapper_class=structlog.make_filtering_bound_logger(0))
    records: list[CallRecord] = []
    server = AgiServer(Handler(table or routes()), wanted, metrics, log, records.append)
    sockets = [_bound(host) for host in hosts]
    addresses = [each.getsockname()[:2] for each in sockets]
    await server.start(sockets)
    served = Served(server, metrics, addresses)
    served.log, served.written = capture, records
    try:
        yield served
        await served.until_idle()
    finally:
        await server.drain(drain_seconds)
        await served.until_idle()
        for each in sockets:
            each.close()
    await served.until(lambda: asyncio.all_tasks() == {asyncio.current_task()})
    await served.until(lambda: _sockets() <= sockets_before)


def _sockets() -> int:
    """How many sockets this process has open. (libuv keeps a spare descriptor for life: that is none.)"""
    gc.collect(0)
    count = 0
    for each in pathlib.Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that lists them
            count += str(each.readlink()).startswith("socket:")
    return count


def _bound(host: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    if host == "::":
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    bound.bind((host, 0))
    return bound


def reset(writer: asyncio.StreamWriter) -> None:
    """Cut the connection off with RST."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def ended(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """What still comes until the other side ends the connection, one way or the other."""
    received = bytearray()
    async with asyncio.timeout(PATIENCE_SECONDS):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                received += data
    writer.close()
    return bytes(received)


# --- calls --------------------------------------------------------------------------------------------------------


async def test_a_call_is_answered_counted_and_recorded() -> None:
    async with serving() as served:
        call = await served.dial("02079460000", callerid="07700900123")
        await served.until_idle()
        assert call.variables["ROUTE_CONTEXT"] == "flow-0"
        assert call.variables["ROUTE_CALLER"] == "+447700900123"
        assert len(call.commands) == 1
        await served.expect({("assigned", "call-flow"): 1})
        assert served.rejected() == {}
        assert served.count("decision_seconds_count") == 1
        (record,) = await served.recorded(1)
    assert record.unique_id == "1795316003.7"
    assert (record.dialled, record.number, record.caller) == ("02079460000", "+442079460000", "+447700900123")
    assert (record.reason, record.kind, record.id, record.company) == ("assigned", "call-flow", "flow-0", "acme")
    assert (record.destination, record.version) == ("flow-0,s,1", 1)
    assert record.duration_ms >= 0


@pytest.mark.parametrize("size", [1, 2, 3, 100, 10_000])
async def test_the_block_may_come_in_pieces_of_any_size(size: int) -> None:
    block = environment({"agi_extension": "02079460000"})
    async with serving() as served:
        call = await served.call([block[at : at + size] for at in range(0, len(block), size)])
        assert call.variables["ROUTE_CONTEXT"] == "flow-0"
        assert served.rejected() == {}


async def test_commands_that_go_ahead_wait_for_their_replies() -> None:
    async with serving() as served:
        reader, writer = await served.open(environment({"agi_extension": "02079469999"}))
        variables: dict[str, str] = {}
        lines = 0
        while "ROUTE_STATUS" not in variables:
            variables |= executed(await reader.readline())
            lines += 1
            for _ in range(20):  # the server would have had time to send the next one too early
                await asyncio.sleep(0)
            assert not reader._buffer  # type: ignore[attr-defined] # nothing may have come yet
            writer.write(b"200 result=0\n")
        assert await ended(reader, writer) == b""
        assert lines > 1
        assert {name for name in variables if name.startswith("PARAM_")} == {f"PARAM_P{index}" for index in range(60)}
        await served.expect({("assigned", "call-flow"): 1})
        assert len(await served.recorded(1)) == 1


@pytest.mark.parametrize(
    "reply",
    [
        b"510 Invalid or unknown command\n",
        b"511 Command Not Permitted on a dead channel or intercept routine\n",
        b"520-Invalid command syntax.  Proper usage follows:\nUsage: EXEC\n\n520 End of proper usage.\n",
        b"200 result=-2\n",
        b"200 result=-1\n",
    ],
)
async def test_a_command_that_asterisk_does_not_take_ends_the_call_and_is_counted(reply: bytes) -> None:
    async with serving() as served:
        call = await served.call(environment_lines({"agi_extension": "02079469999"}), reply=reply)
        assert len(call.commands) == 1
        await served.until_idle()
        assert served.rejected() == {"bad-reply": 1}


@pytest.mark.parametrize("before", [b"", b"HANGUP\n"])
@pytest.mark.parametrize("after", [b"", b"HANGUP\n"])
async def test_a_hangup_around_the_reply_is_no_error(before: bytes, after: bytes) -> None:
    async with serving() as served:
        call = await served.call(reply=before + b"200 result=0\n" + after)
        assert call.variables["ROUTE_STATUS"] == "OK"
        await served.until_idle()
        assert served.rejected() == {}


async def test_a_caller_who_hung_up_during_the_block_is_no_error() -> None:
    async with serving() as served:
        call = await served.call([environment({"agi_extension": "02079460000"}) + b"HANGUP\n"])
        assert call.variables["ROUTE_CONTEXT"] == "flow-0"
        await served.until_idle()
        assert served.rejected() == {}


@pytest.mark.parametrize("how", ["eof", "rst"])
async def test_a_caller_who_goes_without_a_reply_was_decided_all_the_same(how: str) -> None:
    async with serving() as served:
        reader, writer = await served.open(environment({"agi_extension": "02079460000"}))
        await reader.readline()
        if how == "rst":
            reset(writer)
        else:
            writer.close()
        await served.until_idle()
        await served.expect({("assigned", "call-flow"): 1})
        assert served.rejected() == {}


@pytest.mark.parametrize("script", ["caller", "", "route/x"])
async def test_an_unknown_script_gets_no_answer_and_the_log_says_what_to_do(script: str) -> None:
    async with serving() as served:
        call = await served.call(environment_lines({"agi_network_script": script}))
        assert call.commands == []
        await served.until_idle()
        assert served.rejected() == {"unknown-script": 1}
        (entry,) = served.log.entries
        assert entry["script"] == script
        assert "/route" in entry["mend"]


async def test_a_handler_that_fails_costs_its_own_call_the_flow_and_nobody_elses() -> None:
    async with serving() as served:
        broken, *good = await asyncio.gather(
            served.dial("raise"), served.dial("02079460000"), served.dial("02079460000")
        )
        assert broken.variables["ROUTE_REASON"] == "error"
        assert broken.variables["ROUTE_CONTEXT"] == "ringway-default"
        assert broken.variables["ROUTE_STATUS"] == "OK"
        assert [call.variables["ROUTE_CONTEXT"] for call in good] == ["flow-0", "flow-0"]
        await served.until_idle()
        assert served.rejected() == {"internal": 1}
        await served.expect({("error", "default"): 1, ("assigned", "call-flow"): 2})
        failed = [entry for entry in served.log.entries if entry["event"] == "decision_failed"]
    assert failed[0]["unique_id"] == "1795316003.7"
    assert failed[0]["exc_info"]


@pytest.mark.parametrize(("masked", "caller"), [(False, "+447700900123"), (True, "…23")])
async def test_the_callers_number_is_masked_in_the_record_where_that_is_set(masked: bool, caller: str) -> None:
    async with serving(mask_callers=masked) as served:
        call = await served.dial("02079460000", callerid="07700900123")
        assert call.variables["ROUTE_CALLER"] == "+447700900123"
        (record,) = await served.recorded(1)
        assert record.caller == caller


async def test_the_record_holds_no_more_of_a_strangers_text_than_its_bounds() -> None:
    async with serving() as served:
        await served.dial("x" * 5000, uniqueid="u" * 5000, callerid="c" * 5000)
        (record,) = await served.recorded(1)
    assert len(record.dialled) == 64
    assert len(record.unique_id) == 150
    assert record.caller == ""


# --- hostile ones -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"agi_calleridname": "x\nagi_extension: 02079460000"}, Refused.BAD_ORDER),
        ({"agi_calleridname": "x\nsomething"}, Refused.BAD_LINE),
        ({"agi_callerid": FORGED_END}, Refused.AFTER_ENVIRONMENT),
    ],
)
async def test_forged_lines_get_the_safe_answer(fields: dict[str, str], cause: Refused) -> None:
    async with serving() as served:
        call = await served.call([environment(fields)])
        assert call.variables["ROUTE_REASON"] == "error"
        assert call.variables["ROUTE_CONTEXT"] == "ringway-default"
        assert call.variables["ROUTE_STATUS"] == "OK"
        await served.until_idle()
        assert served.rejected() == {cause: 1}
        await served.expect({("error", "default"): 1})


async def test_an_environment_without_what_is_needed_gets_the_safe_answer() -> None:
    lines = [line for line in environment_lines() if not line.startswith(b"agi_dnid")]
    async with serving() as served:
        call = await served.call([b"".join(lines)])
        assert call.variables["ROUTE_REASON"] == "error"
        await served.until_idle()
        assert served.rejected() == {"missing-key": 1}


async def test_a_caller_cannot_choose_to_go_unanswered_by_sending_line_feeds_without_end() -> None:
    """A diverting number is as long as a SIP message lets it be, and Asterisk copies it whole."""
    feeds = "\n" * 60_000
    async with serving() as served:
        for fields in ({"agi_rdnis": f"x{feeds}"}, {"agi_rdnis": feeds.replace("\n", "\nagi_x: ")[:60_000]}):
            call = await served.call([environment(fields)])
            assert call.variables["ROUTE_REASON"] == "error"
        lines = environment_lines({"agi_callerid": FORGED_END, "agi_rdnis": feeds})
        reader, writer = await served.open(b"".join(lines[:9]))
        variables = dict(executed(await reader.readline()))
        writer.writelines([*lines[9:], b"200 result=0\n"])
        while command := await reader.readline():
            variables |= executed(command)
            writer.write(b"200 result=0\n")
        writer.close()
        assert variables["ROUTE_REASON"] == "error"
        await served.until_idle()


@pytest.mark.parametrize("script", ["route", "route?params"])
@pytest.mark.parametrize("did", ["02079460000", "02079469999"])
async def test_an_answer_to_forged_lines_is_taken_back_when_the_real_ones_come_later(did: str, script: str) -> None:
    forged = f"1\nagi_callingpres: 0\nagi_dnid: 999\nagi_extension: {did}\n"
    lines = environment_lines({"agi_callerid": forged, "agi_network_script": script})
    async with serving() as served:
        reader, writer = await served.open(b"".join(lines[:9]))
        variables = dict(executed(await reader.readline()))
        guessed = {name for name, value in variables.items() if value}
        assert guessed
        for line in lines[9:]:
            writer.write(line)
        writer.write(b"200 result=0\n")
        while command := await reader.readline():
            variables |= executed(command)
            writer.write(b"200 result=0\n")
        writer.close()
        assert (variables["ROUTE_REASON"], variables["ROUTE_STATUS"]) == ("error", "OK")
        assert variables["ROUTE_CONTEXT"] == "ringway-default"
        left = {name for name in guessed if variables[name]}
        assert not {name for name in left if name.startswith("PARAM_")}, "nothing of the guess is left standing"
        assert not left & {"ROUTE_ID", "ROUTE_COMPANY", "ROUTE_NUMBER", "ROUTE_PARAMS", "ROUTE_DIGEST"}
        await served.until_idle()
        assert served.rejected() == {"forged": 1}


@pytest.mark.parametrize(
    ("sent", "cause"),
    [
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "not-agi"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500, "not-agi"),
        (b"\n\n", "not-agi"),
        (b"\0", "not-agi"),
        (b"agi_network: " + b"x" * 100_000, "too-long"),
        (b"agi_x: y\n" * 100_000, "too-long"),
        (environment()[:-1] + b"agi_new: " + b"x" * ENVIRONMENT_MAX_BYTES + b"\n\n", "too-long"),
    ],
)
async def test_a_peer_that_speaks_something_else_is_closed(sent: bytes, cause: str) -> None:
    async with serving() as served:
        reader, writer = await served.open(sent)
        assert await ended(reader, writer) == b""
        await served.until_idle()
        assert served.rejected() == {cause: 1}
        await served.expect({})
        assert (await served.dial("02079460000")).variables["ROUTE_CONTEXT"] == "flow-0"


@pytest.mark.parametrize("unit", [b"\n", b"HANGUP\n", b"x", b"agi_x: y\n", b"520-more\n"])
async def test_a_flood_in_place_of_a_reply_is_closed(unit: bytes) -> None:
    async with serving() as served:
        reader, writer = await served.open(environment())
        await reader.readline()
        writer.write(unit * (2_000_000 // len(unit)))
        await ended(reader, writer)
        await served.until_idle()
        assert served.rejected() == {"bad-reply": 1}


@pytest.mark.parametrize("sent", [b"", b"agi_network: yes\n", environment()[:-1]])
@pytest.mark.parametrize("how", ["eof", "rst"])
async def test_a_peer_that_goes_before_its_block_is_whole_is_only_counted(sent: bytes, how: str) -> None:
    async with serving() as served:
        reader, writer = await served.open(sent)
        await served.until(lambda: served.count("agi_connections") == 1)
        if how == "rst":
            reset(writer)
        else:
            await ended_by_us(reader, writer)
        await served.until_idle()
        assert served.rejected() == {"eof": 1}
        assert served.records == []
        assert {entry["log_level"] for entry in served.log.entries} == {"info"}


async def ended_by_us(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write_eof()
    assert await ended(reader, writer) == b""


async def test_a_peer_that_is_gone_before_it_is_accepted_is_only_counted() -> None:
    async with serving() as served:
        for _ in range(5):
            with socket.create_connection(served.address) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await served.until(lambda: sum(served.rejected().values()) == 5)
        assert served.rejected() == {"eof": 5}
        assert {entry["log_level"] for entry in served.log.entries} == {"info"}


# --- the deadline -------------------------------------------------------------------------------------------------


async def nothing(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    """Say nothing."""


async def half_a_block(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(environment()[:200])


async def crlf(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(environment().replace(b"\n", b"\r\n"))


async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A byte at a time, for ever: each of them is news, and none of them is progress."""
    with contextlib.suppress(ConnectionError):
        writer.write(b"agi_")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.005)


async def no_reply(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(environment())


async def no_end_of_reply(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(environment())
    await asyncio.sleep(0.02)
    writer.write(b"520-Usage\nmore\n")


async def hangups_only(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(environment())
    with contextlib.suppress(ConnectionError):
        while not writer.is_closing():
            writer.write(b"HANGUP\n")
            await writer.drain()
            await asyncio.sleep(0.02)


Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.mark.parametrize("peer", [nothing, half_a_block, crlf, drip, no_reply, no_end_of_reply, hangups_only])
async def test_a_peer_that_does_not_come_to_an_end_is_cut_off_at_the_deadline(peer: Peer) -> None:
    async with serving(deadline_seconds=SHORT_SECONDS) as served:
        reader, writer = await served.open()
        talking = asyncio.ensure_future(peer(reader, writer))
        await ended(reader, writer)
        await talking
        await served.until_idle()
        assert served.rejected() == {"deadline": 1}


async def test_a_deadline_is_each_calls_own() -> None:
    """Peers that come one after the other go one after the other, and those that finish are not touched."""
    async with serving(deadline_seconds=SHORT_SECONDS * 4) as served:
        order: list[int] = []

        async def stall(index: int) -> None:
            await asyncio.sleep(index * SHORT_SECONDS / 2)
            reader, writer = await served.open(b"agi_")
            await ended(reader, writer)
            order.append(index)

        stalled = [asyncio.ensure_future(stall(index)) for index in range(5)]
        while not all(each.done() for each in stalled):
            assert (await served.dial("02079460000")).variables["ROUTE_CONTEXT"] == "flow-0"
        await asyncio.gather(*stalled)
        assert order == sorted(order)
        await served.until_idle()
        assert served.rejected() == {"deadline": 5}


async def test_the_deadline_still_works_after_a_time_without_calls() -> None:
    async with serving(deadline_seconds=SHORT_SECONDS) as served:
        for cut in (1, 2):
            reader, writer = await served.open()
            await ended(reader, writer)
            await served.until_idle()
            assert served.rejected() == {"deadline": cut}


# --- who may connect, and how many --------------------------------------------------------------------------------


async def _asked_from(served: Served, source: str, at: int = 0) -> Call:
    host, port = served.addresses[at]
    reader, writer = await asyncio.open_connection(host, port, local_addr=(source, 0))
    call = Call(reader, writer)
    with contextlib.suppress(ConnectionError):
        await call.run([environment({"agi_extension": "02079460000"})])
    writer.close()
    return call


@pytest.mark.parametrize(
    ("allow", "answered"),
    [
        (("127.0.0.0/8",), True),
        (("127.0.0.2/32",), True),
        (("192.0.2.0/24", "127.0.0.0/30"), True),
        (("127.0.0.1/32",), False),
        (("192.0.2.0/24", "::/0"), False),
        (("::1/128",), False),
        ((), False),
    ],
)
async def test_only_peers_of_the_allowed_networks_are_answered(allow: tuple[str, ...], answered: bool) -> None:
    async with serving(allow=allow) as served:
        for _ in range(2):  # looked up, and remembered
            call = await _asked_from(served, "127.0.0.2")
            assert len(call.commands) == answered
        await served.until(lambda: answered or served.rejected() == {"peer": 2})
        if not answered:
            assert all("127.0.0.2" in entry["peer"] for entry in served.log.entries)


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not _has_ipv6(), reason="this machine has no ::1")
class TestIPv6:
    @pytest.mark.parametrize(
        ("allow", "answered"),
        [(("::1/128",), True), (("::/64",), True), (("2001:db8::/32",), False), (("127.0.0.0/8", "0.0.0.0/0"), False)],
    )
    async def test_only_peers_of_the_allowed_networks_are_answered(
        self, allow: tuple[str, ...], answered: bool
    ) -> None:
        async with serving(hosts=["::1"], allow=allow) as served:
            call = await _asked_from(served, "::1")
            assert len(call.commands) == answered
            await served.until(lambda: answered or served.rejected() == {"peer": 1})

    @pytest.mark.parametrize(
        ("allow", "answered"), [(("127.0.0.0/8",), True), (("192.0.2.0/24", "::1/128"), False), (("::/0",), False)]
    )
    async def test_an_ipv4_peer_of_a_dual_socket_is_judged_as_ipv4(
        self, allow: tuple[str, ...], answered: bool
    ) -> None:
        async with serving(hosts=["::"], allow=allow) as served:
            served.addresses = [("127.0.0.1", served.addresses[0][1])]
            call = await _asked_from(served, "127.0.0.1")
            assert len(call.commands) == answered
            await served.until(lambda: answered or served.rejected() == {"peer": 1})

    async def test_several_sockets_are_served_at_once(self) -> None:
        async with serving(hosts=["127.0.0.1", "::1"]) as served:
            for at, source in enumerate(["127.0.0.1", "::1"]):
                assert (await _asked_from(served, source, at)).variables["ROUTE_CONTEXT"] == "flow-0"


async def test_connections_over_the_cap_are_turned_away_and_those_within_it_go_on() -> None:
    async with serving(max_connections=3) as served:
        held = [await served.open(b"agi_") for _ in range(3)]
        await served.until(lambda: served.count("agi_connections") == 3)
        reader, writer = await served.open()
        assert await ended(reader, writer) == b""
        assert served.rejected() == {"capacity": 1}
        held[0][1].close()
        await served.until(lambda: served.count("agi_connections") == 2)
        assert (await served.dial("02079460000")).variables["ROUTE_CONTEXT"] == "flow-0"
        for _, each in held:
            each.close()


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Both ends of every connection are this process's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096) if hard > 0 else 4096, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_five_hundred_calls_at_once_with_hostile_ones_among_them_are_answered_rightly(
    many_descriptors: None,
) -> None:
    honest, hostile = 446, 54
    arrived = 0
    everybody = asyncio.Event()

    async with serving(table=routes(honest)) as served:

        async def call(index: int) -> Call:
            nonlocal arrived
            reader, writer = await served.open(b"agi_network: yes\n")
            arrived += 1
            if arrived == honest + hostile:
                everybody.set()
            await everybody.wait()
            lines = environment_lines({"agi_extension": f"0207946{index:04}", "agi_uniqueid": f"honest.{index}"})
            made = Call(reader, writer)
            await made.run(lines[1:])
            writer.close()
            return made

        async def offend(index: int) -> None:
            nonlocal arrived
            reader, writer = await served.open()
            arrived += 1
            if arrived == honest + hostile:
                everybody.set()
            await everybody.wait()
            match index % 6:
                case 0:
                    reset(writer)
                    return
                case 1:
                    writer.write(b"GET / HTTP/1.0\r\n\r\n")
                case 2:
                    writer.write(environment({"agi_callerid": FORGED_END}))
                case 3:
                    writer.write(b"agi_x: " + b"y" * 100_000)
                case 4:
                    writer.write(environment({"agi_extension": "raise"}))
                case 5:
                    writer.write(environment() + b"\n" * 1000)
            await reader.read(1)
            writer.close()

        async with asyncio.timeout(PATIENCE_SECONDS):
            results = await asyncio.gather(*map(call, range(honest)), *map(offend, range(hostile)))
        for index, made in enumerate(results[:honest]):
            assert made is not None
            assert made.variables["ROUTE_CONTEXT"] == f"flow-{index}"
            assert made.variables["ROUTE_NUMBER"] == f"+44207946{index:04}"
        await served.until_idle()
        await served.until(lambda: served.decided().get(("assigned", "call-flow")) == honest)
        recorded = {record.unique_id for record in served.records if record.reason == "assigned"}
        assert recorded == {f"honest.{index}" for index in range(honest)}
        rejected = served.rejected()
        assert rejected["not-agi"] == rejected["too-long"] == rejected["internal"] == hostile // 6
        assert served.count("agi_connections") == 0


# --- the orderly end ----------------------------------------------------------------------------------------------


async def test_calls_in_flight_finish_and_new_ones_are_refused() -> None:
    async with serving() as served:
        reader, writer = await served.open(environment({"agi_extension": "02079460000"})[:300])
        await served.until(lambda: served.count("agi_connections") == 1)
        draining = asyncio.ensure_future(served.server.drain(PATIENCE_SECONDS))
        refused = False
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not refused:
                try:
                    _, other = await asyncio.open_connection(*served.address)
                except ConnectionRefusedError:
                    refused = True
                else:
                    other.close()
        assert not draining.done()
        writer.write(environment({"agi_extension": "02079460000"})[300:])
        assert dict(executed(await reader.readline()))["ROUTE_CONTEXT"] == "flow-0"
        assert not draining.done()
        writer.write(b"200 result=0\n")
        assert await ended(reader, writer) == b""
        assert await draining == 0


async def test_a_call_that_does_not_end_is_cut_off_when_the_drain_has_waited_long_enough() -> None:
    async with serving() as served:
        reader, writer = await served.open(b"agi_")
        await served.until(lambda: served.count("agi_connections") == 1)
        assert await served.server.drain(SHORT_SECONDS) == 1
        assert await ended(reader, writer) == b""
        await served.until_idle()
        assert served.rejected() == {"deadline": 1}


async def test_draining_without_a_call_ends_at_once() -> None:
    async with serving() as served:
        assert await served.server.drain(PATIENCE_SECONDS) == 0


# Python's own loop loses a connection between its accept and its transport when a server closes; uvloop does not.
@pytest.mark.asyncio(loop_factories=["uvloop"])
@pytest.mark.parametrize("turns", range(6))
async def test_who_was_connected_when_the_socket_closed_is_answered(turns: int) -> None:
    """Queued in the kernel or just accepted: whatever stage a connection has reached, it counts as accepted."""
    block = environment({"agi_extension": "02079460000"})
    answers: list[bytes] = []

    def talk(sock: socket.socket) -> None:
        with sock, sock.makefile("rb") as lines:
            sock.settimeout(PATIENCE_SECONDS)
            answers.append(lines.readline())
            sock.sendall(b"200 result=0\n")
            lines.read()

    async with serving() as served:
        connected = [socket.create_connection(served.address) for _ in range(20)]
        for each in connected:
            each.sendall(block)
        threads = [threading.Thread(target=talk, args=(each,)) for each in connected]
        for thread in threads:
            thread.start()
        for _ in range(turns):
            await asyncio.sleep(0)
        assert await served.server.drain(PATIENCE_SECONDS) == 0
        for thread in threads:
            await asyncio.to_thread(thread.join, PATIENCE_SECONDS)
        assert [dict(executed(answer))["ROUTE_CONTEXT"] for answer in answers] == ["flow-0"] * 20


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_who_was_accepted_in_the_turn_in_which_the_end_was_told_is_answered() -> None:
    """uvloop accepts in one turn and tells of it in the next; the signal may stand between the two."""
    told, teller = socket.socketpair()
    loop = asyncio.get_running_loop()
    answered = threading.Event()

    def talk(sock: socket.socket) -> None:
        with sock, sock.makefile("rb") as lines:
            sock.settimeout(PATIENCE_SECONDS)
            if lines.readline().startswith(b"EXEC MSet"):
                answered.set()
            sock.sendall(b"200 result=0\n")
            lines.read()

    with told, teller:
        async with serving() as served:
            drained: asyncio.Future[bool] = loop.create_future()

            async def drain() -> None:
                await served.server.drain(PATIENCE_SECONDS)
                drained.set_result(answered.is_set())

            def on_told() -> None:
                loop.remove_reader(told)
                tasks.append(loop.create_task(drain()))

            tasks: list[asyncio.Task[None]] = []
            loop.add_reader(told, on_told)
            await asyncio.sleep(0)
            teller.sendall(b"x")  # both are there before the loop looks again, this one first
            sock = socket.create_connection(served.address)
            sock.sendall(environment({"agi_extension": "02079460000"}))
            thread = threading.Thread(target=talk, args=(sock,))
            thread.start()
            async with asyncio.timeout(PATIENCE_SECONDS):
                assert await drained
            await asyncio.to_thread(thread.join, PATIENCE_SECONDS)
            await tasks[0]
