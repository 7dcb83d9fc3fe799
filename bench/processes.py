"""Processes of the benchmark: started on a core of their own, their CPU time read, always ended."""

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cores() -> tuple[int | None, int | None]:
    """Return the cores of the server and of the generator; None twice where there is only one for both."""
    allowed = sorted(os.sched_getaffinity(0))
    return (allowed[-1], allowed[0]) if len(allowed) > 1 else (None, None)


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
            env={**os.environ, **(environment or {})},
        )
    with process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def cpu_seconds(root: int) -> float:
    """Return the user and system time that process `root` and all its descendants have used so far.

    Nanoseconds of the scheduler where the kernel keeps them, else clock ticks; children that ended are in the ticks.
    """
    return sum(_cpu_of(process) for process in _tree(root)) + _reaped(root)


def machine_cpu_seconds() -> float:
    """Return the time that the cores this process may use have spent on anything since boot."""
    mine = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    rows = (line.split() for line in Path("/proc/stat").read_text("ascii").splitlines())
    # user, nice, system, (idle, iowait,) irq, softirq, steal: proc_stat(5)
    ticks = sum(int(row[column]) for row in rows if row[0] in mine for column in (1, 2, 3, 6, 7, 8))
    return ticks / _TICKS_PER_SECOND


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


def _cpu_of(process: int) -> float:
    try:
        tasks = Path(f"/proc/{process}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    except FileNotFoundError:
        fields = _stat(process)
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def _reaped(process: int) -> float:
    fields = _stat(process)
    return (int(fields[13]) + int(fields[14])) / _TICKS_PER_SECOND
