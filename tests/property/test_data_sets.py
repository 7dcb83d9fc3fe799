"""Whatever is thrown at the gate of the store, and what comes back out of it."""

import io
import pathlib
import tempfile
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given

from dialplan.dataset.changes import ChangeSet, NothingStored, Stored, prepare
from dialplan.dataset.later import held_key
from dialplan.dataset.problems import DataProblems, Problem
from dialplan.dataset.reader import RawRow
from dialplan.kinds.registry import Row, RowKind
from router.management import data_files as files
from tests.property.datasets import ANY_ROWS, as_rows, good_sets, tried
from tests.samples import Entry, Held, held


@tried(250)
@given(ANY_ROWS)
def test_any_rows_are_taken_or_refused_with_what_is_wrong_and_nothing_else_happens(rows: list[RawRow]) -> None:
    changes, problems = outcome(rows, NothingStored())
    if changes is None:
        assert problems
        msgspec.json.encode(problems)  # what is told can be told to anybody
        for each in problems:
            assert each.file == "any.json"
            assert each.entry
            assert each.text
            assert each.hint
            assert str(each).isprintable()
        return
    assert len(changes) == len(rows)  # no row is passed over in silence
    for section in changes.rows.values():
        for key, row in section.items():
            assert row is not None
            assert held_key(row) == key
            assert msgspec.json.decode(msgspec.json.encode(row), type=type(row)) == row  # it can be stored


@tried(60)
@given(ANY_ROWS, good_sets())
def test_any_rows_against_a_stored_set_leave_it_good(rows: list[RawRow], entries: list[Entry]) -> None:
    store = Keyed()
    store.held = held(*entries).held
    changes, problems = outcome(rows, store)
    if changes is None:
        assert all(each.file in ("any.json", "stored") and each.entry and each.hint for each in problems)
        return
    store.take(changes)
    again = [RawRow(kind, row.place, row.values) for kind in RowKind for row in as_rows(entries_of(store, kind))]
    assert prepare(again, NothingStored()).rows == {kind: rows for kind, rows in store.held.items() if rows}


@tried(60)
@given(good_sets())
def test_a_good_set_is_taken_and_is_then_no_change(entries: list[Entry]) -> None:
    store = held(*entries)
    assert sum(map(len, store.held.values())) == len(entries)
    assert len(prepare(as_rows(entries), store)) == 0
    assert len(prepare(as_rows(entries), store, replace=True)) == 0


@pytest.mark.parametrize("as_json", [False, True], ids=["toml", "json"])
@tried(60)
@given(entries=good_sets())
def test_what_is_dumped_loads_as_the_same_set(entries: list[Entry], as_json: bool) -> None:
    store = held(*entries)
    text = io.StringIO()
    text.writelines(files.write(all_rows(store), as_json=as_json))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / ("dump.json" if as_json else "dump.toml")
        path.write_text(text.getvalue(), encoding="utf-8")
        rows, problems = files.read_files([str(path)])
    assert problems == []
    assert len(rows) == len(entries)
    assert prepare(rows, NothingStored()).rows == {kind: rows for kind, rows in store.held.items() if rows}
    assert len(prepare(rows, store, replace=True)) == 0


class Keyed(Held):
    """A store that turns keys into bytes, as every database does."""

    def get(self, kind: RowKind, key: str) -> Row | None:
        key.encode()
        return super().get(kind, key)


def outcome(rows: list[RawRow], stored: Stored) -> tuple[ChangeSet | None, list[Problem]]:
    """What a check says: a change, or what is wrong. Any other exception fails the test by itself."""
    try:
        return prepare(rows, stored), []
    except DataProblems as refused:
        return None, refused.problems


def all_rows(store: Held) -> Iterator[tuple[RowKind, Row]]:
    for kind in RowKind:
        for row in store.rows(kind):
            yield kind, row


def entries_of(store: Held, kind: RowKind) -> list[Entry]:
    return [(kind, msgspec.to_builtins(row)) for row in store.rows(kind)]
