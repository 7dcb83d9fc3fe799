"""A connection without a socket: which bytes come in which piece is the test's choice, not the kernel's."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import structlog

from dialplan.routing.table import RoutingTable
from router.agi.connection import AgiConnection
from router.agi.server import AgiServer, Limits
from router.observe.log import CallRecord
from router.observe.metrics import Metrics
from tests.fastagi import environment, executed
from tests.unit.router.agi.serving import Verbs, routes

FORGED_KEYS = "1\nagi_callingpres: 0\nagi_dnid: 999\n"


class Wire(asyncio.Transport):
    """What a connection writes to; `ended`: its side is closed, one way or the other."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        super().__init__({"peername": (host, 1)})
        self.commands: list[bytes] = []
        self.closed = False
        self.ended = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.ended, "written after the end"
        self.commands.append(bytes(data))

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.closed = self.ended = True

    def abort(self) -> None:
        self.close()

    def is_closing(self) -> bool:
        return self.closed


class Line:
    """One call on a wire: what has been set at the other end, when all commands sent so far have run."""

    def __init__(self, server: AgiServer, host: str = "127.0.0.1") -> None:
        self.wire = Wire(host)
        self.connection = AgiConnection(server)
        self.connection.connection_made(self.wire)

    def receive(self, *pieces: bytes) -> None:
        """Let pieces come in, as long as the connection takes any."""
        for piece in pieces:
            if piece and not self.wire.closed:
                self.connection.data_received(piece)

    def reply(self, reply: bytes = b"200 result=0\n") -> None:
        """Reply to each command, also to those that come of that."""
        replied = 0
        while replied < len(self.wire.commands):
            replied += 1
            self.receive(reply)

    @property
    def variables(self) -> dict[str, str]:
        return dict(pair for command in self.wire.commands for pair in executed(command))


class Exchange:
    """A server without sockets, and what it counted."""

    def __init__(self, table: RoutingTable | None = None, allow: tuple[str, ...] = ("127.0.0.0/8",)) -> None:
        self.metrics = Metrics()
        self.records: list[CallRecord] = []
        self.log = structlog.testing.LogCapture()
        bound = structlog.make_filtering_bound_logger(0)
        log = structlog.wrap_logger(None, processors=[self.log], wrapper_class=bound)
        limits = Limits(allow, 1_000.0)
        verbs = Verbs(table or routes())
        self.server = AgiServer(verbs, limits, self.metrics, log, self.records.append, usual=verbs.usual)

    def line(self, *pieces: bytes) -> Line:
        """A new call, for which these pieces have come in."""
        line = Line(self.server)
        line.receive(*pieces)
        return line

    def count(self, name: str, **labels: str) -> float:
        self.server.accounts.settle()
        value = self.metrics.registry.get_sample_value(f"ringway_{name}", labels)
        return value or 0.0

    def rejected(self) -> list[str]:
        return [entry["cause"] for entry in self.log.entries if entry["event"] == "agi_rejected"]


def forged(
    tail: str = "", did: str = "02079460000", script: str = "route?params", arguments: Iterable[str] = ()
) -> tuple[bytes, bytes]:
    """A block in which a caller's number ends the environment early, cut there; `tail` is the caller's too."""
    given = "".join(f"agi_arg_{place}: {value}\n" for place, value in enumerate(arguments, start=1))
    number = f"{FORGED_KEYS}agi_extension: {did}\n{given}\n{tail}"
    block = environment({"agi_callerid": number, "agi_network_script": script})
    end = block.index(b"\n\n") + 2
    return block[:end], block[end:]


def in_a_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """For a test of many cases: each in a loop of its own, since the server counts by a timer."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        async def once() -> None:
            await test(*arguments, **named)

        asyncio.run(once())

    return run
