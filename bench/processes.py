"""Processes of the benchmark: started on a core of their own, their CPU time read, always ended."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

STOP_SECONDS = 10.0  # until a process that does not stop is a mistake
SETTLE_LOOK_SECONDS = 0.5
SETTLE_BYTES = 256 * 1024  # a process that grows or shrinks less than that between two looks has settled
SETTLE_SECONDS = 30.0
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cores() -> tuple[int | None, int | None]:
    """Return the cores of the server and of the generator; None twice where there is only one for both."""
    allowed = sorted(os.sched_getaffinity(0))
    return (allowed[-1], allowed[0]) if len(allowed) > 1 else (None, None)


def end_on_sigterm() -> None:
    """Let SIGTERM end this process as Ctrl-C does, so that what it has started ends with it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def free_port() -> int:
    """Return a TCP port of loopback that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Keep this process, and so whatever it starts meanwhile, on one core."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def started(
    command: Sequence[str], core: int | None, output: IO[bytes] | int, environment: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run `command` on `core` while the block runs; end it by SIGTERM, after ten seconds by SIGKILL."""
    with on_core(core):
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=None if output == subprocess.PIPE else output,
            env=environment,
        )
    with process:
        try:
            yield process
        finally:
            process.terminate()
            process.send_signal(signal.SIGCONT)  # one that was stopped ends only when it goes on
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def cpu_seconds(root: int) -> float:
    """Return the user and system time that process `root` and all its descendants have used so far.

    Nanoseconds of the scheduler where the kernel keeps them, else clock ticks; children that ended are in the ticks.
    """
    return sum(_cpu_of(process) for process in _tree(root)) + _reaped(root)


class Scheduled(NamedTuple):
    """Seconds of the scheduler's clock: in which any thread ran, and in which the main one could have run.

    Other threads wait for a core while the main one has it: that is no time of its own.
    """

    ran: float
    waited: float  # while something else had the core


def scheduled(process: int) -> Scheduled:
    """Return how long `process` itself has run and waited for its core; zeros where the kernel keeps no such count."""
    ran = sum(_schedstat(task).ran for task in _tasks(process))
    return Scheduled(ran, _schedstat(Path(f"/proc/{process}")).waited)


@contextlib.contextmanager
def stopped(process: int) -> Iterator[None]:
    """Hold `process` (SIGSTOP) while the block runs. Raises TimeoutError where it does not stop."""
    os.kill(process, signal.SIGSTOP)
    try:
        give_up = time.monotonic() + STOP_SECONDS
        while any(_task_state(task) not in "TXZ" for task in _tasks(process)):
            if time.monotonic() > give_up:
                raise TimeoutError(f"process {process} does not stop")
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def resident_bytes(process: int) -> tuple[int, int]:
    """Return the resident size of `process` now, and the largest that it has had (VmRSS and VmHWM)."""
    lines = Path(f"/proc/{process}/status").read_text("utf-8", "replace").splitlines()
    sizes = dict(line.split(":", 1) for line in lines)
    return _kib(sizes["VmRSS"]), _kib(sizes["VmHWM"])


def settled_bytes(process: int) -> int:
    """Return the resident size of `process` as soon as two looks, half a second apart, find about the same."""
    give_up = time.monotonic() + SETTLE_SECONDS
    before = resident_bytes(process)[0]
    while True:
        time.sleep(SETTLE_LOOK_SECONDS)
        now = resident_bytes(process)[0]
        if abs(now - before) < SETTLE_BYTES or time.monotonic() > give_up:
            return now
        before = now


def machine_cpu_seconds() -> float:
    """Return the time that the cores this process may use have spent on anything since boot."""
    mine = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    rows = (line.split() for line in Path("/proc/stat").read_text("ascii").splitlines())
    # user, nice, system, (idle, iowait,) irq, softirq, steal: proc_stat(5)
    ticks = sum(int(row[column]) for row in rows if row[0] in mine for column in (1, 2, 3, 6, 7, 8))
    return ticks / _TICKS_PER_SECOND


class Used(NamedTuple):
    """What was used in so many seconds: CPU of some processes with their children, and of the whole machine."""

    seconds: float
    process_seconds: float
    machine_seconds: float

    @property
    def foreign_share(self) -> float:
        """Of one core, what others used meanwhile."""
        return (self.machine_seconds - self.process_seconds) / self.seconds

    def plus(self, other: "Used") -> "Used":
        """Return what both used, one after the other."""
        return Used(*(mine + more for mine, more in zip(self, other, strict=True)))


NOTHING = Used(0.0, 0.0, 0.0)


class Meter:
    """Reads what the process `root` with its children, and the machine, use from now on."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._before = self._now()

    def read(self) -> Used:
        """Return what was used since the meter was made."""
        return Used(*(now - before for now, before in zip(self._now(), self._before, strict=True)))

    def _now(self) -> tuple[float, float, float]:
        return time.monotonic(), cpu_seconds(self._root), machine_cpu_seconds()


def _tree(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                process = int(entry.name)
                children.setdefault(int(_stat(process)[1]), []).append(process)
    found = [root]
    for process in found:
        found.extend(children.get(process, []))
    return found


def _stat(process: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third on (proc_pid_stat(5)); the second may hold anything."""
    return Path(f"/proc/{process}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()


def _kib(text: str) -> int:
    return int(text.split(maxsplit=1)[0]) * 1024


def _tasks(process: int) -> list[Path]:
    return list(Path(f"/proc/{process}/task").iterdir())


def _task_state(task: Path) -> str:
    try:
        return (task / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # a thread that has ended meanwhile
        return "X"


def _schedstat(task: Path) -> Scheduled:
    try:
        ran, waited, _ = (task / "schedstat").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return Scheduled(0.0, 0.0)
    return Scheduled(int(ran) / 1e9, int(waited) / 1e9)


def _cpu_of(process: int) -> float:
    try:
        return sum(int((task / "schedstat").read_text().split()[0]) for task in _tasks(process)) / 1e9
    except FileNotFoundError:
        fields = _stat(process)
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def _reaped(process: int) -> float:
    fields = _stat(process)
    return (int(fields[13]) + int(fields[14])) / _TICKS_PER_SECOND
