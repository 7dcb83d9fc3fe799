"""Rows of a later version in every store: kept as they are, counted, told of, and left out of the table."""

import pytest

from dialplan.dataset.later import LaterRow
from dialplan.kinds.number import Number
from dialplan.kinds.registry import RowKind
from router.store.api import Store
from tests import later_rows
from tests.later_rows import FLOW, HOURS, LATER, NUMBER, OTHER_KIND, STOCK, TAGGED
from tests.samples import company, flow, number
from tests.unit.router.store import content as data
from tests.unit.router.store.conftest import Opener
from tests.unit.router.store.snapshots import Place, in_step, taken
from tests.unit.router.store.test_table_sync import Parts

SPARE = STOCK["number"]
SET = [company(), flow("closed"), number("02079460001", call_flow="closed")]


@pytest.fixture
async def filled(store: Store) -> Store:
    """A set over which a later version has written."""
    await data.commit(store, *SET)
    await later_rows.put(store, *LATER)
    return store


async def stored(store: Store) -> dict[tuple[object, str], object]:
    """What is stored of the rows of a later version."""
    return {name: row.fields() for name, row in (await data.everything(store)).items() if isinstance(row, LaterRow)}


AS_WRITTEN = {
    (RowKind.CALL_FLOW, "menu"): FLOW,
    (RowKind.NUMBER, NUMBER): TAGGED,
    (RowKind.NUMBER, SPARE): STOCK,
    (OTHER_KIND, "office"): HOURS,
}


async def test_they_are_read_as_they_were_written_with_all_others(filled: Store, another: Opener) -> None:
    assert await stored(filled) == AS_WRITTEN
    reading = await (await another()).read(None, "")
    assert len(await data.content(reading)) == len(SET) + len(LATER)


async def test_a_check_sees_them(filled: Store) -> None:
    seen: dict[object, object] = {}
    await filled.view(lambda view: seen.update(data.seen_by(view)))
    assert isinstance(seen[RowKind.NUMBER, SPARE], LaterRow)
    assert isinstance(seen[RowKind.NUMBER, "+442079460001"], Number)
    one: list[object] = []
    await filled.view(lambda view: one.extend([view.get(RowKind.CALL_FLOW, "menu"), *view.of_other_kinds()]))
    assert [row.key for row in one if isinstance(row, LaterRow)] == ["menu", "office"]


async def test_a_load_keeps_what_it_does_not_know(filled: Store) -> None:
    await data.commit(filled, flow("menu", name="New", parameters=[{"name": "TEXT", "type": "text"}]))
    text, _ = FLOW["parameters"]
    assert await stored(filled) == AS_WRITTEN | {
        (RowKind.CALL_FLOW, "menu"): FLOW | {"name": "New", "parameters": [text]}
    }


async def test_a_load_beside_them_and_a_removal_of_all_go_on(filled: Store, another: Opener) -> None:
    await data.commit(filled, number("02079460002", call_flow="menu"))
    follower = await another()
    before = await data.content(known := await follower.read(None, ""))
    assert len(before) == len(SET) + len(LATER) + 1
    await data.commit(filled, *SET, replace=True)
    changes = await follower.read(known.version, known.epoch)
    assert await data.content(changes) == dict.fromkeys([*AS_WRITTEN, (RowKind.NUMBER, "+442079460002")])
    assert len(await data.everything(await another())) == len(SET)


async def test_many_of_them_come_in_a_commit_of_many_steps(store: Store, another: Opener) -> None:
    """In Redis those are put into the rows by whoever comes by."""
    hours = [(OTHER_KIND, f"h{place}", {"id": f"h{place}"}) for place in range(4_500)]
    await later_rows.put(store, *hours)
    assert len(await data.everything(await another())) == len(hours)
    await data.commit(store, *SET)
    assert len(await data.everything(store)) == len(hours) + len(SET)


# --- the table --------------------------------------------------------------------------------------------------------


