"""The way back after an upgrade: the commands over what a later version has written."""

import json
import pathlib
import tomllib
from typing import Any

import prometheus_client
import pytest

from router.commands import live
from router.observe.metrics import Metrics
from tests.later_rows import FLOW, HOURS, LATER, NUMBER, OTHER_KIND, STOCK, TAGGED, in_file, put_into_file
from tests.unit.router.commands.conftest import Run

SPARE = STOCK["number"]
STORED = [(2, "menu", FLOW), (4, NUMBER, TAGGED), (4, SPARE, STOCK), (OTHER_KIND, "office", HOURS)]
SET = """
[[companies]]
id = "acme"
name = "Acme"
region = "GB"
"""
MENU = """
[[call_flows]]
id = "menu"
name = "New"
destination = { context = "flow-menu" }
parameters = [{ name = "TEXT", type = "text" }, { name = "COUNT", type = "integer" }]
"""


@pytest.fixture
def store(run: Run, tmp_path: pathlib.Path) -> pathlib.Path:
    """The file of the store, over which a later version has written."""
    (tmp_path / "set.toml").write_text(SET)
    assert run("load", tmp_path / "set.toml").status == 0
    (path,) = tmp_path.rglob("ringway.db")
    put_into_file(path, *LATER)
    return path


def as_stored(path: pathlib.Path) -> list[tuple[int, str, Any]]:
    return [(code, key, in_file(path, code, key)) for code, key, _ in STORED]


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["toml", "json"])
def test_a_dump_has_all_of_it_and_is_taken_back_into_the_same_store_and_into_an_empty_one(
    run: Run, store: pathlib.Path, tmp_path: pathlib.Path, form: tuple[str, ...]
) -> None:
    done = run("dump", *form)
    assert (done.status, done.err) == (0, "")
    dump = tmp_path / "dump"
    dump.write_text(done.out)
    for words in ((), ("--replace",)):
        assert run("load", dump, *words) == (0, "nothing to change, version 2\n", "")
    store.unlink()
    assert run("load", dump, "--replace") == (0, f"{1 + len(LATER)} rows changed, version 1\n", "")
    assert as_stored(store) == STORED
    assert run("dump", *form).out == done.out


def test_a_dump_has_it_under_a_key_of_its_own(run: Run, store: pathlib.Path) -> None:
    dumped = tomllib.loads(run("dump").out)
    numbers = {each["number"]: each for each in dumped["numbers"]}
    assert json.loads(numbers[NUMBER].pop("_unknown")) == {
        "tags": TAGGED["tags"],
        "updates": {"2199-01-01T00:00:00Z": {"note": "New Year"}},
    }
    assert numbers[NUMBER] == {
        "number": NUMBER,
        "company": "acme",
        "call_flow": "menu",
        "updates": [{"at": each["at"], "call_flow": "menu"} for each in TAGGED["updates"]],
    }
    assert numbers[SPARE].keys() == {"number", "_unknown"}
    (hours,) = dumped["_unknown"]
    assert (hours["kind"], hours["key"], json.loads(hours["_unknown"])) == (OTHER_KIND, "office", HOURS)
    assert run("dump").out.endswith(
        "# End of the dump: 1 companies, 1 call_flows, 0 campaigns, 2 numbers, 1 _unknown.\n"
    )
    assert run("dump", "--json").json()["end"]["_unknown"] == 1


def test_a_dump_that_lost_rows_of_another_kind_is_known(run: Run, store: pathlib.Path, tmp_path: pathlib.Path) -> None:
    dumped = run("dump", "--json").json()
    (tmp_path / "cut.json").write_text(json.dumps(dumped | {"_unknown": []}))
    assert "its end counts 1 _unknown, and it has 0" in run("load", tmp_path / "cut.json").err


def test_a_load_keeps_what_it_does_not_know(run: Run, store: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "menu.toml").write_text(MENU)
    assert run("load", tmp_path / "menu.toml") == (0, "1 row changed, version 3\n", "")
    assert in_file(store, 2, "menu") == FLOW | {"name": "New"}
    assert as_stored(store)[1:] == STORED[1:]


def test_a_row_that_cannot_be_read_is_replaced_with_a_warning(
    run: Run, store: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "spare.csv").write_text(f"number,company\n{SPARE},acme\n")
    done = run("load", tmp_path / "spare.csv")
    assert (done.status, done.out) == (0, "1 row changed, version 3\n")
    assert "this version cannot read the stored row (Invalid enum value 'stock'" in done.err


