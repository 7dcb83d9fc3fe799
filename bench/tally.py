"""What a load run counted, and what it says about itself."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from typing import Any

import msgspec

LATE_LIMIT_MS = 5.0  # a generator later than this at its own p99 measures itself
RATE_SHARE = 0.98  # of the rate asked for; below, the schedule was not kept


class Tally(msgspec.Struct):
    """Counts of one run, latencies in seconds from the scheduled start.

    Every planned call is in exactly one of `right`, `wrong`, `missing`, `refused`, `timed_out` and `not_placed`.
    `reset` counts, beside, those of `right` and `wrong` whose connection ended in a reset.
    """

    planned: int
    rate_asked: float
    right: int = 0
    wrong: int = 0
    missing: int = 0
    refused: int = 0
    timed_out: int = 0
    not_placed: int = 0
    reset: int = 0
    wrong_example: str = ""
    window_seconds: float = 0.0
    cpu_seconds: float = 0.0
    latencies: array[float] = msgspec.field(default_factory=lambda: array("d"))
    lateness: array[float] = msgspec.field(default_factory=lambda: array("d"))

    @property
    def placed(self) -> int:
        """Calls that were started."""
        return self.planned - self.not_placed

    @property
    def errors(self) -> int:
        """Calls that did not get the right answer."""
        return self.planned - self.right

    def generator_late_ms(self) -> float:
        """How far the generator was behind its schedule, at its p99."""
        return percentile(self.lateness, 99) * 1e3

    def void_because(self) -> str:
        """Return why the figures must not be used, or nothing."""
        late_ms = self.generator_late_ms()
        if late_ms > LATE_LIMIT_MS:
            return f"generator {late_ms:.1f} ms late at its p99 (limit {LATE_LIMIT_MS:g} ms)"
        if self.not_placed:
            return f"{self.not_placed} calls were not placed: too many were open at once"
        reached = self.rate_reached()
        if reached < self.rate_asked * RATE_SHARE:
            return f"generator reached {reached:.0f} of {self.rate_asked:.0f} calls/s"
        return ""

    def rate_reached(self) -> float:
        """Calls started a second, over the time from the first to the last start."""
        return self.placed / self.window_seconds if self.window_seconds else 0.0

    def summary(self) -> dict[str, Any]:
        """Return the figures for a person or a file; times in ms, CPU in µs a call."""
        return {
            "planned": self.planned,
            "rate_asked": round(self.rate_asked, 1),
            "rate_reached": round(self.rate_reached(), 1),
            "right": self.right,
            "wrong": self.wrong,
            "missing": self.missing,
            "refused": self.refused,
            "timed_out": self.timed_out,
            "not_placed": self.not_placed,
            "reset": self.reset,
            "wrong_example": self.wrong_example,
            "latency_ms": _spread(self.latencies),
            "lateness_ms": _spread(self.lateness),
            "generator_cpu_us": round(self.cpu_seconds / max(1, self.placed) * 1e6, 1),
            "generator_late": self.generator_late_ms() > LATE_LIMIT_MS,
            "void": self.void_because(),
        }


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the smallest value that at least `percent` of them do not exceed (nearest rank); 0 of nothing."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def _spread(seconds: array[float]) -> dict[str, float]:
    named = {"p50": 50, "p99": 99, "p99.9": 99.9, "max": 100}
    return {name: round(percentile(seconds, percent) * 1e3, 3) for name, percent in named.items()}