async def test_a_table_has_what_can_be_read_and_what_is_left_out_is_told_once(filled: Store, another: Opener) -> None:
    parts = Parts(await another())
    await parts.sync.load()
    table = parts.sync.table
    assert set(table.numbers) == {NUMBER, "+442079460001"}
    assert set(table.flows) == {"closed", "menu"}
    assert table.left_out == {(RowKind.NUMBER, SPARE), (OTHER_KIND, "office")}
    assert (parts.sample("table_rows_left_out"), parts.sample("table_rows_read_in_part")) == (2, 2)
    told = {name: details for name, details in parts.log.events if name != "table"}
    assert told["rows_left_out"]["rows"] == [f"rows of kind {OTHER_KIND} office", f"numbers {SPARE}"]
    assert told["rows_left_out"]["count"] == 2
    assert told["rows_read_in_part"]["rows"] == ["call_flows menu", f"numbers {NUMBER}"]
    assert "unknown field" in told["rows_read_in_part"]["why"]

    await data.commit(filled, flow("other"))
    await parts.sync._read()
    assert table.left_out == {(RowKind.NUMBER, SPARE), (OTHER_KIND, "office")}
    assert (
        parts.log.names() == ["rows_left_out", "rows_read_in_part", "table"]
        or parts.log.names().count("rows_left_out") == 1
    )


async def test_a_row_comes_into_the_table_and_goes_with_what_is_written_of_it(filled: Store, another: Opener) -> None:
    parts = Parts(await another())
    await parts.sync.load()
    await data.commit(filled, number(SPARE, call_flow="closed"))
    await parts.sync._read()
    assert SPARE in parts.sync.table.numbers
    assert parts.sync.table.left_out == {(OTHER_KIND, "office")}
    assert (parts.sample("table_rows_left_out"), parts.sample("table_rows_read_in_part")) == (1, 3)
    digest = parts.sync.table.digest
    await later_rows.put(filled, (4, SPARE, STOCK), (4, "+442079460001", STOCK | {"number": "+442079460001"}))
    await parts.sync._read()
    assert set(parts.sync.table.numbers) == {NUMBER}
    assert parts.sync.table.left_out >= {(RowKind.NUMBER, SPARE), (RowKind.NUMBER, "+442079460001")}
    assert parts.sample("table_rows_left_out") == 3
    await data.commit(filled, number(SPARE, call_flow="closed"), SET[2])
    await parts.sync._read()
    assert parts.sync.table.digest == digest
    await data.commit(filled, *SET, replace=True)
    await parts.sync._read()
    assert (parts.sync.table.left_out, parts.sample("table_rows_left_out")) == (frozenset(), 0)
    assert parts.sample("table_rows_read_in_part") == 0


async def test_a_line_names_some_of_many(store: Store, another: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.store.later_rows.LATER_ROWS_NAMED_MAX", 2)
    await later_rows.put(store, *((OTHER_KIND, f"h{place}", {}) for place in range(5)))
    parts = Parts(await another())
    await parts.sync.load()
    ((_, details),) = [each for each in parts.log.events if each[0] == "rows_left_out"]
    assert (len(details["rows"]), details["new"], details["count"]) == (2, 5, 5)


# --- what is kept here of a shared store ------------------------------------------------------------------------------


async def test_a_snapshot_keeps_them_whole_for_the_version_that_knows_them(place: Place) -> None:
    """Else a router that is upgraded would begin with a set that lacks what its store has."""
    await data.commit(place.writer, *SET)
    await later_rows.put(place.writer, *LATER)
    known, _ = await in_step(await place.started())
    place.away()
    _, rows = await taken(await (await place.started()).read(None, ""))
    assert {name: row.fields() for name, row in rows.items() if isinstance(row, LaterRow)} == AS_WRITTEN
    place.back()
    follower = await place.started()
    await taken(await follower.read(None, ""))
    await data.commit(place.writer, *SET, replace=True)
    await taken(await follower.read(*known))
    assert place.held()[1] == {"acme", "closed", "+442079460001"}
