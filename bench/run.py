"""`make bench`: what the router costs, beside what it is bound to cost. See the README of this folder."""

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import attempts, bounds, calls, figures, machine, memory, processes, report, servers, waves, windows
from bench.sites import BenchError, Server, Site
from router.store.api import StoreError

MAX_WINDOW_SECONDS = 120
WARM_UP_SECONDS = 2.0
RESULTS = Path(__file__).resolve().parent / "results"


class Options(argparse.Namespace):
    """What may be asked."""

    rate: float
    seconds: float
    saturated_calls: int
    rounds: int
    numbers: int
    small_numbers: int
    pairs: int
    seed: int
    arrivals: str
    gap: float | None
    only: str | None
    save: Path | None
    tiny: bool


def main() -> int:
    """Measure, print, save; exit status 1 where a bound is missed or a call failed, 2 where that cannot be said."""
    processes.end_on_sigterm()
    options = _options()
    print(f"seed {options.seed}", flush=True)
    commit = machine.commit()  # before minutes pass in which the tree may change
    try:
        with tempfile.TemporaryDirectory(prefix="ringway-bench-") as folder:
            result, rounds = _measure(options, Path(folder))
    except (BenchError, StoreError, OSError, RuntimeError, subprocess.SubprocessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return bounds.UNMEASURED
    unjudged = bounds.not_judged(
        tiny=options.tiny,
        numbers=options.numbers,
        rate=options.rate,
        pairs=options.pairs,
        small=options.small_numbers,
    )
    verdicts: list[bounds.Verdict] = []
    if "memory" in result:
        print(report.memory_text(result))
        verdicts += bounds.judge(bounds.of_memory(result["memory"]), bounds.MEMORY, unjudged)
    if "calls" in result:
        print(report.calls_text(result, rounds))
        verdicts += bounds.judge(bounds.of_calls(result["calls"]), bounds.CALLS, unjudged)
    print(report.verdict_text(verdicts))
    if options.save:
        result["commit"], result["clean_tree"], result["date"] = commit.name, commit.clean, machine.today()
        result["verdicts"] = [bounds.line(each).strip() for each in verdicts]
        _save(options.save, result)
    return bounds.exit_status(verdicts, failed_calls=figures.failed_calls(rounds), unjudged=unjudged)


def _options() -> Options:
    parser = argparse.ArgumentParser(description="What the router costs, beside what it is bound to cost.")
    parser.add_argument("--rate", type=float, default=bounds.RATE, help="calls a second")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each window at that rate")
    parser.add_argument("--saturated-calls", type=int, default=20 * waves.WAVE_CALLS, help="of a window at saturation")
    parser.add_argument("--rounds", type=int, default=bounds.ROUNDS, help="each measures all servers once")
    parser.add_argument("--numbers", type=int, default=bounds.NUMBERS, help="in the router's table")
    parser.add_argument("--pairs", type=int, default=bounds.PAIRS, help="in its store of attempts")
    by_chance = int.from_bytes(os.urandom(3), "big")
    parser.add_argument("--seed", type=int, default=by_chance, help="of the order and the calls; by default by chance")
    parser.add_argument("--arrivals", choices=("poisson", "uniform"), default="poisson")
    parser.add_argument("--gap", type=float, help="microseconds between two lines of a block")
    parser.add_argument("--only", choices=("calls", "memory"), help="measure that part alone")
    parser.add_argument(
        "--save", type=Path, nargs="?", const=RESULTS, metavar="FILE", help="by default results/DATE-COMMIT.json"
    )
    parser.add_argument("--tiny", action="store_true", help="a few seconds: shows that it works, judges nothing")
    options = parser.parse_args(namespace=Options())
    options.small_numbers = memory.SMALL_NUMBERS
    if options.tiny:
        options.rate, options.seconds, options.rounds, options.saturated_calls = 200.0, 0.5, 1, 128
        options.numbers, options.small_numbers, options.pairs = 2000, 200, 500
    fault = _fault(options)
    if fault:
        parser.error(fault)
    return options


def _fault(options: Options) -> str:
    if not 1 <= options.rounds <= 100 or not 0.1 <= options.seconds <= MAX_WINDOW_SECONDS:
        return f"1 to 100 rounds with windows of 0.1 to {MAX_WINDOW_SECONDS} seconds"
    if not 1 <= options.rate <= calls.MAX_CALLS / MAX_WINDOW_SECONDS:
        return f"1 to {calls.MAX_CALLS // MAX_WINDOW_SECONDS} calls/s"
    if not options.small_numbers < options.numbers <= calls.MAX_NUMBERS:
        return f"{options.small_numbers + 1} to {calls.MAX_NUMBERS} numbers"
    if not 1 <= options.pairs <= attempts.MAX_PAIRS or not 1 <= options.saturated_calls <= waves.MAX_CALLS:
        return f"1 to {attempts.MAX_PAIRS} pairs and 1 to {waves.MAX_CALLS} calls a window at saturation"
    if options.save and not options.save.is_dir() and not options.save.parent.is_dir():
        return f"there is no folder {options.save.parent}"
    return ""


def _measure(options: Options, folder: Path) -> tuple[dict[str, Any], list[figures.Round]]:
    server_core, _ = processes.cores()
    site, small = Site(folder / "large", options.numbers), Site(folder / "small", options.small_numbers)
    asked = ("rate", "seconds", "saturated_calls", "numbers", "small_numbers", "pairs", "seed", "arrivals", "tiny")
    result: dict[str, Any] = {
        "asked": {name: getattr(options, name) for name in asked},
        "machine": machine.described(),
        "own_cores": server_core is not None,
    }
    rounds: list[figures.Round] = []
    if options.only == "calls":
        for each in (site, small):
            each.load("csv")
    else:
        result["memory"] = memory.measure(site, small, server_core)
    if options.only != "memory":
        for each in (site, small):
            attempts.fill(each.store_url, each.numbers, options.pairs)
        rounds = _rounds(options, site, small)
        result["calls"] = figures.summary(rounds)
    return result, rounds


def _rounds(options: Options, site: Site, small: Site) -> list[figures.Round]:
    server_core, generator_core = processes.cores()
    draw = random.Random(options.seed)
    rounds: list[figures.Round] = []
    foreign_limit = None if options.tiny else bounds.FOREIGN_LIMIT

    def window(server: Server, load: windows.Load, seed: int) -> dict[str, Any]:
        return windows.measured(server, load, generator_core, seed, foreign_limit=foreign_limit)

    with servers.running(site, small, server_core) as running:
        # Not measured: caches fill, branches are learned. A tiny run has no use for that.
        for server in () if options.tiny else running.values():
            window(server, _load(options, server.name, "rate", min(WARM_UP_SECONDS, options.seconds)), options.seed)
        for number in range(options.rounds):
            found: dict[str, dict[str, Any]] = {"rate": {}, "saturation": {}}
            for kind, names in (("rate", servers.AT_RATE), ("saturation", servers.SATURATED)):
                # By chance, so that a machine that slows down, or a neighbour with a rhythm, favours none.
                for name in draw.sample(names, len(names)):
                    load = _load(options, name, kind, options.seconds)
                    # All servers of a round get the same calls.
                    found[kind][name] = window(running[name], load, options.seed + number + 1)
                    print(report.window_line(number, kind, name, found[kind][name]), flush=True)
            rounds.append(found)
    return rounds


def _load(options: Options, name: str, kind: str, seconds: float) -> windows.Load:
    numbers = options.small_numbers if name == servers.ROUTER_SMALL else options.numbers
    if kind == "rate":
        return windows.at_rate(options.rate, seconds, numbers, options.arrivals, options.gap)
    return windows.saturating(options.saturated_calls, numbers)


def _save(path: Path, result: dict[str, Any]) -> None:
    if path.is_dir():
        path /= f"{result['date']}-{result['commit']}.json"
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(path.open("w", encoding="utf-8"))
        json.dump(result, file, indent=1)
        file.write("\n")
    print(f"saved as {path}")


if __name__ == "__main__":
    sys.exit(main())
