"""One window: a server loaded for a few seconds, at a rate or at saturation, with what it used meanwhile."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench import processes
from bench.servers import CONSTANT
from bench.sites import BenchError, Server

_FOLDER = Path(__file__).resolve().parent


class Load(NamedTuple):
    """What one window is: how many calls, over how many numbers, and what else its generator is told."""

    script: str
    calls: int
    numbers: int
    words: Sequence[str] = ()


def at_rate(rate: float, seconds: float, numbers: int, arrivals: str, gap_us: float | None) -> Load:
    """Return the load of an open loop: `rate` calls/s for so many seconds, whatever the server does."""
    gap = [] if gap_us is None else ["--gap", str(gap_us)]
    words = ["--rate", str(rate), "--arrivals", arrivals, *gap]
    return Load("loadgen.py", max(1, round(rate * seconds)), numbers, words)


def saturating(calls: int, numbers: int) -> Load:
    """Return the load of waves that leave the server's core no idle moment."""
    return Load("waves.py", calls, numbers)


def measured(server: Server, load: Load, core: int | None, seed: int, *, foreign_limit: float | None) -> dict[str, Any]:
    """Load one server; return the generator's summary, with the server's CPU and why the window is void, if it is.

    The CPU is read right before the first call and right after the last. `foreign_limit` None: however much other
    programs use meanwhile. Raises BenchError.
    """
    command = [sys.executable, str(_FOLDER / load.script), "--on-go", "--port", str(server.port), *load.words]
    command += ["--calls", str(load.calls), "--numbers", str(load.numbers), "--seed", str(seed)]
    if load.script == "waves.py":
        command += ["--pid", str(server.pid)]
    if core is not None:
        command += ["--core", str(core)]
    if server.name in CONSTANT:
        command.append("--any-answer")
    with processes.started(command, core, subprocess.PIPE) as generator:
        if generator.stdin is None or generator.stdout is None or generator.stdout.readline() != b"ready\n":
            raise BenchError(f"the load generator did not start: {' '.join(command)}")
        meter = processes.Meter(server.pid)
        generator.stdin.write(b"go\n")
        generator.stdin.flush()
        line = generator.stdout.readline()
        used = meter.read()
    if not line:
        raise BenchError(f"the load generator ended without a word: {' '.join(command)}")
    summary: dict[str, Any] = json.loads(line)
    # A generator that stops its server knows itself what the server has used.
    summary.setdefault("server_cpu_us", round(used.process_seconds / load.calls * 1e6, 2))
    foreign = used.machine_seconds - used.process_seconds - summary["generator_cpu_us"] * load.calls / 1e6
    summary["foreign_share"] = round(foreign / used.seconds, 3)
    disturbed = foreign_limit is not None and summary["foreign_share"] > foreign_limit
    # Calls that only took too long are no fault of the server's then.
    summary["excused"] = disturbed or summary.pop("generator_late", False)
    if not summary["void"] and disturbed:
        summary["void"] = f"other programs used {summary['foreign_share']:.0%} of a core"
    return summary
