"""A snapshot that is locked, damaged, left behind or somebody else's: it leads nobody astray, and holds up nobody."""

import asyncio
import contextlib
import sqlite3
import threading
import time
import types
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from router.store.api import StoreError
from router.store.local import disk
from router.store.local import snapshot as store_snapshot
from router.store.sqlite import connection as sqlite_connection
from router.store.sqlite.store import SqliteStore
from tests.unit.router.store import content as data
from tests.unit.router.store.snapshots import HOUR, Place, in_step, keys, meeting, taken


@contextlib.contextmanager
def held_up(place: Place) -> Iterator[None]:
    """Somebody else writes to the file and does not end."""
    with contextlib.closing(sqlite3.connect(place.path)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    schema = store_snapshot._SCHEMA
    monkeypatch.setattr(store_snapshot, "_SCHEMA", schema._replace(busy_seconds=0.01))
    return lambda seconds: monkeypatch.setattr(store_snapshot, "SNAPSHOT_RETRY_SECONDS", seconds)


async def test_a_file_that_cannot_be_written_holds_up_nobody_and_is_tried_again_later(
    place: Place, impatient: Callable[[float], None]
) -> None:
    impatient(600)
    await place.writer.commit(data.flows("a"))
    store = await place.started()
    known, _ = await in_step(store)
    with held_up(place):
        await place.writer.commit(data.flows("b"))
        known, rows = await taken(await store.read(*known))
        assert keys(rows) == {"b"}
    (said,) = place.log.of("snapshot_failed")
    assert said["error"].startswith(f"store {place.path}: ")
    await place.writer.commit(data.flows("c"))
    reading = await store.read(*known)  # it is left alone still
    assert not reading.full
    known, _ = await taken(reading)
    assert place.held() == (1, {"a"})
    store._retry_at = 0.0
    await place.writer.commit(data.removal("b"))
    known, rows = await taken(await store.read(*known))
    await meeting(store, known)
    assert place.held() == (4, {"a", "c"})
    assert len(place.log.of("snapshot_failed")) == 1


async def test_a_file_left_behind_does_not_lead_the_table_into_another_history(
    place: Place, impatient: Callable[[float], None]
) -> None:
    """The file stands at a version that a restored backup knows; the table has gone on from there."""
    impatient(0)
    await place.writer.commit(data.flows("a", "b"))
    store = await place.started()
    known, _ = await in_step(store)
    saved = {name: place.server.command("DUMP", name) for name in place.server.command("KEYS", f"{{{place.prefix}}}:*")}
    with held_up(place):
        await place.writer.commit(data.flows("lost", "a", context="lost"))
        known, _ = await taken(await store.read(*known))
    place.empty()
    for name, dump in saved.items():
        place.server.command("RESTORE", name, 0, dump)
    await place.writer.commit(data.flows("new"))
    reading = await store.read(*known)
    assert reading.full
    known, rows = await taken(reading)
    assert keys(rows) == {"a", "b", "new"}
    await meeting(store, known)
    assert place.held() == (2, {"a", "b", "new"})


async def test_a_file_that_is_ahead_of_the_table_hides_nothing_from_it(place: Place) -> None:
    """Whoever read the last changes did not get to use them."""
    await place.writer.commit(data.flows("a"))
    store = await place.started()
    first, _ = await in_step(store)
    await place.writer.commit(data.flows("b"))
    await taken(await store.read(*first))
    await place.writer.commit(data.flows("c"))
    known, rows = await taken(await store.read(*first))
    assert {"b", "c"} <= keys(rows)
    await meeting(store, known)
    assert place.held() == (3, {"a", "b", "c"})


async def test_a_damaged_row_in_the_file_is_told_and_the_next_start_reads_the_store_in_full(place: Place) -> None:
    await place.writer.commit(data.flows("a"))
    await in_step(await place.started())
    place.change("UPDATE rows SET kind = 99")
    reading = await (await place.started()).read(None, "")
    with pytest.raises(StoreError, match=r"malformed content \(a row of kind 99\)"):
        await data.content(reading)
    _, rows = await in_step(await place.started())
    assert keys(rows) == {"a"}
    assert place.held() == (1, {"a"})


@pytest.mark.parametrize("junk", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 4096])
async def test_a_file_that_is_no_snapshot_is_told_of_and_the_store_serves_without_it(place: Place, junk: bytes) -> None:
    await place.writer.commit(data.flows("a"))
    place.path.parent.mkdir()
    place.path.write_bytes(junk)
    _, rows = await taken(await (await place.started()).read(None, ""))
    assert keys(rows) == {"a"}
    assert "snapshot.db: " in place.log.of("snapshot_failed")[0]["error"]
    place.away()
    with pytest.raises(StoreError, match="there is no snapshot in"):
        await place.started()
    assert place.path.read_bytes() == junk


