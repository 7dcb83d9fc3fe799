"""The callers' side of a real `ringway serve`: connections, a steady load, and what strangers send."""

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncIterator

from tests.fastagi import environment_lines, executed, place
from tests.processes import PATIENCE_SECONDS

DID, FLOW = "02079460000", "flow-main-menu"
CALLS_PER_SECOND = 200

# What strangers may put where a number belongs.
HOSTILE = [
    b'"},{"event":"call"}',
    b"\x1b[2J\x1b]0;title\x07",
    b"\r{}",
    b"\xff\xfe\x9b31m",
    "\u2028\u2029\x85".encode(),
    b"\0",
    b"x reason=assigned caller=+44",
    b"%s %(x)s {0}",
    "\u202e0207".encode(),
]


class Load:
    """Calls at a steady rate, each on a connection of its own, and how each of them ended."""

    def __init__(self, port: int) -> None:
        self.ended: Counter[str] = Counter()
        self._port = port
        self._stop = asyncio.Event()
        self._calls: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Place calls until told to stop, and wait for their ends."""
        while not self._stop.is_set():
            call = asyncio.create_task(self._call())
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), 1 / CALLS_PER_SECOND)
        await asyncio.gather(*self._calls)

    def stop(self) -> None:
        self._stop.set()

    async def more(self, count: int, kind: str = "answered") -> None:
        """Wait until so many more calls have ended that way."""
        wanted = self.ended[kind] + count
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.ended[kind] < wanted:  # noqa: ASYNC110 - ends as calls do, without an event of its own
                await asyncio.sleep(0.002)

    async def _call(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                call = await place("127.0.0.1", self._port, environment_lines({"agi_extension": DID}))
        except ConnectionRefusedError:
            self.ended["refused"] += 1
        except (OSError, TimeoutError) as error:
            self.ended[repr(error)] += 1
        else:
            right = call.variables.get("ROUTE_CONTEXT") == FLOW and call.variables.get("ROUTE_STATUS") == "OK"
            self.ended["answered" if right else f"dropped after {call.commands!r}"] += 1


@contextlib.asynccontextmanager
async def steady_load(port: int) -> AsyncIterator[Load]:
    """Calls at a steady rate while the block runs; all of them have ended afterwards."""
    calls = Load(port)
    running = asyncio.create_task(calls.run())
    try:
        yield calls
    finally:
        calls.stop()
        await running


def connect(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
    sock.settimeout(PATIENCE_SECONDS)
    return sock


def refuses(port: int) -> bool:
    """Whether a new connection is refused."""
    try:
        connect(port).close()
    except ConnectionRefusedError:
        return True
    return False


def raw_call(port: int, dialled: bytes, caller: bytes, unique_id: str) -> dict[str, str]:
    """One call with bytes as a trunk may send them."""
    lines = environment_lines({"agi_extension": "DIALLED", "agi_callerid": "CALLER", "agi_uniqueid": unique_id})
    block = b"".join(lines).replace(b"DIALLED", dialled).replace(b"CALLER", caller)
    with connect(port) as sock, sock.makefile("rb") as answers:
        sock.sendall(block)
        said = dict(executed(answers.readline()))
        sock.sendall(b"200 result=0\n")
        assert answers.read() == b""
    return said
