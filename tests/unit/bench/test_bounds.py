import pytest

from bench import bounds, figures
from bench.bounds import Measured

ALL = (*bounds.CALLS, *bounds.MEMORY)
# What each bound allows at most, by its name.
HELD = {bound.name: Measured(bound.most, bound.rounds) for bound in ALL}


def status(found: dict[str, Measured]) -> int:
    return bounds.exit_status(bounds.judge(found, ALL))


def said(name: str, measured: Measured | None) -> str:
    found = {} if measured is None else {name: measured}
    return bounds.line(bounds.judge(found, [bound for bound in ALL if bound.name == name])[0])


def test_what_is_as_large_as_it_may_be_is_held() -> None:
    assert all(verdict.held for verdict in bounds.judge(HELD, ALL))
    assert status(HELD) == 0


@pytest.mark.parametrize("name", HELD)
def test_each_bound_alone_decides(name: str) -> None:
    over = HELD[name]._replace(value=HELD[name].value * 1.01)
    assert status(HELD | {name: over}) == 1


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("cpu_to_bare", 1.15),
        ("cpu_to_panoramisk", 0.70),
        ("saturated_cpu_to_bare", 1.12),
        ("p50_to_bare", 1.1),
        ("p99_to_bare", 1.5),
        ("bytes_per_number_sqlite", 150),
        ("bytes_per_number_redis", 150),
        ("start_sqlite", 10),
        ("start_redis", 10),
        ("start_snapshot", 2),
        ("load_csv_sqlite", 60),
        ("load_json_sqlite", 45),
        ("load_json_redis", 45),
    ],
)
def test_the_bounds_are_these(name: str, most: float) -> None:
    assert {bound.name: bound.most for bound in ALL}[name] == most


@pytest.mark.parametrize(("ratio", "held"), [(0.89, False), (0.9, True), (1.1, True), (1.11, False)])
def test_a_small_table_costs_as_much_as_a_large_one_either_way(ratio: float, held: bool) -> None:
    found = HELD | {"cpu_to_small": Measured(ratio, 9)}
    assert status(found) == (0 if held else 1)


def test_a_median_of_few_rounds_is_not_judged_and_not_held() -> None:
    few = HELD | {"cpu_to_bare": Measured(1.0, bounds.SOUND_ROUNDS - 1)}
    assert status(few) == 2
    assert "not judged: 4 sound rounds, and it takes 5" in said("cpu_to_bare", few["cpu_to_bare"])


def test_what_was_not_measured_is_not_held() -> None:
    without = {name: measured for name, measured in HELD.items() if name != "start_snapshot"}
    assert status(without) == 2
    assert said("start_snapshot", None).endswith("not judged: not measured")


def test_a_miss_counts_for_more_than_what_could_not_be_judged() -> None:
    assert status({"cpu_to_bare": Measured(2, 9)}) == 1


def test_a_run_of_another_load_judges_nothing() -> None:
    assert bounds.not_judged() == ""
    for why in (
        bounds.not_judged(tiny=True),
        bounds.not_judged(numbers=10_000_000),
        bounds.not_judged(rate=3000),
        bounds.not_judged(pairs=1),
        bounds.not_judged(small=10),
    ):
        verdicts = bounds.judge({"cpu_to_bare": Measured(9, 9)}, ALL, why)
        assert why
        assert {verdict.held for verdict in verdicts} == {None}
        assert bounds.exit_status(verdicts, unjudged=why) == 0


@pytest.mark.parametrize("unjudged", ["", "a tiny run"])
def test_a_failed_call_fails_the_run_whatever_it_cost(unjudged: str) -> None:
    assert bounds.exit_status(bounds.judge(HELD, ALL, unjudged), failed_calls=1, unjudged=unjudged) == 1


def test_a_line_says_what_was_found_and_by_how_much_it_is_too_much() -> None:
    assert said("cpu_to_bare", Measured(1.1, 9)) == "held    CPU per call, router / bare: 1.10 (at most 1.15)"
    missed = said("bytes_per_number_redis", Measured(300.2))
    assert missed == "MISSED  resident size a number, Redis: 300 bytes (at most 150 bytes): by 150 bytes, 100%"
    low = said("cpu_to_small", Measured(0.81, 9))
    assert low == "MISSED  CPU per call, a million numbers / 1,000: 0.81 (0.90 to 1.10): by 0.09, 10%"


def test_each_bound_of_calls_is_a_ratio_that_is_made() -> None:
    assert {bound.name for bound in bounds.CALLS} <= set(figures.RATIOS)
    summary = {"ratios": {name: {"median": 1.0, "sound": 9} for name in figures.RATIOS}}
    assert bounds.of_calls(summary) == {bound.name: Measured(1.0, 9) for bound in bounds.CALLS}


def test_a_ratio_without_a_sound_round_is_not_measured() -> None:
    assert bounds.of_calls({"ratios": {name: {"sound": 0} for name in figures.RATIOS}}) == {}


def test_of_memory_only_what_was_measured_is_judged() -> None:
    found = {"numbers": 5, "start_sqlite": 3.5, "bytes_per_number_sqlite": 7, "skipped": ["Redis"]}
    shares = {"foreign_share": {"start_sqlite": 0.1}}
    assert bounds.of_memory(found | shares) == {
        "start_sqlite": Measured(3.5, foreign_share=0.1),
        "bytes_per_number_sqlite": Measured(7),
    }


def test_a_start_that_took_too_long_beside_other_programs_says_nothing() -> None:
    slow = Measured(10.5, foreign_share=bounds.FOREIGN_LIMIT)
    assert status(HELD | {"start_sqlite": slow}) == 1
    busy = slow._replace(foreign_share=0.5)
    assert status(HELD | {"start_sqlite": busy}) == 2
    assert said("start_sqlite", busy).endswith("not judged: other programs used 50% of a core")
    assert status(HELD | {"start_sqlite": busy._replace(value=9.5)}) == 0, "alone it had been no slower"
