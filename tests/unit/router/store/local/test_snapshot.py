"""The snapshot beside a real Redis: it follows what is read, and stands in while that is away."""

import asyncio
import contextlib
import sqlite3
import threading
import time
from typing import Any

import pytest

from dialplan.kinds.registry import RowKind
from router.store.api import StoreError
from router.store.local import snapshot as store_snapshot
from tests.samples import campaign, company, flow, number
from tests.unit.router.store import content as data
from tests.unit.router.store.snapshots import HOUR, Place, in_step, keys, meeting, taken

# --- following --------------------------------------------------------------------------------------------------------


async def test_what_is_read_lies_here_as_well(place: Place) -> None:
    await place.writer.commit(data.flows("a", "b"))
    store = await place.started()
    known, rows = await in_step(store)
    assert (keys(rows), place.held()) == ({"a", "b"}, (1, {"a", "b"}))
    await place.writer.commit(data.flows("c"))
    await place.writer.commit(data.removal("a"))
    assert await store.wait(*known, 60)
    _, rows = await taken(await store.read(*known))
    assert rows[RowKind.CALL_FLOW, "a"] is None
    assert place.held() == (3, {"b", "c"})


async def test_it_goes_by_the_name_of_its_store(place: Place) -> None:
    assert place.snapshot().name == "redis"


async def test_commits_and_views_are_the_stores(place: Place) -> None:
    store = await place.started()
    assert (await store.commit(data.flows("a"))).version == 1
    seen: list[object] = []
    assert await store.view(lambda stored: seen.extend(stored.rows(RowKind.CALL_FLOW))) == 1
    assert len(seen) == 1
    place.away()
    with pytest.raises(StoreError):
        await store.commit(data.flows("b"))
    with pytest.raises(StoreError):
        await store.view(lambda _: None)


async def test_rows_of_every_kind_come_back_as_they_were(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_snapshot, "STORE_BATCH_ROWS", 2)
    numbers = [number(f"0207946000{place}", parameters={"TEXT": "\N{TELEPHONE RECEIVER}"}) for place in range(5)]
    flows = flow("menu", parameters=[{"name": "TEXT", "type": "text"}])
    numbers = [(kind, values | {"call_flow": "menu"}) for kind, values in numbers]
    await data.commit(place.writer, company(), flows, campaign("offer"), *numbers)
    _, rows = await in_step(await place.started())
    place.away()
    known, again = await in_step(await place.started())
    assert (again, len(again), known[0]) == (rows, 8, 1)


async def test_a_start_takes_what_is_here_and_what_has_changed_since(place: Place) -> None:
    await place.writer.commit(data.flows("a", "b", "c"))
    await in_step(await place.started())
    await place.writer.commit(data.flows("a", context="new"))
    await place.writer.commit(data.removal("b"))
    later = await place.started()
    reading = await later.read(None, "")
    assert reading.full  # for a table that has nothing yet
    assert reading.seen_at is None
    last: data.Content = {}
    async for batch in reading.batches:
        last |= {(kind, key): row for kind, key, row in batch}
    expected = await data.everything(place.writer)
    assert {key: row for key, row in last.items() if row is not None} == expected
    assert place.held() == (3, {"a", "c"})
    assert not await later.wait(reading.version, reading.epoch, 0)


async def test_a_start_after_a_gap_leaves_nothing_old_behind(place: Place) -> None:
    await place.writer.commit(data.flows("a", "b"))
    await in_step(await place.started())
    await place.writer.commit(data.removal("a"))
    place.server.command("DEL", f"{{{place.prefix}}}:changes")
    _, rows = await in_step(await place.started())
    assert keys(rows) == {"b"}
    assert place.held() == (2, {"b"})


async def test_a_reading_that_breaks_off_leaves_the_last_version_here_and_goes_on_from_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.store.redis.store.STORE_BATCH_ROWS", 2)
    await place.writer.commit(data.flows("a", "b"))
    store = await place.started()
    known, _ = await in_step(store)
    await place.writer.commit(data.flows("a", "c", "d", "e", context="new"))
    reading = await store.read(*known)
    await anext(reading.batches)
    await reading.batches.aclose()  # type: ignore[attr-defined] # a generator
    assert place.held() == (1, {"a", "b"})
    again = await store.read(*known)
    assert not again.full
    _, rows = await taken(again)
    assert keys(rows) == {"a", "c", "d", "e"}
    assert place.held() == (2, {"a", "b", "c", "d", "e"})


