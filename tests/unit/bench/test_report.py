from bench import bounds, figures, report
from tests.unit.bench.test_figures import of, window

MACHINE = {"cpu": "A processor", "cores": 2, "kernel": "6.1", "python": "3.11.9", "load_average": 0.1}
ASKED = {"seed": 7, "numbers": 1000000, "pairs": 100000, "small_numbers": 1000, "rate": 1500.0, "seconds": 5.0}


def test_the_tables_have_medians_ratios_errors_and_what_is_void() -> None:
    rounds = [of(window(100), window(150)), of(window(100, void="late"), window(160, missing=1))]
    result = {
        "machine": MACHINE,
        "asked": ASKED | {"arrivals": "poisson"},
        "own_cores": False,
        "calls": figures.summary(rounds),
    }
    said = report.calls_text(result, rounds)
    assert "2 rounds, in an order by seed 7" in said
    assert "CPU per call, router / bare: 1.50 (1.50 to 1.50; 1.50 to 1.50; 1 sound round)" in said
    assert "CPU per call, router / panoramisk: none, no round is sound" in said
    assert "1: 1 missing" in said
    assert "VOID: round 2, rate, bare: late" in said
    assert "One core only" in said
    assert set(report._RATIO_WORDS) == set(figures.RATIOS)


def test_a_server_whose_windows_are_all_void_has_no_figures() -> None:
    rounds = [of(window(100, void="late"), window(150))]
    result = {
        "machine": MACHINE,
        "asked": ASKED | {"arrivals": "poisson"},
        "own_cores": True,
        "calls": figures.summary(rounds),
    }
    (row,) = [line for line in report.calls_text(result, rounds).splitlines() if line.strip().startswith("bare  ")][:1]
    assert "void" in row
    assert "100.0" not in row


def test_what_was_skipped_is_said() -> None:
    memory = {
        "numbers": 5,
        "small_numbers": 1,
        "skipped": ["Redis: none"],
        "load_csv_sqlite": 1.25,
        "start_sqlite": 0.5,
        "bytes_per_number_sqlite": 149.6,
        "resident_mib_sqlite": 200.0,
        "resident_mib_small_sqlite": 50.0,
        "peak_mib_sqlite": 220.0,
    }
    said = report.memory_text({"machine": MACHINE, "memory": memory})
    assert "SQLite: 150 bytes a number: 200 MiB" in said
    assert "loaded in: csv sqlite 1.2 s" in said
    assert "skipped: Redis: none" in said
    assert "Redis: 1" not in said


def test_verdicts_are_counted() -> None:
    found = {"cpu_to_bare": bounds.Measured(1.0, 9), "p50_to_bare": bounds.Measured(2.0, 9)}
    said = report.verdict_text(bounds.judge(found, bounds.CALLS))
    assert said.endswith("1 bounds held, 1 missed, 4 not judged")
    assert said.count("\nMISSED") == 1
