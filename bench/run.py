"""`make bench`: the router beside a bare uvloop responder, at one rate, with a million numbers loaded."""

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import calls, dataset, processes, report
from bench.bare import ANSWER_BYTES
from bench.loadgen import Generator
from bench.tally import Tally

ROOT = Path(__file__).resolve().parent.parent
LOAD_SECONDS = 900  # until `ringway load` of the largest file is given up
START_SECONDS = 180  # until a router that does not answer is given up
MAX_ROUND_SECONDS = 120
FOREIGN_LIMIT = 0.2  # of one core: more, and the two servers were not measured on the same machine


class Server(NamedTuple):
    """A server under load: what the report calls it, where it listens, its first process."""

    name: str
    port: int
    pid: int


class Options(argparse.Namespace):
    """What may be asked."""

    rate: float
    seconds: float
    rounds: int
    numbers: int
    arrivals: str
    gap: float | None
    save: Path | None
    tiny: bool


def main() -> int:
    """Measure, print, save; exit status 1 when a call did not get its right answer, or a part did not start."""
    options = _options()
    try:
        result = _measure(options)
    except (BenchError, OSError, subprocess.SubprocessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(report.text(result))
    if options.save:
        options.save.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 1 if report.failed_calls(result) else 0


class BenchError(Exception):
    """A part of the benchmark did not do its work; the text says which, and its last words."""


def _options() -> Options:
    parser = argparse.ArgumentParser(description="The router's cost of a call beside a bare uvloop responder's.")
    parser.add_argument("--rate", type=float, default=1500.0, help="calls a second")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measured window")
    parser.add_argument("--rounds", type=int, default=5, help="each measures both servers once")
    parser.add_argument("--numbers", type=int, default=1_000_000, help="in the router's table")
    parser.add_argument("--arrivals", choices=("poisson", "uniform"), default="poisson")
    parser.add_argument("--gap", type=float, help="microseconds between two lines of a block")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write everything measured as JSON")
    parser.add_argument("--tiny", action="store_true", help="a few seconds: shows that it works, measures nothing")
    options = parser.parse_args(namespace=Options())
    if options.tiny:
        options.rate, options.seconds, options.rounds, options.numbers = 200.0, 1.0, 1, 2000
    if not 1 <= options.rounds <= 100 or not 0.1 <= options.seconds <= MAX_ROUND_SECONDS:
        parser.error(f"1 to 100 rounds of 0.1 to {MAX_ROUND_SECONDS} seconds")
    if not 1 <= options.rate <= calls.MAX_CALLS / MAX_ROUND_SECONDS or not 1 <= options.numbers <= calls.MAX_NUMBERS:
        parser.error(f"1 to {calls.MAX_CALLS // MAX_ROUND_SECONDS} calls/s and 1 to {calls.MAX_NUMBERS} numbers")
    return options


def _measure(options: Options) -> dict[str, Any]:
    server_core, generator_core = processes.cores()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ringway-bench-")))
        bare = stack.enter_context(_bare(server_core))
        environment = _router_environment(folder)
        load_seconds = _load(folder, environment, options.numbers)
        began = time.perf_counter()
        router = stack.enter_context(_router(folder, environment, server_core))
        start_seconds = time.perf_counter() - began
        rounds: list[dict[str, Any]] = []
        for server in (bare, router):  # not measured: caches fill, branches are learned
            _window(server, options, generator_core, seed=0, seconds=min(2.0, options.seconds))
        for number in range(options.rounds):
            # Who goes first changes, so that a machine that slows down favours neither.
            order = (bare, router) if number % 2 == 0 else (router, bare)
            rounds.append({})
            for server in order:
                rounds[-1][server.name] = _window(server, options, generator_core, seed=number + 1)
                print(report.window_line(number, server.name, rounds[-1][server.name]), flush=True)
    return {
        "tiny": options.tiny,
        "rate": options.rate,
        "seconds": options.seconds,
        "numbers": options.numbers,
        "arrivals": options.arrivals,
        "load_seconds": round(load_seconds, 2),
        "start_seconds": round(start_seconds, 2),
        "own_cores": server_core is not None,
        "machine": _machine(),
        "rounds": rounds,
    }


@contextlib.contextmanager
def _bare(core: int | None) -> Iterator[Server]:
    command = [sys.executable, str(ROOT / "bench" / "bare.py"), "--bytes", str(ANSWER_BYTES)]
    with processes.started(command, core, subprocess.PIPE) as process:
        said = (process.stdout.readline() if process.stdout else b"").split()
        if said[:1] != [b"listening"]:
            raise BenchError("the bare responder did not start")
        yield Server("bare", int(said[1]), process.pid)


def _router_environment(folder: Path) -> dict[str, str]:
    """Everything as it ships but for the ports and the place of the store; metrics and the log are on."""
    return {
        "RINGWAY_STORE__URL": f"sqlite:///{folder / 'ringway.db'}",
        "RINGWAY_AGI__PORT": str(processes.free_port()),
        "RINGWAY_METRICS__PORT": str(processes.free_port()),
        "RINGWAY_ADMIN__PORT": str(processes.free_port()),
    }


def _load(folder: Path, environment: dict[str, str], numbers: int) -> float:
    files = [str(file) for file in dataset.write(folder, numbers)]
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "router", "load", *files],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=LOAD_SECONDS,
    )
    if done.returncode:
        raise BenchError(f"`ringway load` failed: {done.stderr.strip()[-2000:]}")
    return time.perf_counter() - began