async def test_two_data_sets_do_not_mix_in_one_file(place: Place) -> None:
    """As where two installations on one machine leave [store] snapshot as it is."""
    await place.writer.commit(data.flows("a"))
    store = await place.started()
    known, _ = await in_step(store)
    ours, place.prefix = place.prefix, uuid.uuid4().hex
    other = place._redis(place.server.port)
    await other.open()
    await other.commit(data.flows("theirs"))
    theirs, _ = await in_step(another := await place.started())
    place.prefix = ours
    await place.writer.commit(data.flows("b"))
    known, rows = await taken(await store.read(*known))
    assert keys(rows) == {"b"}
    (said,) = place.log.of("snapshot_failed")
    assert "another router writes to it; give each one a file of its own in [store] snapshot" in said["error"]
    assert place.held() == (1, {"theirs"})
    assert not await another.wait(*theirs, 0)
    _, rows = await in_step(await place.started())
    assert keys(rows) == {"a", "b"}


async def test_a_first_reading_is_of_one_state_of_the_file_whoever_writes_to_it(place: Place) -> None:
    await place.writer.commit(data.flows("a"))
    await in_step(await place.started())
    reading = await (await place.started()).read(None, "")
    place.change("UPDATE rows SET key = 'theirs'")
    place.change("UPDATE meta SET epoch = 'theirs'")
    _, rows = await taken(reading)
    assert keys(rows) == {"a"}
    assert "another router writes to it" in place.log.of("snapshot_failed")[0]["error"]


async def test_a_data_set_in_the_place_of_a_snapshot_is_not_touched(place: Place) -> None:
    """As where who moves to Redis names the file that the data were in; Redis is empty still."""
    place.path.parent.mkdir()
    file = SqliteStore(place.path)
    await file.open()
    await file.commit(data.flows("ours"))
    await file.close()
    _, rows = await taken(await (await place.started()).read(None, ""))
    assert rows == {}
    assert "it is no snapshot; name another file in [store] snapshot" in place.log.of("snapshot_failed")[0]["error"]
    again = SqliteStore(place.path)
    await again.open(make=False)
    assert keys(await data.everything(again)) == {"ours"}
    await again.close()


async def test_a_start_whose_reading_of_the_store_breaks_off_serves_the_snapshot(place: Place) -> None:
    await place.writer.commit(data.flows("a", "b"))
    await in_step(await place.started())
    await place.writer.commit(data.flows("c"))
    place.server.command("DEL", f"{{{place.prefix}}}:changes")
    place.server.command("HSET", f"{{{place.prefix}}}:rows:2", "b", "[]")
    later = await place.started()
    with pytest.raises(StoreError, match="a row cannot be read"):
        await in_step(later)
    known, rows = await in_step(later)
    assert (known[0], keys(rows), place.held()) == (1, {"a", "b"}, (1, {"a", "b"}))
    assert "a row cannot be read" in place.log.of("snapshot_serves")[0]["why"]


async def test_a_reading_that_breaks_off_without_a_snapshot_is_begun_anew(place: Place) -> None:
    await place.writer.commit(data.flows("a"))
    store = await place.started()
    reading = await store.read(None, "")
    place.away()
    with pytest.raises(StoreError, match="is it running, and there"):
        await taken(reading)
    place.back()
    _, rows = await in_step(store)
    assert keys(rows) == {"a"}


async def test_a_start_does_not_ask_a_store_again_that_has_just_not_answered(place: Place) -> None:
    """One that hangs takes five seconds each time."""
    await place.writer.commit(data.flows("a"))
    await in_step(await place.started())
    place.away()
    later = await place.started()
    place.back()
    reading = await later.read(None, "")
    assert reading.seen_at is not None
    known, _ = await taken(reading)
    await place.writer.commit(data.flows("b"))
    assert await later.wait(*known, 60)


async def test_a_damaged_file_that_cannot_be_written_does_not_keep_a_router_from_starting(
    place: Place, impatient: Callable[[float], None]
) -> None:
    impatient(600)
    await place.writer.commit(data.flows("a"))
    await in_step(await place.started())
    place.change("UPDATE rows SET body = '[]'")
    with held_up(place):
        store = await place.started()
        with pytest.raises(StoreError, match="a row cannot be read"):
            await taken(await store.read(None, ""))
        known, rows = await taken(await store.read(None, ""))
        assert keys(rows) == {"a"}
    place.away()
    with pytest.raises(StoreError, match="is it running, and there"):
        await store.wait(*known, 0)


