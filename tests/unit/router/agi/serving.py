"""A server for tests: one that serves on free ports, what it said and counted, and the callers' side of it."""

import asyncio
import contextlib
import gc
import pathlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog

from dialplan.campaigns.attempts import AttemptReport
from dialplan.campaigns.callbacks import Claim, ClaimStatus
from dialplan.kinds.call_flow import CallFlow
from dialplan.kinds.fields import Destination
from dialplan.kinds.number import Number, NumberKind
from dialplan.kinds.parameter import Parameter, ParameterType
from dialplan.kinds.registry import Row, RowKind
from dialplan.routing.decide import Decision, Kind
from dialplan.routing.steps import REASONS
from dialplan.routing.steps.step import Numbered as Entry
from dialplan.routing.table import Patch, RoutingTable
from router.agi.causes import CAUSES
from router.agi.messages import AgiRequest
from router.agi.server import AgiServer, Limits
from router.agi.verbs.verb import Response
from router.observe.log import CallRecord
from router.observe.metrics import Metrics
from tests.fastagi import Call, environment_lines, place
from tests.unit.router.agi.asking import dispatcher, usual_calls

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
    patch = Patch(1, full=True)
    patch.add(rows)
    return RoutingTable().patched(patch)


class NoCallbacks:
    """Nobody was rung, and nobody rings back."""

    shared = False

    def knows(self, _number: str, _subscriber: str) -> bool:
        return False

    def since(self, _number: str, _subscriber: str, _entry: Entry, _began: float) -> Mapping[str, float]:
        return {}

    async def claim(
        self, _number: str, _subscriber: str, _call_id: str, _now: float, _since: Mapping[str, float]
    ) -> Claim:
        return Claim(ClaimStatus.NONE)

    def count(self, _claim: Claim, _decision: Decision) -> None:
        pass

    async def report(self, _report: AttemptReport) -> bool:
        return True

    async def next_index(self, _sequence_key: str) -> int | None:
        return None


class Verbs:
    """The real ones, but for the extension `raise`."""

    def __init__(self, table: RoutingTable) -> None:
        self._real = dispatcher(lambda: table, NoCallbacks())
        self.usual = usual_calls(lambda: table, NoCallbacks())
        self.names = self._real.names

    def answer(self, request: AgiRequest, now: float) -> Response | Awaitable[Response]:
        if request.extension == "raise":
            raise ZeroDivisionError("a defect")
        return self._real.answer(request, now)

    def fallback_response(self, revoked: Response | None = None) -> Response:
        return self._real.fallback_response(revoked)

    def failed_response(self, request: AgiRequest) -> Response:
        return self._real.failed_response(request)


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
        self.server.accounts.settle()
        return self.written

    @property
    def address(self) -> tuple[str, int]:
        return self.addresses[0]

    def count(self, name: str, **labels: str) -> float:
        self.server.accounts.settle()
        value = self.metrics.registry.get_sample_value(f"ringway_{name}", labels)
        assert value is not None, (name, labels)
        return value

    def rejected(self) -> dict[str, int]:
        """Causes with their counts, those of zero left out."""
        counts = {str(cause): int(self.count("agi_rejected_total", cause=str(cause))) for cause in CAUSES}
        return {cause: count for cause, count in counts.items() if count}

    def decided(self) -> dict[tuple[str, str], int]:
        pairs = [(reason, kind) for reason in REASONS for kind in Kind]
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
    verbs = Verbs(table or routes())
    server = AgiServer(verbs, wanted, metrics, log, records.append, usual=verbs.usual)
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
