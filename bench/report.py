"""What the benchmark prints of what it measured."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench import bounds, figures
from bench.servers import AT_RATE, SATURATED

_NAME_WIDTH = 14
# The columns of each table: what heads them -> under which name the summary has them, and how many digits they show.
_RATE_TABLE = {
    "calls/s": ("calls_per_second", 0),
    "p50 ms": ("p50_ms", 2),
    "p99 ms": ("p99_ms", 2),
    "p99.9 ms": ("p99.9_ms", 2),
    "CPU µs/call": ("cpu_us", 1),
    "late p99 ms": ("late_p99_ms", 2),
}
_SATURATION_TABLE = {"calls/s": ("calls_per_second", 0), "CPU µs/call": ("cpu_us", 1), "idle": ("idle_share", 2)}
_RATIO_WORDS = {
    "cpu_to_bare": "CPU per call, router / bare",
    "cpu_to_bare_with_options": "the same, bare with the socket options",
    "cpu_to_panoramisk": "CPU per call, router / panoramisk",
    "cpu_to_small": "CPU per call, router / router with the small table",
    "cpu_of_small_to_bare": "CPU per call, router with the small table / bare",
    "saturated_cpu_to_bare": "CPU per call at saturation, router / bare",
    "saturated_cpu_to_bare_with_options": "the same, bare with the socket options",
    "saturated_cpu_to_panoramisk": "CPU per call at saturation, router / panoramisk",
    "p50_to_bare": "p50, router / bare",
    "p99_to_bare": "p99, router / bare",
}


def window_line(number: int, kind: str, name: str, window: Mapping[str, Any]) -> str:
    """Return one line about one window, for whoever waits."""
    void = f"  VOID: {window['void']}" if window["void"] else ""
    if kind == "rate":
        latency = window["latency_ms"]
        said = f"{window['rate_reached']:.0f} calls/s, p50 {latency['p50']:.2f} ms, p99 {latency['p99']:.2f} ms"
    else:
        said = f"{window['calls_per_second']:.0f} calls/s, idle {window['idle_share']:.0%}"
    errors = window["planned"] - window["right"]
    cpu = f"{window['server_cpu_us']:.1f} µs CPU/call, {errors} errors"
    return f"round {number + 1} {kind:>10} {name:>{_NAME_WIDTH}}: {said}, {cpu}{void}"


def machine_line(machine: Mapping[str, Any]) -> str:
    """Return one line about where it was measured."""
    return f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, Python {machine['python']}"


def memory_text(result: Mapping[str, Any]) -> str:
    """Return what a table costs beside its calls."""
    found = result["memory"]
    lines = ["", machine_line(result["machine"]), f"{found['numbers']} numbers, beside {found['small_numbers']}:"]
    for store, words in (("sqlite", "SQLite"), ("redis", "Redis")):
        if f"resident_mib_{store}" not in found:
            continue
        lines.append(
            f"{words}: {found[f'bytes_per_number_{store}']:.0f} bytes a number: "
            f"{found[f'resident_mib_{store}']:.0f} MiB, {found[f'resident_mib_small_{store}']:.0f} MiB with the small "
            f"table; at most {found[f'peak_mib_{store}']:.0f} MiB while it started"
        )
    for prefix, words in (("load_", "loaded in"), ("start_", "first right answer after")):
        names = [name for name in found if name.startswith(prefix)]
        if names:
            shown = ", ".join(f"{name.removeprefix(prefix).replace('_', ' ')} {found[name]:.1f} s" for name in names)
            lines.append(f"{words}: {shown}")
    lines += [f"skipped: {each}" for each in found["skipped"]]
    return "\n".join(lines)


def calls_text(result: Mapping[str, Any], rounds: Sequence[figures.Round]) -> str:
    """Return the tables (medians over the windows that are not void), the ratios, and what to know beside them."""
    asked, summary = result["asked"], result["calls"]
    lines = [
        "",
        machine_line(result["machine"]),
        f"{len(rounds)} rounds, in an order by seed {asked['seed']}",
        f"{asked['numbers']} numbers, {asked['small_numbers']} in the small table, {asked['pairs']} pairs of attempts",
        "",
        f"{asked['rate']:g} calls/s, windows of {asked['seconds']:g} s, {asked['arrivals']}:",
        *_table(summary["rate"], _RATE_TABLE, AT_RATE),
        "",
        "saturation:",
        *_table(summary["saturation"], _SATURATION_TABLE, SATURATED),
        "",
        "ratios within a round: median (quartiles; lowest to highest)",
        *(_ratio_line(words, summary["ratios"][name]) for name, words in _RATIO_WORDS.items()),
    ]
    for server, example in figures.wrong_examples(rounds).items():
        lines.append(f"{server}: a wrong answer: {example}")
    lines += [f"VOID: {each}" for each in figures.voids(rounds)]
    if not result["own_cores"]:
        lines.append("One core only: server and generator shared it, so the latencies say little.")
    return "\n".join(lines)


def verdict_text(verdicts: Sequence[bounds.Verdict]) -> str:
    """Return a line for each bound, and one that counts them."""
    lines = ["", *map(bounds.line, verdicts)]
    missed = sum(each.held is False for each in verdicts)
    unjudged = sum(each.held is None for each in verdicts)
    if unjudged:
        about = f"{bounds.RATE:g} calls/s, {bounds.NUMBERS} numbers beside 1000, {bounds.PAIRS} pairs of attempts"
        lines += ["", f"The bounds are about {about}."]
    count = f"{len(verdicts) - missed - unjudged} bounds held, {missed} missed, {unjudged} not judged"
    return "\n".join([*lines, "", count])


def _table(servers: Mapping[str, Any], columns: Mapping[str, tuple[str, int]], order: Sequence[str]) -> list[str]:
    head = "".join(f"{heading:>14}" for heading in columns)
    lines = [f"{'':>{_NAME_WIDTH}}{head}{'errors':>8}"]
    for name in order:
        if name in servers:
            cells = "".join(f"{_cell(servers[name][key], digits):>14}" for key, digits in columns.values())
            errors = servers[name]["errors"]
            kinds = ": " + ", ".join(f"{count} {kind}" for kind, count in errors.items()) if errors else ""
            lines.append(f"{name:>{_NAME_WIDTH}}{cells}{sum(errors.values()):>8}{kinds}")
    return lines


def _cell(found: Mapping[str, float], digits: int) -> str:
    return f"{found['median']:.{digits}f}" if found["sound"] else "void"


def _ratio_line(words: str, found: Mapping[str, float]) -> str:
    if not found["sound"]:
        return f"{words}: none, no round is sound"
    quartiles = f"{found['lower_quartile']:.2f} to {found['upper_quartile']:.2f}"
    return (
        f"{words}: {found['median']:.2f} ({quartiles}; {found['lowest']:.2f} to {found['highest']:.2f}; "
        f"{found['sound']} sound round{'' if found['sound'] == 1 else 's'})"
    )
