"""What the benchmark prints of what it measured."""

import statistics
from typing import Any

ERRORS = ("wrong", "missing", "refused", "timed_out", "not_placed")
_HEADING = (
    f"{'':>10} {'calls/s':>8} {'p50 ms':>8} {'p99 ms':>8} {'p99.9 ms':>9} "
    f"{'CPU µs/call':>12} {'errors':>7} {'late p99 ms':>12}"
)


def window_line(number: int, name: str, window: dict[str, Any]) -> str:
    """Return one line about one window, for whoever waits."""
    void = f"  VOID: {window['void']}" if window["void"] else ""
    return (
        f"round {number + 1} {name:>6}: {window['rate_reached']:.0f} calls/s, "
        f"p50 {window['latency_ms']['p50']:.2f} ms, p99 {window['latency_ms']['p99']:.2f} ms, "
        f"{window['server_cpu_us']:.1f} µs CPU/call, {_errors(window)} errors{void}"
    )


def text(result: dict[str, Any]) -> str:
    """Return the table (medians over the windows that are not void) and what to know beside it."""
    machine = result["machine"]
    lines = [
        "",
        f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, Python {machine['python']}",
        f"{result['numbers']} numbers: loaded in {result['load_seconds']:.1f} s",
        f"router: first right answer {result['start_seconds']:.1f} s after its start",
        f"rounds: {len(result['rounds'])} of {result['seconds']:g} s, {result['rate']:g} calls/s, {result['arrivals']}",
        "",
        _HEADING,
        *(_row(name, result) for name in ("bare", "router")),
        "",
        _ratio_line(result),
    ]
    for name in ("bare", "router"):
        kinds = {kind: sum(each[name][kind] for each in result["rounds"]) for kind in ERRORS}
        if any(kinds.values()):
            lines.append(f"{name}: " + ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count))
        example = next((each[name]["wrong_example"] for each in result["rounds"] if each[name]["wrong_example"]), "")
        if example:
            lines.append(f"{name}: a wrong answer: {example}")
    for number, each in enumerate(result["rounds"], start=1):
        lines += [f"VOID: round {number}, {name}: {each[name]['void']}" for name in each if each[name]["void"]]
    if not result["own_cores"]:
        lines.append("One core only: server and generator shared it, so the latencies say little.")
    if result["tiny"]:
        lines.append("A tiny run: it shows that the parts work; its figures mean nothing.")
    return "\n".join(lines)


def ratios(result: dict[str, Any]) -> list[float]:
    """Return router / bare CPU a call of each round in which neither is void."""
    return [
        each["router"]["server_cpu_us"] / each["bare"]["server_cpu_us"]
        for each in result["rounds"]
        if not each["router"]["void"] and not each["bare"]["void"] and each["bare"]["server_cpu_us"]
    ]


def failed_calls(result: dict[str, Any]) -> int:
    """Return how many calls, of both servers, did not get a right answer."""
    return sum(_errors(window) for each in result["rounds"] for window in each.values())


def _errors(window: dict[str, Any]) -> int:
    return int(window["planned"] - window["right"])


def _row(name: str, result: dict[str, Any]) -> str:
    windows = [each[name] for each in result["rounds"]]
    sound = [window for window in windows if not window["void"]]
    if not sound:
        return f"{name:>10}  every round is void"

    def median(*path: str) -> float:
        values = []
        for window in sound:
            value: Any = window
            for key in path:
                value = value[key]
            values.append(float(value))
        return statistics.median(values)

    return (
        f"{name:>10} {median('rate_reached'):>8.0f} {median('latency_ms', 'p50'):>8.2f} "
        f"{median('latency_ms', 'p99'):>8.2f} {median('latency_ms', 'p99.9'):>9.2f} "
        f"{median('server_cpu_us'):>12.1f} {sum(map(_errors, windows)):>7} {median('lateness_ms', 'p99'):>12.2f}"
    )


def _ratio_line(result: dict[str, Any]) -> str:
    found = ratios(result)
    if not found:
        return "router / bare, CPU per call: none, no round is sound"
    return (
        f"router / bare, CPU per call: {statistics.median(found):.2f} "
        f"(median of {len(found)} rounds, {min(found):.2f} to {max(found):.2f})"
    )