def test_a_replacement_says_what_would_be_lost_and_is_not_made_unless_that_is_meant(
    run: Run, store: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "set.toml").write_text(SET + MENU)
    lost = (
        'what a later version has written: call flow "menu" (colour, destination.label, parameters[TEXT].pattern), '
        f'number "{NUMBER}", number "{SPARE}" and 1 more'
    )
    going = f"2 of 2 numbers, 1 of 1 rows of kind {OTHER_KIND}, {lost}"
    done = run("load", tmp_path / "set.toml", "--replace")
    assert (done.status, done.out) == (1, "")
    assert done.err.splitlines() == [
        f"--replace removes {going}",
        f"ringway: {going} would go; nothing was changed; add --yes if that is meant",
    ]
    assert as_stored(store) == STORED
    assert run("load", tmp_path / "set.toml", "--replace", "--yes").status == 0
    assert as_stored(store)[1:] == [(code, key, None) for code, key, _ in STORED[1:]]
    assert "_unknown" not in run("dump").out


def test_a_few_fields_that_would_be_lost_are_enough(run: Run, store: pathlib.Path, tmp_path: pathlib.Path) -> None:
    dumped = run("dump", "--json").json()
    del dumped["call_flows"][0]["_unknown"]
    (tmp_path / "dump.json").write_text(json.dumps(dumped))
    done = run("load", tmp_path / "dump.json", "--replace")
    assert done.status == 1
    assert 'call flow "menu" (colour, destination.label, parameters[TEXT].pattern) would go' in done.err


@pytest.mark.parametrize(
    "entry",
    [
        {"kind": 17, "key": "a", "_unknown": "{}"},
        {"kind": OTHER_KIND, "key": "a", "_unknown": "[]"},
        {"kind": OTHER_KIND, "key": 7, "_unknown": "{}"},
        {"kind": "hours", "key": "a", "_unknown": "{}"},
        {"kind": 2, "key": "a", "_unknown": "{"},
        {"kind": OTHER_KIND, "key": "a"},
        {"kind": OTHER_KIND, "key": "a", "_unknown": "{}", "more": 1},
        {},
    ],
    ids=str,
)
def test_what_no_dump_has_is_refused(run: Run, store: pathlib.Path, tmp_path: pathlib.Path, entry: object) -> None:
    (tmp_path / "odd.json").write_text(json.dumps({"_unknown": [entry]}))
    done = run("load", tmp_path / "odd.json")
    assert done.status == 1
    assert "it is not what a dump has there; take it from a dump as it is" in done.err


def test_a_kind_that_has_become_known_is_read_as_any_other(
    run: Run, store: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    row = {"id": "late", "name": "Late", "destination": {"context": "flow-late"}, "colour": "blue"}
    entry = {"kind": 2, "key": "late", "_unknown": json.dumps(row)}
    (tmp_path / "late.json").write_text(json.dumps({"_unknown": [entry]}))
    assert run("load", tmp_path / "late.json").out == "1 row changed, version 3\n"
    assert in_file(store, 2, "late") == row | {"destination": row["destination"] | {"exten": "s", "priority": 1}}  # type: ignore[operator]
    entry["_unknown"] = json.dumps(row | {"company": "nobody"})
    (tmp_path / "late.json").write_text(json.dumps({"_unknown": [entry]}))
    assert 'there is no company "nobody"' in run("load", tmp_path / "late.json").err


def test_the_decision_for_a_number_that_cannot_be_read_says_so(run: Run, store: pathlib.Path) -> None:
    done = run("route", SPARE, "--at", "2026-07-01T12:00:00Z")
    assert "it is stored, and cannot be read by this version" in done.out
    assert "reason unknown-number" in done.out
    assert "flow-menu,s,1  call-flow menu, reason assigned" in run("route", NUMBER, "--at", "2026-07-01T12:00:00Z").out


def test_the_decision_over_a_flow_that_cannot_be_read_says_so(run: Run, store: pathlib.Path) -> None:
    put_into_file(store, (2, "menu", FLOW | {"destination": []}))
    done = run("route", NUMBER, "--at", "2026-07-01T12:00:00Z")
    assert 'call flow "menu" is stored, and cannot be read by this version' in done.out
    assert "reason no-destination" in done.out


def test_the_status_of_a_router_counts_them_where_there_are_some() -> None:
    metrics = Metrics()
    assert (
        not {"rows_left_out", "rows_read_in_part"}
        & live._state(prometheus_client.generate_latest(metrics.registry).decode()).keys()
    )
    metrics.rows_left_out.set(2)
    metrics.rows_read_in_part.set(3)
    state = live._state(prometheus_client.generate_latest(metrics.registry).decode())
    assert (state["rows_left_out"], state["rows_read_in_part"]) == (2, 3)
