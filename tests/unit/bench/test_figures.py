from typing import Any

import pytest

from bench import figures
from bench.figures import Spread


def window(cpu: float, *, void: str = "", **more: Any) -> dict[str, Any]:
    return {
        "planned": 10,
        "right": 10,
        "rate_reached": 1500.0,
        "calls_per_second": 9000.0,
        "idle_share": 0.01,
        "latency_ms": {"p50": cpu / 100, "p99": cpu / 10, "p99.9": cpu},
        "lateness_ms": {"p99": 0.1},
        "server_cpu_us": cpu,
        "wrong_example": "",
        "excused": False,
        "void": void,
        **more,
    }


def of(bare: dict[str, Any], router: dict[str, Any]) -> figures.Round:
    return {"rate": {"bare": bare, "router": router}, "saturation": {"bare": bare, "router": router}}


def test_a_spread_has_the_median_the_quartiles_and_the_extremes() -> None:
    assert figures.spread([9, 1, 3, 2, 4]) == Spread(3, 2, 4, 1, 9, 5)
    assert figures.spread([2.0]) == Spread(2, 2, 2, 2, 2, 1)
    assert figures.spread([]) is None


def test_ratios_are_made_within_a_round() -> None:
    """A machine that is slow for one round is so for both; a ratio of medians would take that for a cost."""
    rounds = [of(window(100), window(110)), of(window(200), window(240)), of(window(50), window(65))]
    assert figures.ratios(rounds, "cpu_to_bare") == pytest.approx([1.1, 1.2, 1.3])
    assert figures.ratios(rounds, "p99_to_bare") == pytest.approx([1.1, 1.2, 1.3])
    assert figures.ratios(rounds, "saturated_cpu_to_bare") == pytest.approx([1.1, 1.2, 1.3])
    assert figures.summary(rounds)["ratios"]["cpu_to_bare"]["median"] == pytest.approx(1.2)


@pytest.mark.parametrize("late", ["bare", "router"])
def test_a_void_window_makes_no_ratio_and_stands_in_no_column(late: str) -> None:
    windows = {"bare": window(100), "router": window(150)} | {late: window(9000, void="late")}
    rounds = [of(**windows), of(window(100), window(120))]
    summary = figures.summary(rounds)
    assert figures.ratios(rounds, "cpu_to_bare") == pytest.approx([1.2])
    assert summary["ratios"]["cpu_to_bare"]["sound"] == 1
    assert summary["rate"][late]["cpu_us"]["highest"] < 9000
    assert figures.voids(rounds) == [f"round 1, rate, {late}: late", f"round 1, saturation, {late}: late"]


def test_a_server_that_was_not_measured_makes_no_ratio() -> None:
    summary = figures.summary([of(window(100), window(150))])
    assert summary["ratios"]["cpu_to_panoramisk"] == {"sound": 0, "rounds": []}


def test_a_column_of_void_windows_alone_is_empty() -> None:
    summary = figures.summary([of(window(100, void="late"), window(150))])
    assert summary["rate"]["bare"]["cpu_us"] == {"sound": 0}


def test_errors_of_void_windows_count_too() -> None:
    rounds = [of(window(100), window(150, void="late", wrong=2, missing=1, wrong_example="b'x'"))]
    assert figures.failed_calls(rounds) == 6, "in both kinds of window"
    assert figures.summary(rounds)["rate"]["router"]["errors"] == {"wrong": 2, "missing": 1}
    assert figures.wrong_examples(rounds) == {"router": "b'x'"}
    assert figures.failed_calls([of(window(1), window(2))]) == 0


def test_calls_that_only_took_long_are_excused_where_the_generator_or_the_machine_was_late() -> None:
    slow: dict[str, Any] = {"timed_out": 3, "not_placed": 4}
    assert figures.failed_calls([of(window(1), window(2, **slow))]) == 14
    assert figures.failed_calls([of(window(1), window(2, **slow, excused=True, void="late"))]) == 0
    assert figures.failed_calls([of(window(1), window(2, excused=True, void="late", wrong=1, refused=1))]) == 4
