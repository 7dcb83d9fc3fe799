"""From windows to figures: medians with their spread, and ratios. Pure.

A round is `{"rate": {server: window}, "saturation": {server: window}}`, a window what `bench.windows` measured.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from bench.servers import BARE, BARE_WITH_OPTIONS, PANORAMISK, ROUTER, ROUTER_SMALL

Round = Mapping[str, Mapping[str, Mapping[str, Any]]]
ERRORS = ("wrong", "missing", "refused", "timed_out", "not_placed")
_SLOW = ("timed_out", "not_placed")


class Quantity(NamedTuple):
    """One thing that a window tells: in which kind of window, and under which keys."""

    kind: str
    path: tuple[str, ...]


CPU = Quantity("rate", ("server_cpu_us",))
CPU_SATURATED = Quantity("saturation", ("server_cpu_us",))
P50 = Quantity("rate", ("latency_ms", "p50"))
P99 = Quantity("rate", ("latency_ms", "p99"))
P999 = Quantity("rate", ("latency_ms", "p99.9"))

# The ratios that are made: their name -> what of, and of which server to which.
RATIOS: Mapping[str, tuple[Quantity, str, str]] = {
    "cpu_to_bare": (CPU, ROUTER, BARE),
    "cpu_to_bare_with_options": (CPU, ROUTER, BARE_WITH_OPTIONS),
    "cpu_to_panoramisk": (CPU, ROUTER, PANORAMISK),
    "cpu_to_small": (CPU, ROUTER, ROUTER_SMALL),
    "cpu_of_small_to_bare": (CPU, ROUTER_SMALL, BARE),
    "saturated_cpu_to_bare": (CPU_SATURATED, ROUTER, BARE),
    "saturated_cpu_to_bare_with_options": (CPU_SATURATED, ROUTER, BARE_WITH_OPTIONS),
    "saturated_cpu_to_panoramisk": (CPU_SATURATED, ROUTER, PANORAMISK),
    "p50_to_bare": (P50, ROUTER, BARE),
    "p99_to_bare": (P99, ROUTER, BARE),
}

_RATE_COLUMNS: Mapping[str, Quantity] = {
    "calls_per_second": Quantity("rate", ("rate_reached",)),
    "p50_ms": P50,
    "p99_ms": P99,
    "p99.9_ms": P999,
    "cpu_us": CPU,
    "late_p99_ms": Quantity("rate", ("lateness_ms", "p99")),
}
_SATURATION_COLUMNS: Mapping[str, Quantity] = {
    "calls_per_second": Quantity("saturation", ("calls_per_second",)),
    "cpu_us": CPU_SATURATED,
    "idle_share": Quantity("saturation", ("idle_share",)),
}


class Spread(NamedTuple):
    """A median, the quartiles and the extremes around it, and of how many sound rounds that is."""

    median: float
    lower_quartile: float
    upper_quartile: float
    lowest: float
    highest: float
    sound: int

    def stored(self, digits: int = 3) -> dict[str, float]:
        """Return it for a file."""
        return {name: round(value, digits) for name, value in self._asdict().items()}


def spread(values: Iterable[float]) -> Spread | None:
    """Return the spread of some values; None of none."""
    found = sorted(values)
    if not found:
        return None
    if len(found) == 1:
        return Spread(found[0], found[0], found[0], found[0], found[0], 1)
    lower, median, upper = statistics.quantiles(found, n=4, method="inclusive")
    return Spread(median, lower, upper, found[0], found[-1], len(found))


def ratios(rounds: Sequence[Round], name: str) -> list[float]:
    """Return a ratio of each round in which neither window is void: both were measured within a minute."""
    quantity, server, other = RATIOS[name]
    found = []
    for each in rounds:
        values = _value(each, quantity, server), _value(each, quantity, other)
        if values[0] is not None and values[1]:
            found.append(values[0] / values[1])
    return found


def summary(rounds: Sequence[Round]) -> dict[str, Any]:
    """Return the spreads of all columns and ratios, over the windows that are not void, and the errors of all."""
    found: dict[str, Any] = {"ratios": {}}
    for kind, columns in (("rate", _RATE_COLUMNS), ("saturation", _SATURATION_COLUMNS)):
        servers = dict.fromkeys(server for each in rounds for server in sorted(each[kind]))
        found[kind] = {server: _columns(rounds, columns, kind, server) for server in servers}
    for name in RATIOS:
        made = ratios(rounds, name)
        found["ratios"][name] = {**_stored(spread(made)), "rounds": [round(value, 3) for value in made]}
    return found


def failed_calls(rounds: Sequence[Round]) -> int:
    """Return how many calls, of all servers, did not get a right answer.

    Where the generator was late or the machine was shared, those do not count that only took too long.
    """
    return sum(
        window.get(error, 0)
        for _, _, window in _windows(rounds)
        for error in ERRORS
        if not (window["excused"] and error in _SLOW)
    )


def voids(rounds: Sequence[Round]) -> list[str]:
    """Return which windows are void, and why."""
    return [f"{where}, {server}: {window['void']}" for where, server, window in _windows(rounds) if window["void"]]


def wrong_examples(rounds: Sequence[Round]) -> dict[str, str]:
    """Return a wrong answer of each server that gave one."""
    return {
        server: window["wrong_example"]
        for _, server, window in reversed(list(_windows(rounds)))
        if window["wrong_example"]
    }


def _windows(rounds: Sequence[Round]) -> Iterable[tuple[str, str, Mapping[str, Any]]]:
    for number, each in enumerate(rounds, start=1):
        for kind, servers in each.items():
            for server, window in servers.items():
                yield f"round {number}, {kind}", server, window


def _value(each: Round, quantity: Quantity, server: str) -> float | None:
    window: Any = each.get(quantity.kind, {}).get(server)
    if window is None or window["void"]:
        return None
    for key in quantity.path:
        window = window[key]
    return float(window)


def _columns(rounds: Sequence[Round], columns: Mapping[str, Quantity], kind: str, server: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, quantity in columns.items():
        values = (_value(each, quantity, server) for each in rounds)
        found[name] = _stored(spread(value for value in values if value is not None))
    windows = [each[kind][server] for each in rounds if server in each[kind]]
    found["errors"] = {error: count for error in ERRORS if (count := sum(window.get(error, 0) for window in windows))}
    return found


def _stored(found: Spread | None) -> dict[str, float]:
    return {"sound": 0} if found is None else found.stored()
