"""What a call, a number, a start and a load may cost, and whether they did. Pure.

The bounds hold for one load: `RATE` calls/s and `NUMBERS` numbers, with metrics and log on and `PAIRS` pairs in the
attempts' store. At any other one the figures are printed and not judged.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

RATE = 1500.0
NUMBERS = 1_000_000
PAIRS = 100_000
ROUNDS = 9
SOUND_ROUNDS = 5  # of the rounds a ratio has to have so many: a median of fewer is chance
# Of one core, used by other programs: more, and a window, or a load or start that took too long, says nothing.
FOREIGN_LIMIT = 0.2

HELD, MISSED, UNMEASURED = 0, 1, 2  # exit statuses


class Bound(NamedTuple):
    """One bound: what it is of, the most that it may be, and the least where that is bound too.

    `rounds`: how many sound rounds it takes, 1 for what is measured once.
    """

    name: str
    words: str
    most: float
    unit: str = ""
    least: float | None = None
    rounds: int = 1


class Measured(NamedTuple):
    """What was found: a value, and over how many sound rounds it is the median.

    `foreign_share`: of one core that other programs used meanwhile, where that was timed once and may be their doing.
    """

    value: float
    rounds: int = 1
    foreign_share: float = 0.0


class Verdict(NamedTuple):
    """A bound and what was found. `held` None: it could not be judged, `why` says why not."""

    bound: Bound
    value: float | None
    held: bool | None
    why: str = ""


CALLS = (
    Bound("cpu_to_bare", "CPU per call, router / bare", 1.15, rounds=SOUND_ROUNDS),
    Bound("cpu_to_panoramisk", "CPU per call, router / panoramisk on uvloop", 0.70, rounds=SOUND_ROUNDS),
    Bound("saturated_cpu_to_bare", "CPU per call at saturation, router / bare", 1.12, rounds=SOUND_ROUNDS),
    Bound("p50_to_bare", "p50 of the first command, router / bare", 1.1, rounds=SOUND_ROUNDS),
    Bound("p99_to_bare", "p99 of the first command, router / bare", 1.5, rounds=SOUND_ROUNDS),
    Bound(
        "cpu_to_small",
        "CPU per call, a million numbers / 1,000",
        1.10,
        least=0.90,
        rounds=SOUND_ROUNDS,
    ),
)
MEMORY = (
    Bound("bytes_per_number_sqlite", "resident size a number, SQLite", 150, "bytes"),
    Bound("bytes_per_number_redis", "resident size a number, Redis", 150, "bytes"),
    Bound("start_sqlite", "start to the first answer, SQLite", 10, "s"),
    Bound("start_redis", "start to the first answer, Redis", 10, "s"),
    Bound("start_snapshot", "start to the first answer, local snapshot", 2, "s"),
    Bound("load_csv_sqlite", "load of a million rows, CSV into SQLite", 60, "s"),
    Bound("load_json_sqlite", "load of a million rows, JSON into SQLite", 45, "s"),
    Bound("load_json_redis", "load of a million rows, JSON into Redis", 45, "s"),
)


def of_calls(summary: Mapping[str, Any]) -> dict[str, Measured]:
    """Return what `bench.figures.summary` found, by the names of the bounds."""
    found = summary["ratios"]
    return {
        name: Measured(found[name]["median"], found[name]["sound"])
        for name in (bound.name for bound in CALLS)
        if found[name]["sound"]
    }


def of_memory(found: Mapping[str, Any]) -> dict[str, Measured]:
    """Return what `bench.memory` measured, by the names of the bounds."""
    foreign = found["foreign_share"]
    return {
        bound.name: Measured(found[bound.name], foreign_share=foreign.get(bound.name, 0.0))
        for bound in MEMORY
        if bound.name in found
    }


def not_judged(
    *, tiny: bool = False, numbers: int = NUMBERS, rate: float = RATE, pairs: int = PAIRS, small: int = 1_000
) -> str:
    """Return why a run's figures are not what the bounds are about, or nothing."""
    if tiny:
        return "a tiny run"
    if (numbers, rate, pairs, small) != (NUMBERS, RATE, PAIRS, 1_000):
        return "another load than the bounds are about"
    return ""


def judge(found: Mapping[str, Measured], bounds: Sequence[Bound], unjudged: str = "") -> list[Verdict]:
    """Return a verdict for each bound; `unjudged`: none is judged, for that reason."""
    return [_verdict(bound, found.get(bound.name), unjudged) for bound in bounds]


def _verdict(bound: Bound, measured: Measured | None, unjudged: str) -> Verdict:
    if measured is None:
        return Verdict(bound, None, None, unjudged or "not measured")
    value = measured.value
    if unjudged:
        return Verdict(bound, value, None, unjudged)
    if measured.rounds < bound.rounds:
        return Verdict(bound, value, None, f"{measured.rounds} sound rounds, and it takes {bound.rounds}")
    held = value <= bound.most and (bound.least is None or value >= bound.least)
    if not held and measured.foreign_share > FOREIGN_LIMIT:
        return Verdict(bound, value, None, f"other programs used {measured.foreign_share:.0%} of a core")
    return Verdict(bound, value, held)


def exit_status(verdicts: Sequence[Verdict], *, failed_calls: int = 0, unjudged: str = "") -> int:
    """Return 1 where a bound was missed or a call failed, else 2 where one could not be judged, else 0.

    `unjudged`: none was to be judged.
    """
    if failed_calls or any(each.held is False for each in verdicts):
        return MISSED
    if not unjudged and any(each.held is None for each in verdicts):
        return UNMEASURED
    return HELD


def line(verdict: Verdict) -> str:
    """Return one line that says whether a bound was held, and by how much it was missed."""
    bound, value = verdict.bound, verdict.value
    said = f"{bound.words}: {'-' if value is None else _shown(value, bound.unit)} ({_limits(bound)})"
    if verdict.held is None:
        return f"   ?    {said}: not judged: {verdict.why}"
    if verdict.held or value is None:
        return f"held    {said}"
    over = value - bound.most if value > bound.most else (bound.least or 0.0) - value
    limit = bound.most if value > bound.most else bound.least or 1.0
    return f"MISSED  {said}: by {_shown(over, bound.unit)}, {over / limit:.0%}"


def _limits(bound: Bound) -> str:
    most = f"at most {_shown(bound.most, bound.unit)}"
    return most if bound.least is None else f"{_shown(bound.least, bound.unit)} to {_shown(bound.most, bound.unit)}"


def _shown(value: float, unit: str) -> str:
    digits = {"": 2, "s": 1, "bytes": 0}[unit]
    return f"{value:.{digits}f}{unit and ' '}{unit}"