@contextlib.contextmanager
def _router(folder: Path, environment: dict[str, str], core: int | None) -> Iterator[Server]:
    """Start the router and wait for its first right answer."""
    port = int(environment["RINGWAY_AGI__PORT"])
    log = folder / "router.log"
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("wb"))
        command = [sys.executable, "-m", "router", "serve"]
        process = stack.enter_context(processes.started(command, core, output, environment))
        give_up = time.monotonic() + START_SECONDS
        while not (probe := _probe(port)).right:
            if process.poll() is not None or probe.wrong or time.monotonic() > give_up:
                last_words = log.read_text("utf-8", "replace")[-2000:]
                raise BenchError(f"the router did not start to answer rightly {probe.wrong_example}\n{last_words}")
            time.sleep(0.05)
        yield Server("router", port, process.pid)


def _probe(port: int) -> Tally:
    starts = calls.arrivals(1, 1, 1, poisson=False)
    return Generator(("127.0.0.1", port), starts, iter([0]), rate=1, check=calls.is_right_answer).run()


def _window(
    server: Server, options: Options, core: int | None, *, seed: int, seconds: float | None = None
) -> dict[str, Any]:
    """Load one server for one window; the server's CPU is read right before the first call and right after the last."""
    planned = max(1, round(options.rate * (seconds or options.seconds)))
    command = [sys.executable, str(ROOT / "bench" / "loadgen.py"), "--on-go", "--port", str(server.port)]
    command += ["--rate", str(options.rate), "--calls", str(planned), "--arrivals", options.arrivals]
    command += ["--numbers", str(options.numbers), "--seed", str(seed)]
    if options.gap is not None:
        command += ["--gap", str(options.gap)]
    if core is not None:
        command += ["--core", str(core)]
    if server.name == "bare":
        command.append("--any-answer")
    with processes.started(command, core, subprocess.PIPE) as generator:
        if generator.stdin is None or generator.stdout is None or generator.stdout.readline() != b"ready\n":
            raise BenchError("the load generator did not start")
        machine = processes.machine_cpu_seconds()
        before = processes.cpu_seconds(server.pid)
        generator.stdin.write(b"go\n")
        generator.stdin.flush()
        line = generator.stdout.readline()
        spent = processes.cpu_seconds(server.pid) - before
        machine = processes.machine_cpu_seconds() - machine
    if not line:
        raise BenchError("the load generator ended without a word")
    summary: dict[str, Any] = json.loads(line)
    summary["server_cpu_us"] = round(spent / planned * 1e6, 2)
    foreign = machine - spent - summary["generator_cpu_us"] * planned / 1e6
    summary["foreign_share"] = round(foreign * options.rate / planned, 3)
    if not summary["void"] and not options.tiny and summary["foreign_share"] > FOREIGN_LIMIT:
        summary["void"] = f"other programs used {summary['foreign_share']:.0%} of a core"
    return summary


def _machine() -> dict[str, Any]:
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    parts = {"python": platform.python_version(), "kernel": platform.release(), "cpu": cpu, "cores": os.cpu_count()}
    for name in ("uvloop", "ringway"):
        with contextlib.suppress(PackageNotFoundError):
            parts[name] = version(name)
    return {**parts, "load_average": round(os.getloadavg()[0], 2)}


if __name__ == "__main__":
    sys.exit(main())
