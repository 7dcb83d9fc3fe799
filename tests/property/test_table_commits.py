"""A table that is patched again and again, in steps with look-ups in between, against a plain dictionary."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dialplan.kinds.call_flow import CallFlow
from dialplan.kinds.fields import Destination
from dialplan.kinds.number import Number, NumberKind, Status
from dialplan.kinds.parameter import ParameterValue
from dialplan.kinds.registry import Row, RowKind
from dialplan.routing import pool as pool_module
from dialplan.routing import table as table_module
from dialplan.routing.entries import Entries
from dialplan.routing.table import Patch, RoutingTable
from dialplan.shards import SHARD_MASK
from tests.property.datasets import tried

KEYS = [f"+44207946{place:04}" for place in range(40)]
FLOWS = ["a", "b", "c"]


@st.composite
def numbers(draw: st.DrawFn, key: str) -> Number:
    if draw(st.booleans()):
        return Number(key, NumberKind.POOL, None, status=draw(st.sampled_from(Status)))
    choices: list[dict[str, ParameterValue]] = [{}, {"P": 1}, {"P": True}, {"P": "x", "Q": 2}]
    values = draw(st.sampled_from(choices))
    return Number(key, company=draw(st.sampled_from(["acme", "globex"])), call_flow="a", parameters=values)


@st.composite
def commits(draw: st.DrawFn) -> tuple[bool, list[tuple[RowKind, str, Row | None]]]:
    """Whether it is the whole set, and its rows; some have several words said on them."""
    full = draw(st.integers(0, 4)) == 0
    rows: list[tuple[RowKind, str, Row | None]] = []
    keys = draw(st.lists(st.sampled_from(KEYS), max_size=30))
    rows += [(RowKind.NUMBER, key, draw(st.none() | numbers(key))) for key in keys]
    for key in draw(st.lists(st.sampled_from(FLOWS), max_size=2)):
        flow = CallFlow(key, key, Destination(draw(st.sampled_from(["one", "two"]))))
        rows.append((RowKind.CALL_FLOW, key, draw(st.sampled_from([None, flow]))))
    return full, rows


def seen(table: RoutingTable) -> tuple[Any, ...]:
    """All that calls may see of it, by look-ups."""
    entries = {key: table.shards[hash(key) & SHARD_MASK].get(key) for key in KEYS}
    assert entries == {key: table.find(key) for key in KEYS}
    return (
        {key: None if entry is None else shown(entry) for key, entry in entries.items()},
        dict(table.flows),
        list(table.pool),
        table.version,
        len(table.numbers),
        set(table.numbers),
    )


def shown(entry: Any) -> tuple[Any, ...]:
    values = entry.base.values if entry.base is not None else ()
    typed = [(name, type(value), value) for name, value in values]
    return entry.company, entry.active, entry.base and entry.base.flow, typed


def expected(model: dict[tuple[RowKind, str], Row], version: int) -> tuple[Any, ...]:
    rows = {key: row for (kind, key), row in model.items() if kind is RowKind.NUMBER}
    pool = [key for key, row in rows.items() if row.company is None and row.status is Status.ACTIVE]  # type: ignore[union-attr] # numbers
    entries = {key: None if key not in rows else row_shown(rows[key]) for key in KEYS}
    flows = {key: row for (kind, key), row in model.items() if kind is RowKind.CALL_FLOW}
    return entries, flows, sorted(pool), version, len(rows), set(rows)


def row_shown(row: Any) -> tuple[Any, ...]:
    typed = [(name, type(value), value) for name, value in row.parameters.items()]
    return row.company, row.status is Status.ACTIVE, row.call_flow, typed


@tried(150)
@given(st.lists(commits(), min_size=1, max_size=6))
def test_a_commit_is_seen_whole_or_not_at_all(made: list[tuple[bool, list[tuple[RowKind, str, Row | None]]]]) -> None:
    with SmallSteps():
        table, entries = RoutingTable(), Entries()
        model: dict[tuple[RowKind, str], Row] = {}
        for version, (full, rows) in enumerate(made, start=1):
            patch = Patch(version, full=full, entries=entries)
            patch.add(rows)
            last = {(kind, key): row for kind, key, row in rows}
            assert len(patch) == len(last)
            before, mark = seen(table), table.targets
            assert before == expected(model, version - 1)
            steps = table.patching(patch)
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    after = end.value
                    break
                assert seen(table) == before
            kept = {} if full else {name: row for name, row in model.items() if name not in last}
            model = kept | {name: row for name, row in last.items() if row is not None}
            assert seen(table) == before
            assert seen(after) == expected(model, version)
            assert after.digest == whole(model).digest
            flows_touched = full or any(kind is RowKind.CALL_FLOW for kind, _ in last)
            assert (after.targets is not mark) is flows_touched
            groups = [*patch.leaving(after), *table.leaving(after)]
            groups.clear()
            table = after


def whole(model: dict[tuple[RowKind, str], Row]) -> RoutingTable:
    patch = Patch(1, full=True)
    patch.add((kind, key, row) for (kind, key), row in model.items())
    return RoutingTable().patched(patch)


class SmallSteps:
    """Small steps and chunks, so that small tables have many."""

    def __enter__(self) -> None:
        self._before = (
            table_module._STEP_ROWS,
            pool_module.CHUNK,
            pool_module._STEP_CHUNKS,
            pool_module._REBUILD_CHANGES,
        )
        self._set(2, 3, 1, 8)

    def __exit__(self, *_: object) -> None:
        self._set(*self._before)

    def _set(self, rows: int, chunk: int, chunks: int, changes: int) -> None:
        table_module._STEP_ROWS = rows
        pool_module.CHUNK, pool_module._STEP_CHUNKS, pool_module._REBUILD_CHANGES = chunk, chunks, changes