async def test_a_disk_that_hangs_holds_up_no_change_for_long(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    await place.writer.commit(data.flows("a"))
    store = await place.started()
    known, _ = await in_step(store)
    monkeypatch.setattr(disk, "DISK_ANSWER_SECONDS", 0.01)
    monkeypatch.setattr(store_snapshot, "SNAPSHOT_RETRY_SECONDS", 0)
    goes_on = threading.Event()
    put = store_snapshot._put

    def hangs(*arguments: Any, **named: Any) -> None:
        goes_on.wait(60)
        put(*arguments, **named)

    monkeypatch.setattr(store_snapshot, "_put", hangs)
    try:
        for name in "bc":
            await place.writer.commit(data.flows(name))
            known, rows = await taken(await store.read(*known))
            assert name in keys(rows)
    finally:
        goes_on.set()
    first, second = (said["error"] for said in place.log.of("snapshot_failed"))
    assert first.endswith("its disk does not answer within 0.01 s; see to that disk")
    assert second.endswith("its disk has not answered yet; see to that disk")
    monkeypatch.setattr(disk, "DISK_ANSWER_SECONDS", 60)
    assert store._disk.hanging is not None
    await asyncio.wait([store._disk.hanging])
    await meeting(store, known)
    assert place.held() == (3, {"a", "b", "c"})


def test_who_looks_into_the_file_holds_up_a_change_no_longer_than_promised() -> None:
    assert store_snapshot._SCHEMA.busy_seconds <= 0.2


async def test_closing_twice_is_nothing(place: Place) -> None:
    store = await place.started()
    await store.close()
    await store.close()


async def test_a_file_that_is_deleted_while_the_router_runs_is_made_again_though_nothing_changes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_snapshot, "SNAPSHOT_SEEN_SECONDS", 0)
    await place.writer.commit(data.flows("a", "b"))
    store = await place.started()
    known, _ = await in_step(store)
    place.path.unlink()
    assert not await store.wait(*known, 0.01)
    assert "No such file" in place.log.of("snapshot_failed")[0]["error"]
    monkeypatch.setattr(store, "_retry_at", 0.0)  # its time has come
    await meeting(store, known)
    assert place.held() == (1, {"a", "b"})
    assert not await store.wait(*known, 0.01)


async def test_a_clock_that_is_set_back_is_noted_in_the_file(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else what it saw last would be of the future, and young for as long."""
    await place.writer.commit(data.flows("a"))
    store = await place.started()
    now = time.time()
    monkeypatch.setattr(
        store_snapshot, "time", types.SimpleNamespace(time=lambda: now + 30 * 24 * HOUR, monotonic=time.monotonic)
    )
    known, _ = await in_step(store)
    monkeypatch.setattr(store_snapshot, "time", types.SimpleNamespace(time=lambda: now, monotonic=time.monotonic))
    assert not await store.wait(*known, 0.01)
    with contextlib.closing(sqlite3.connect(place.path)) as file:
        assert file.execute("SELECT seen_at FROM meta").fetchone() == (now,)


async def test_what_is_refused_or_served_by_its_age_tells_of_the_clock(place: Place) -> None:
    await in_step(await place.started())
    place.away()
    place.change("UPDATE meta SET seen_at = ?", time.time() - 30 * 24 * HOUR)
    with pytest.raises(StoreError, match=r"is 720\.0 hours old"):
        await place.started(oldest=72 * HOUR)
    (refused,) = place.log.of("snapshot_refused")
    assert refused["hint"] == "see that this machine's clock is right"
    assert refused["seen_at"] < refused["clock"]
    place.change("UPDATE meta SET seen_at = ?", time.time() + 30 * 24 * HOUR)
    await (await place.started(oldest=72 * HOUR)).read(None, "")
    assert "set the clock" in place.log.of("snapshot_serves")[-1]["hint"]


async def test_a_disk_that_hangs_holds_up_the_end_no_longer_than_a_close_may_take(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_connection, "DISK_CLOSE_SECONDS", 0.01)
    store = await place.started()
    began, goes_on = threading.Event(), threading.Event()

    def hang(_: sqlite3.Connection) -> None:
        began.set()
        goes_on.wait(60)

    hanging = asyncio.create_task(store._connection.run(hang))
    await asyncio.to_thread(began.wait, 60)
    try:
        await store.close()
        assert not hanging.done()
    finally:
        goes_on.set()
    await hanging