async def test_a_snapshot_in_step_says_so_now_and_then(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await place.started()
    known, _ = await in_step(store)
    place.change("UPDATE meta SET seen_at = 5")
    assert not await store.wait(*known, 0)  # it is only just written
    place.away()
    assert (await (await place.started()).read(None, "")).seen_at == 5
    place.back()
    monkeypatch.setattr(store_snapshot, "SNAPSHOT_SEEN_SECONDS", -1.0)
    assert not await store.wait(*known, 0)
    place.away()
    began = time.time()
    reading = await (await place.started()).read(None, "")
    assert reading.seen_at is not None
    assert reading.seen_at > began - HOUR


async def test_a_snapshot_of_another_version_is_not_said_to_be_in_step(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await place.started()
    known, _ = await in_step(store)
    place.change("UPDATE meta SET seen_at = 5, epoch = 'theirs'")
    monkeypatch.setattr(store_snapshot, "SNAPSHOT_SEEN_SECONDS", -1.0)
    assert not await store.wait(*known, 0)
    with contextlib.closing(sqlite3.connect(place.path)) as file:
        assert file.execute("SELECT seen_at FROM meta").fetchall() == [(5,)]


# --- reading by itself ------------------------------------------------------------------------------------------------


async def test_a_first_reading_is_the_tables_alone_and_the_file_reads_the_store_afterwards(place: Place) -> None:
    """Who has no snapshot yet answers calls before it has one."""
    await place.writer.commit(data.flows("a", "b"))
    store = await place.started()
    known, rows = await taken(await store.read(None, ""))
    assert keys(rows) == {"a", "b"}
    assert place.held_rows() == set()
    await meeting(store, known)
    assert place.held() == (1, {"a", "b"})
    (said,) = place.log.of("snapshot_filled")
    assert said["version"] == 1


async def test_what_changes_while_the_file_reads_is_in_the_table_at_once_and_in_the_file_in_the_end(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.store.redis.store.STORE_BATCH_ROWS", 2)
    await place.writer.commit(data.flows(*"abcdef"))
    store = await place.started()
    known, _ = await taken(await store.read(None, ""))
    goes_on, put = threading.Event(), store_snapshot._put

    def slow(*arguments: Any, **named: Any) -> None:
        goes_on.wait(60)
        put(*arguments, **named)

    monkeypatch.setattr(store_snapshot, "_put", slow)
    try:
        assert not await store.wait(*known, 0)
        for name in "ghi":
            await place.writer.commit(data.flows(name, "a", context=name))
            assert await store.wait(*known, 60)
            known, rows = await taken(await store.read(*known))
            assert keys(rows) == {"a", name}
        assert place.held_rows() == set()
    finally:
        goes_on.set()
    await meeting(store, known)
    assert place.held() == (4, set("abcdefghi"))
    await place.writer.commit(data.removal("b"))
    await taken(await store.read(*known))  # they go on together
    assert place.held() == (5, set("acdefghi"))


async def test_a_router_that_ends_while_the_file_reads_leaves_the_last_whole_state(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place.writer.commit(data.flows("a"))
    store = await place.started()
    known, _ = await in_step(store)
    await place.writer.commit(data.flows("b"))
    place.server.command("DEL", f"{{{place.prefix}}}:changes")  # all has to be read
    known, rows = await taken(await store.read(*known))
    assert (keys(rows), place.held()) == ({"a", "b"}, (1, {"a"}))
    begun, goes_on = threading.Event(), threading.Event()

    def hangs(*_: Any, **__: Any) -> None:
        begun.set()
        goes_on.wait(60)

    monkeypatch.setattr(store_snapshot, "_put", hangs)
    try:
        assert not await store.wait(*known, 0)
        assert await asyncio.to_thread(begun.wait, 60)
        closing = asyncio.create_task(store.close())
        await asyncio.sleep(0)
    finally:
        goes_on.set()
    await closing
    assert place.held() == (1, {"a"})
    monkeypatch.undo()
    await in_step(await place.started())
    assert place.held() == (2, {"a", "b"})


async def test_a_store_that_goes_while_the_file_reads_it_is_read_again_later(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place.writer.commit(data.flows("a"))
    store = await place.started()
    known, _ = await taken(await store.read(None, ""))
    assert not await store.wait(*known, 0)
    place.away()
    assert store._reading is not None
    await asyncio.wait([store._reading])
    (said,) = place.log.of("snapshot_failed")
    assert said["error"].startswith("store redis://127.0.0.1:")
    place.back()
    assert not await store.wait(*known, 0)
    assert place.held_rows() == set()
    monkeypatch.setattr(store, "_retry_at", 0.0)  # its time has come
    await meeting(store, known)
    assert place.held() == (1, {"a"})


async def test_a_store_that_has_lost_its_data_is_not_read_into_a_file_that_is_apart(place: Place) -> None:
    await place.writer.commit(data.flows("a"))
    store = await place.started()
    first, _ = await in_step(store)
    await place.writer.commit(data.flows("b"))
    await taken(await store.read(*first))
    place.empty()
    await place.writer.open()  # rebuilds it
    again = await store.read(*first)  # as a table asks that could not use what it read last
    assert again.version == 0
    assert store._reading is not None
    await asyncio.wait([store._reading])
    assert place.held() == (2, {"a", "b"})
    assert "rebuilt" in place.log.of("snapshot_failed")[-1]["error"]


# --- standing in ------------------------------------------------------------------------------------------------------


async def test_without_the_store_the_snapshot_serves_and_says_so(place: Place) -> None:
    await place.writer.commit(data.flows("a"))
    known, rows = await in_step(await place.started())
    place.change("UPDATE meta SET seen_at = ?", time.time() - 2 * HOUR)
    place.away()
    later = await place.started()
    reading = await later.read(None, "")
    assert reading.full
    assert reading.seen_at is not None
    assert await taken(reading) == (known, rows)
    assert not await later._connection.run(lambda file: file.in_transaction)  # an old state would make the file grow
    (said,) = place.log.of("snapshot_serves")
    assert said["why"].startswith(f"store redis://127.0.0.1:{place.proxy.port}/0: ")
    assert (said["version"], round(said["age_hours"])) == (1, 2)


async def test_when_the_store_is_back_the_changes_follow(place: Place) -> None:
    await place.writer.commit(data.flows("a"))
    await in_step(await place.started())
    place.away()
    later = await place.started()
    known, _ = await in_step(later)
    with pytest.raises(StoreError, match="is it running, and there"):
        await later.wait(*known, 0)
    await place.writer.commit(data.flows("b"))
    place.back()
    assert await later.wait(*known, 60)
    reading = await later.read(*known)
    assert (reading.full, reading.seen_at) == (False, None)
    _, rows = await taken(reading)
    assert keys(rows) == {"b"}
    assert place.held() == (2, {"a", "b"})


@pytest.mark.parametrize("hours", [1.0, 72.0])
async def test_a_snapshot_that_is_too_old_is_refused_with_both_reasons(place: Place, hours: float) -> None:
    await in_step(await place.started())
    place.change("UPDATE meta SET seen_at = ?", time.time() - (hours + 0.5) * HOUR)
    place.away()
    with pytest.raises(StoreError) as caught:
        await place.started(oldest=hours * HOUR)
    assert "is it running, and there?; the snapshot in " in str(caught.value)
    allowed = f"[store] snapshot_max_age_hours allows {hours:g}; 0 allows any"
    assert str(caught.value).endswith(f"{place.path} is {hours + 0.5:.1f} hours old, and {allowed}")


async def test_a_snapshot_of_any_age_serves_where_that_is_allowed(place: Place) -> None:
    await in_step(await place.started())
    place.change("UPDATE meta SET seen_at = 5")
    place.away()
    assert (await (await place.started(oldest=0)).read(None, "")).seen_at == 5


async def test_without_a_store_and_without_a_snapshot_there_is_no_start(place: Place) -> None:
    place.away()
    with pytest.raises(StoreError, match=r"is it running, and there\?; there is no snapshot in .*snapshot\.db"):
        await place.started()


async def test_a_store_that_goes_between_its_opening_and_the_first_reading_is_stood_in_for(place: Place) -> None:
    await place.writer.commit(data.flows("a"))
    await in_step(await place.started())
    later = await place.started()
    place.away()
    _, rows = await in_step(later)
    assert keys(rows) == {"a"}


async def test_a_store_that_has_lost_its_data_does_not_empty_the_snapshot(place: Place) -> None:
    """A router that starts now would otherwise serve nothing, and the last good copy would be gone."""
    await place.writer.commit(data.flows("a"))
    await in_step(await place.started())
    place.empty()
    later = await place.started()  # rebuilds the store
    known, rows = await in_step(later)
    assert (known[0], keys(rows)) == (1, {"a"})
    assert place.held() == (1, {"a"})
    (served,) = place.log.of("snapshot_serves")[:1]
    assert "rebuilt, and nothing has been loaded into it; load the data again" in served["why"]
    await place.writer.commit(data.flows("b"))
    assert await later.wait(*known, 60)
    known, rows = await taken(await later.read(*known))
    assert keys(rows) == {"b"}
    await meeting(later, known)
    assert place.held() == (1, {"b"})


async def test_a_store_that_comes_back_with_nothing_in_it_is_rebuilt(place: Place) -> None:
    await place.writer.commit(data.flows("a"))
    await in_step(await place.started())
    place.away()
    later = await place.started()
    known, _ = await in_step(later)
    place.empty()
    place.back()
    assert await later.wait(*known, 60)
    assert (await later.read(*known)).version == 0  # which a table does not take


async def test_a_data_set_that_was_emptied_on_purpose_is_taken(place: Place) -> None:
    await place.writer.commit(data.flows("a"))
    await in_step(await place.started())
    await place.writer.commit(data.removal("a"))
    _, rows = await in_step(await place.started())
    assert keys(rows) == set()
    assert place.held() == (2, set())
