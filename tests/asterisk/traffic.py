"""A steady stream of calls that goes on while a test does something to the routers, and what became of each call.

The stream ends when the test says so: a test waits for calls to come through, never for a time that it guessed.
"""

import signal
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from tests.asterisk.pbx import Arrival, Asterisk
from tests.asterisk.pbx_conf import Flow
from tests.asterisk.sipp import Dial, Outcome, SippError, read_outcomes, write_calls
from tests.processes import PATIENCE_SECONDS, wait_until

DEFAULT = "ringway-default"
# Writes down who reaches [ringway-default], as the call leaves it: the context itself stays the shipped one.
DEFAULT_FLOW = Flow(DEFAULT, extens=("h",), answer=False)

_TAKEN, _BUSY = 200, 486
_CALLS_MAX = 9_000  # one caller's number each; a test places a few hundred
_QUIT = signal.SIGUSR1  # SIPp places no more calls then, and ends when those that it placed have
_LISTENING = "0A"  # TCP_LISTEN in /proc/net/tcp


def now_ms() -> float:
    """Milliseconds since 1970, by the clock that Asterisk records with."""
    return time.time() * 1000


def in_queue(port: int) -> int:
    """How many connections to a port of loopback the kernel has accepted and its process has not."""
    for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]:
        _, local, _, state, queues, *_ = line.split()
        if state == _LISTENING and local.endswith(f":{port:04X}"):
            return int(queues.partition(":")[2], 16)
    return 0


class Ended(NamedTuple):
    """All calls of a stream, after the last of them: `outcomes` as the callers saw it, `calls` as Asterisk did."""

    outcomes: list[Outcome]
    calls: list[Arrival]

    def by(self, status: str) -> list[Arrival]:
        """The calls that the router (OK), a cached route (KEPT) or nobody (NONE) decided."""
        return [call for call in self.calls if call.variables["ROUTE_STATUS"] == status]

    def answered_by(self, version: int) -> list[Arrival]:
        """The calls that a router with this version of the table decided."""
        return [call for call in self.by("OK") if call.variables["ROUTE_VERSION"] == str(version)]


class Traffic:
    """Calls to the `numbers` round-robin, each from a caller's number of its own, `rate` a second until `end()`."""

    def __init__(self, asterisk: Asterisk, numbers: Sequence[str], rate: float) -> None:
        self._asterisk = asterisk
        self._rate = rate
        self._tracker = [Dial(numbers[i % len(numbers)], f"+1555{i:07}") for i in range(_CALLS_MAX)]
        self._folder = tempfile.TemporaryDirectory(prefix="ringway-sipp-")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        place = Path(self._folder.name)
        command = write_calls(place, self._asterisk.ports.sip, self._tracker, rate=self._rate)
        with (place / "console").open("wb") as console:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command, "-l", "1000"],
                cwd=place,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._running()
        if process.poll() is None:
            process.kill()
            process.wait()
        self._folder.cleanup()

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the stream was not started"
        return self._process

    def more(self, count: int, where: Callable[[Arrival], bool] = lambda _: True) -> None:
        """Wait until so many more calls have come through that started from now on (and that `where` holds for)."""
        self.after(now_ms(), count, where)

    def after(self, moment_ms: float, count: int, where: Callable[[Arrival], bool] = lambda _: True) -> None:
        """Wait until so many calls have come through that started at a moment or later."""

        def come() -> bool:
            assert self._running().poll() is None, "SIPp has ended by itself"
            calls = self._asterisk.calls()
            return sum(call.started_ms >= moment_ms and where(call) for call in calls) >= count

        wait_until(come, f"{count} calls that start after {moment_ms:.0f}")

    def end(self) -> Ended:
        """Place no more calls, and return what became of each one when the last is over.

        Insists that each call placed reached one flow or the default, and once; that its caller saw the same; and
        that Asterisk has no channel left.
        """
        process = self._running()
        process.send_signal(_QUIT)
        try:
            status = process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise SippError("SIPp has calls that do not end") from error
        place = Path(self._folder.name)
        if status not in (0, 1):
            raise SippError(f"SIPp ended with {status}:\n{(place / 'console').read_text('utf-8', 'replace')[-3000:]}")
        outcomes = [each for each in read_outcomes(place, self._tracker) if each.placed]
        self._asterisk.wait_idle()
        calls = self._asterisk.calls()
        arrived, placed = Counter(call.caller for call in calls), Counter(str(each.dial.caller) for each in outcomes)
        assert [each for each in outcomes if str(each.dial.caller) in placed - arrived] == [], "they arrived nowhere"
        assert [call for call in calls if call.caller in arrived - placed] == [], "they arrived more often than placed"
        where = {call.caller: call.context for call in calls}
        for each in outcomes:
            status = _BUSY if where[str(each.dial.caller)] == DEFAULT else _TAKEN
            assert (each.status, each.ended_ms is None) == (status, False), each
        assert self._asterisk.channels() == 0
        return Ended(outcomes, calls)


class Waits:
    """How long calls had to wait for their flow in each scenario; printed as one table, never asserted."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, ...]] = []

    def add(self, scenario: str, ended: Ended, quiet_until_ms: float) -> None:
        """Note a scenario: what its calls waited beyond the median of those that were over before it began."""
        quiet = [call.route_ms for call in ended.calls if call.arrived_ms < quiet_until_ms]
        rest = [call.route_ms for call in ended.calls if call.arrived_ms >= quiet_until_ms]
        median = statistics.median(quiet) if quiet else 0.0
        routers = Counter(call.variables["ROUTE_VERSION"] for call in ended.by("OK"))
        counts = [len(ended.calls), routers["1"], routers["2"], len(ended.by("KEPT")), len(ended.by("NONE"))]
        self._rows.append((scenario, *map(str, counts), f"{median:.1f}" if quiet else "-", f"{max(rest) - median:.1f}"))

    def table(self) -> str:
        """The table as text, empty where no scenario ran."""
        if not self._rows:
            return ""
        head = ("scenario", "calls", "router 1", "router 2", "kept", "default", "median ms", "longest extra wait ms")
        rows = [head, *sorted(self._rows)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
        return "\n".join(lines)
