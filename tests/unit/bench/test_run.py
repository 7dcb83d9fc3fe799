import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import bounds, figures, machine, processes, run, servers, waves, windows
from bench.run import Options
from bench.sites import BenchError, Server, Site
from tests.unit.bench.test_figures import window


def options(seed: int) -> Options:
    return Options(
        rate=1500.0,
        seconds=5.0,
        saturated_calls=512,
        rounds=4,
        numbers=2000,
        small_numbers=10,
        seed=seed,
        arrivals="poisson",
        gap=None,
        tiny=False,
    )


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, windows.Load, int]]:
    """What was measured, in its order; nothing is."""
    found: list[tuple[str, windows.Load, int]] = []

    @contextlib.contextmanager
    def running(*_: Any) -> Iterator[dict[str, Server]]:
        yield {name: Server(name, 1, 1) for name in servers.AT_RATE}

    def note(server: Server, load: windows.Load, _core: int | None, seed: int, **_: Any) -> dict[str, Any]:
        found.append((server.name, load, seed))
        return window(100)

    monkeypatch.setattr(servers, "running", running)
    monkeypatch.setattr(windows, "measured", note)
    return found


def test_each_round_measures_all_in_an_order_by_chance_that_its_seed_repeats(
    measured: list[tuple[str, windows.Load, int]], tmp_path: Path
) -> None:
    site = Site(tmp_path, 2000)
    orders = []
    for seed in (1, 2, 1):
        measured.clear()
        rounds = run._rounds(options(seed), site, site)
        assert len(rounds) == 4
        names = [name for name, *_ in measured[len(servers.AT_RATE) :]]  # before them it is warmed up
        each = len(servers.AT_RATE) + len(servers.SATURATED)
        for number in range(4):
            part = names[number * each : (number + 1) * each]
            assert sorted(part[: len(servers.AT_RATE)]) == sorted(servers.AT_RATE)
            assert sorted(part[len(servers.AT_RATE) :]) == sorted(servers.SATURATED)
        assert len({tuple(names[number * each :][: len(servers.AT_RATE)]) for number in range(4)}) > 1
        orders.append(names)
    assert orders[0] == orders[2] != orders[1]


def test_all_servers_of_a_round_get_the_same_calls_and_the_small_table_its_own_numbers(
    measured: list[tuple[str, windows.Load, int]], tmp_path: Path
) -> None:
    site = Site(tmp_path, 2000)
    run._rounds(options(1), site, site)
    of_rounds = measured[len(servers.AT_RATE) :]
    assert len({seed for _, _, seed in of_rounds}) == 4
    assert {load.numbers for name, load, _ in of_rounds if name != "router-small"} == {2000}
    assert {load.numbers for name, load, _ in of_rounds if name == "router-small"} == {10}
    assert {load.calls for _, load, _ in of_rounds if load.script == "loadgen.py"} == {7500}


@pytest.mark.parametrize(
    "words",
    [
        *("--rounds 0", "--rounds 101", "--seconds 0.01", "--numbers 1000", "--numbers 10000001", "--rate 1e9"),
        *("--pairs 0", "--saturated-calls 0", "--save nowhere/result.json"),
    ],
)
def test_what_is_asked_for_is_within_bounds(
    words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["run.py", *words.split()])
    with pytest.raises(SystemExit) as ended:
        run._options()
    assert ended.value.code == bounds.UNMEASURED
    assert "usage" in capsys.readouterr().err


def test_what_nobody_asks_for_is_what_the_bounds_are_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["run.py"])
    asked = run._options()
    assert asked.rounds == bounds.ROUNDS == 9
    assert bounds.not_judged(numbers=asked.numbers, rate=asked.rate, pairs=asked.pairs, small=asked.small_numbers) == ""


def answer(monkeypatch: pytest.MonkeyPatch, cpu: float, *words: str) -> int:
    """What `main` returns of nine rounds in which the router's calls cost so much, and bare's and the others' 100."""
    bare: dict[str, Any] = {"latency_ms": {"p50": 1.0, "p99": 1.0, "p99.9": 1.0}}
    servers_of = {name: window(300 if name == "panoramisk" else 100, **bare) for name in servers.AT_RATE}
    routers = {name: window(cpu, **bare) for name in ("router", "router-small")}
    rounds: list[figures.Round] = [dict.fromkeys(("rate", "saturation"), servers_of | routers)] * 9

    def measure(asked: Options, _: Path) -> tuple[dict[str, Any], list[figures.Round]]:
        result = {"asked": vars(asked) | {"save": ""}, "machine": machine.described(), "own_cores": True}
        return result | {"calls": figures.summary(rounds)}, rounds

    monkeypatch.setattr("sys.argv", ["run.py", *words])
    monkeypatch.setattr(run, "_measure", measure)
    monkeypatch.setattr(processes, "end_on_sigterm", lambda: None)
    return run.main()


def test_a_run_that_holds_every_bound_ends_well(monkeypatch: pytest.MonkeyPatch) -> None:
    assert answer(monkeypatch, 110) == 0


def test_a_run_that_misses_a_bound_says_and_saves_everything_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert answer(monkeypatch, 166, "--save", str(tmp_path / "result.json")) == 1
    saved = json.loads((tmp_path / "result.json").read_text())
    said = capsys.readouterr().out
    assert sum(line.startswith("MISSED") for line in saved["verdicts"]) == 2
    assert saved["calls"]["ratios"]["cpu_to_bare"]["rounds"] == [1.66] * 9
    assert "MISSED  CPU per call, router / bare: 1.66 (at most 1.15): by 0.51, 44%" in said
    assert "MISSED  CPU per call at saturation, router / bare: 1.66" in said
    assert "held    p50 of the first command, router / bare: 1.00" in said
    assert "4 bounds held, 2 missed, 0 not judged" in said


def test_a_part_that_does_not_start_is_nothing_that_was_held(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(*_: Any) -> None:
        raise BenchError("bare did not start")

    monkeypatch.setattr("sys.argv", ["run.py"])
    monkeypatch.setattr(run, "_measure", measure)
    monkeypatch.setattr(processes, "end_on_sigterm", lambda: None)
    assert run.main() == 2
    assert "bench: bare did not start" in capsys.readouterr().err


def test_a_result_is_named_by_its_date_and_commit(tmp_path: Path) -> None:
    result = {"date": "2026-12-01", "commit": "abc1234567", "calls": {"x": 1}}
    run._save(tmp_path, result)
    assert json.loads((tmp_path / "2026-12-01-abc1234567.json").read_text()) == result
    run._save(tmp_path / "mine.json", result)
    assert json.loads((tmp_path / "mine.json").read_text()) == result


def test_waves_in_which_the_server_had_idle_moments_are_void() -> None:
    full = waves.Counts(10, wave_seconds=1.0, busy_seconds=0.8, waited_seconds=0.17)
    assert full.void_because() == ""
    assert full.idle_share == pytest.approx(0.03)
    idle = waves.Counts(10, wave_seconds=1.0, busy_seconds=0.9)
    assert "idle 10% of the time" in idle.void_because()
    assert waves.Counts(10).void_because(), "nothing was measured"
