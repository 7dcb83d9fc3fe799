"""The snapshot beside a real Redis: it follows what is read, and stands in while that is away."""

import asyncio
import contextlib
import pathlib
import sqlite3
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from dialplan.model import RowKind
from router.store import snapshot as store_snapshot
from router.store.base import Reading, StoreError
from router.store.redis import RedisStore
from router.store.redis_connection import Options, parse
from router.store.snapshot import SnapshotStore
from router.store.sqlite import SqliteStore
from tests.fault_proxy import FaultProxy
from tests.redis_server import RedisServer
from tests.samples import campaign, company, flow, number
from tests.unit.router.store import content as data

HOUR = 3600.0


class Log:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def error(self, event: str, **details: Any) -> None:
        self.events.append((event, details))

    def of(self, name: str) -> list[dict[str, Any]]:
        return [details for event, details in self.events if event == name]


class Place:
    """A data set in Redis, the way to it, and snapshots of it in one file."""

    def __init__(self, server: RedisServer, proxy: FaultProxy, folder: pathlib.Path) -> None:
        self.server = server
        self.proxy = proxy
        self.prefix = uuid.uuid4().hex
        self.path = folder / "state" / "snapshot.db"
        self.log = Log()
        self.opened: list[SnapshotStore | RedisStore] = []
        self.writer = self._redis(server.port)

    def _redis(self, port: int) -> RedisStore:
        made = RedisStore(parse(f"redis://127.0.0.1:{port}/0"), Options(prefix=self.prefix))
        self.opened.append(made)
        return made

    def snapshot(self, oldest: float = 0.0) -> SnapshotStore:
        """A router's store, as if it had just started."""
        log: Any = self.log
        made = SnapshotStore(self._redis(self.proxy.port), self.path, oldest, log)
        self.opened.append(made)
        return made

    async def started(self, oldest: float = 0.0) -> SnapshotStore:
        made = self.snapshot(oldest)
        await made.open()
        return made

    def away(self) -> None:
        self.proxy.refuse()
        self.proxy.cut()

    def back(self) -> None:
        self.proxy.accept()

    def empty(self) -> None:
        for name in self.server.command("KEYS", f"{{{self.prefix}}}:*"):
            self.server.command("DEL", name)

    def held(self) -> tuple[int, set[str]]:
        """The version that the file has, and the keys of its rows."""
        with contextlib.closing(sqlite3.connect(self.path)) as file:
            ((version,),) = file.execute("SELECT version FROM meta").fetchall()
            return version, {key for (key,) in file.execute("SELECT key FROM rows")}

    def change(self, statement: str, *values: object) -> None:
        with contextlib.closing(sqlite3.connect(self.path)) as file:
            file.execute(statement, values)
            file.commit()


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[FaultProxy]:
    with FaultProxy(redis_server.port) as running:
        yield running


@pytest.fixture
async def place(redis_server: RedisServer, proxy: FaultProxy, tmp_path: pathlib.Path) -> AsyncIterator[Place]:
    made = Place(redis_server, proxy, tmp_path)
    await made.writer.open()
    yield made
    for each in made.opened:
        await each.close()


Known = tuple[int, str]


async def taken(reading: Reading) -> tuple[Known, data.Content]:
    rows = await data.content(reading)
    return (reading.version, reading.epoch), rows


def keys(rows: data.Content) -> set[str]:
    return {key for (_, key), row in rows.items() if row is not None}


# --- following --------------------------------------------------------------------------------------------------------


async def test_what_is_read_lies_here_as_well(place: Place) -> None:
    await place.writer.commit(data.flows("a", "b"))
    store = await place.started()
    known, rows = await taken(await store.read(None, ""))
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
    _, rows = await taken(await (await place.started()).read(None, ""))
    place.away()
    known, again = await taken(await (await place.started()).read(None, ""))
    assert (again, len(again), known[0]) == (rows, 8, 1)


async def test_a_start_takes_what_is_here_and_what_has_changed_since(place: Place) -> None:
    await place.writer.commit(data.flows("a", "b", "c"))
    await taken(await (await place.started()).read(None, ""))
    await place.writer.commit(data.flows("a", context="new"))
    await place.writer.commit(data.removal("b"))
    later = await place.started()
    reading = await later.read(None, "")
    assert reading.whole  # for a table that has nothing yet
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
    await taken(await (await place.started()).read(None, ""))
    await place.writer.commit(data.removal("a"))
    place.server.command("DEL", f"{{{place.prefix}}}:changes")
    _, rows = await taken(await (await place.started()).read(None, ""))
    assert keys(rows) == {"b"}
    assert place.held() == (2, {"b"})


async def test_a_reading_that_breaks_off_leaves_the_last_version_here_and_goes_on_from_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.store.redis.STORE_BATCH_ROWS", 2)
    await place.writer.commit(data.flows("a", "b"))
    store = await place.started()
    known, _ = await taken(await store.read(None, ""))
    await place.writer.commit(data.flows("a", "c", "d", "e", context="new"))
    reading = await store.read(*known)
    await anext(reading.batches)
    await reading.batches.aclose()  # type: ignore[attr-defined] # a generator
    assert place.held() == (1, {"a", "b"})
    again = await store.read(*known)
    assert not again.whole
    _, rows = await taken(again)
    assert keys(rows) == {"a", "c", "d", "e"}
    assert place.held() == (2, {"a", "b", "c", "d", "e"})


async def test_a_snapshot_in_step_says_so_now_and_then(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await place.started()
    known, _ = await taken(await store.read(None, ""))
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
    known, _ = await taken(await store.read(None, ""))
    place.change("UPDATE meta SET seen_at = 5, epoch = 'theirs'")
    monkeypatch.setattr(store_snapshot, "SNAPSHOT_SEEN_SECONDS", -1.0)
    assert not await store.wait(*known, 0)
    with contextlib.closing(sqlite3.connect(place.path)) as file:
        assert file.execute("SELECT seen_at FROM meta").fetchall() == [(5,)]


# --- standing in ------------------------------------------------------------------------------------------------------


async def test_without_the_store_the_snapshot_serves_and_says_so(place: Place) -> None:
    await place.writer.commit(data.flows("a"))
    known, rows = await taken(await (await place.started()).read(None, ""))
    place.change("UPDATE meta SET seen_at = ?", time.time() - 2 * HOUR)
    place.away()
    later = await place.started()
    reading = await later.read(None, "")
    assert reading.whole
    assert reading.seen_at is not None
    assert await taken(reading) == (known, rows)
    assert not await later._connection.run(lambda file: file.in_transaction)  # an old state would make the file grow
    (said,) = place.log.of("snapshot_serves")
    assert said["why"].startswith(f"store redis://127.0.0.1:{place.proxy.port}/0: ")
    assert (said["version"], round(said["age_hours"])) == (1, 2)


async def test_when_the_store_is_back_the_changes_follow(place: Place) -> None:
    await place.writer.commit(data.flows("a"))
    await taken(await (await place.started()).read(None, ""))
    place.away()
    later = await place.started()
    known, _ = await taken(await later.read(None, ""))
    with pytest.raises(StoreError, match="is it running, and there"):
        await later.wait(*known, 0)
    await place.writer.commit(data.flows("b"))
    place.back()
    assert await later.wait(*known, 60)
    reading = await later.read(*known)
    assert (reading.whole, reading.seen_at) == (False, None)
    _, rows = await taken(reading)
    assert keys(rows) == {"b"}
    assert place.held() == (2, {"a", "b"})


@pytest.mark.parametrize("hours", [1.0, 72.0])
async def test_a_snapshot_that_is_too_old_is_refused_with_both_reasons(place: Place, hours: float) -> None:
    await taken(await (await place.started()).read(None, ""))
    place.change("UPDATE meta SET seen_at = ?", time.time() - (hours + 0.5) * HOUR)
    place.away()
    with pytest.raises(StoreError) as caught:
        await place.started(oldest=hours * HOUR)
    assert "is it running, and there?; the snapshot in " in str(caught.value)
    allowed = f"[store] snapshot_max_age_hours allows {hours:g}; 0 allows any"
    assert str(caught.value).endswith(f"{place.path} is {hours + 0.5:.1f} hours old, and {allowed}")


async def test_a_snapshot_of_any_age_serves_where_that_is_allowed(place: Place) -> None:
    await taken(await (await place.started()).read(None, ""))
    place.change("UPDATE meta SET seen_at = 5")
    place.away()
    assert (await (await place.started(oldest=0)).read(None, "")).seen_at == 5


async def test_without_a_store_and_without_a_snapshot_there_is_no_start(place: Place) -> None:
    place.away()
    with pytest.raises(StoreError, match=r"is it running, and there\?; there is no snapshot in .*snapshot\.db"):
        await place.started()


async def test_a_store_that_goes_between_its_opening_and_the_first_reading_is_stood_in_for(place: Place) -> None:
    await place.writer.commit(data.flows("a"))
    await taken(await (await place.started()).read(None, ""))
    later = await place.started()
    place.away()
    _, rows = await taken(await later.read(None, ""))
    assert keys(rows) == {"a"}


async def test_a_store_that_has_lost_its_data_does_not_empty_the_snapshot(place: Place) -> None:
    """A router that starts now would otherwise serve nothing, and the last good copy would be gone."""
    await place.writer.commit(data.flows("a"))
    await taken(await (await place.started()).read(None, ""))
    place.empty()
    later = await place.started()  # makes the store anew
    known, rows = await taken(await later.read(None, ""))
    assert (known[0], keys(rows)) == (1, {"a"})
    assert place.held() == (1, {"a"})
    assert (
        "made anew, and nothing has been loaded into it; load the data again"
        in place.log.of("snapshot_serves")[0]["why"]
    )
    await place.writer.commit(data.flows("b"))
    assert await later.wait(*known, 60)
    _, rows = await taken(await later.read(*known))
    assert keys(rows) == {"b"}
    assert place.held() == (1, {"b"})


async def test_a_store_that_comes_back_with_nothing_in_it_is_made_anew(place: Place) -> None:
    await place.writer.commit(data.flows("a"))
    await taken(await (await place.started()).read(None, ""))
    place.away()
    later = await place.started()
    known, _ = await taken(await later.read(None, ""))
    place.empty()
    place.back()
    assert await later.wait(*known, 60)
    assert (await later.read(*known)).version == 0  # which a table does not take


async def test_a_data_set_that_was_emptied_on_purpose_is_taken(place: Place) -> None:
    await place.writer.commit(data.flows("a"))
    await taken(await (await place.started()).read(None, ""))
    await place.writer.commit(data.removal("a"))
    _, rows = await taken(await (await place.started()).read(None, ""))
    assert keys(rows) == set()
    assert place.held() == (2, set())


# --- a file that cannot follow ----------------------------------------------------------------------------------------


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
    known, _ = await taken(await store.read(None, ""))
    with held_up(place):
        await place.writer.commit(data.flows("b"))
        known, rows = await taken(await store.read(*known))
        assert keys(rows) == {"b"}
    (said,) = place.log.of("snapshot_failed")
    assert said["error"].startswith(f"store {place.path}: ")
    await place.writer.commit(data.flows("c"))
    reading = await store.read(*known)  # it is left alone still
    assert not reading.whole
    known, _ = await taken(reading)
    assert place.held() == (1, {"a"})
    store._retry_at = 0.0
    await place.writer.commit(data.removal("b"))
    _, rows = await taken(await store.read(*known))
    assert place.held() == (4, {"a", "c"})
    assert len(place.log.of("snapshot_failed")) == 1


async def test_a_file_left_behind_does_not_lead_the_table_into_another_history(
    place: Place, impatient: Callable[[float], None]
) -> None:
    """The file stands at a version that a restored backup knows; the table has gone on from there."""
    impatient(0)
    await place.writer.commit(data.flows("a", "b"))
    store = await place.started()
    known, _ = await taken(await store.read(None, ""))
    saved = {name: place.server.command("DUMP", name) for name in place.server.command("KEYS", f"{{{place.prefix}}}:*")}
    with held_up(place):
        await place.writer.commit(data.flows("lost", "a", context="lost"))
        known, _ = await taken(await store.read(*known))
    place.empty()
    for name, dump in saved.items():
        place.server.command("RESTORE", name, 0, dump)
    await place.writer.commit(data.flows("new"))
    reading = await store.read(*known)
    assert reading.whole
    _, rows = await taken(reading)
    assert keys(rows) == {"a", "b", "new"}
    assert place.held() == (2, {"a", "b", "new"})


async def test_a_file_that_is_ahead_of_the_table_hides_nothing_from_it(place: Place) -> None:
    """Whoever read the last changes did not get to use them."""
    await place.writer.commit(data.flows("a"))
    store = await place.started()
    first, _ = await taken(await store.read(None, ""))
    await place.writer.commit(data.flows("b"))
    await taken(await store.read(*first))
    await place.writer.commit(data.flows("c"))
    _, rows = await taken(await store.read(*first))
    assert {"b", "c"} <= keys(rows)
    assert place.held() == (3, {"a", "b", "c"})


async def test_a_damaged_row_in_the_file_is_told_and_the_next_start_reads_the_store_in_full(place: Place) -> None:
    await place.writer.commit(data.flows("a"))
    await taken(await (await place.started()).read(None, ""))
    place.change("UPDATE rows SET kind = 9")
    reading = await (await place.started()).read(None, "")
    with pytest.raises(StoreError, match=r"malformed content \(a row of kind 9\)"):
        await data.content(reading)
    _, rows = await taken(await (await place.started()).read(None, ""))
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
    known, _ = await taken(await store.read(None, ""))
    ours, place.prefix = place.prefix, uuid.uuid4().hex
    other = place._redis(place.server.port)
    await other.open()
    await other.commit(data.flows("theirs"))
    theirs, _ = await taken(await (another := await place.started()).read(None, ""))
    place.prefix = ours
    await place.writer.commit(data.flows("b"))
    known, rows = await taken(await store.read(*known))
    assert keys(rows) == {"b"}
    (said,) = place.log.of("snapshot_failed")
    assert "another router writes to it; give each one a file of its own in [store] snapshot" in said["error"]
    assert place.held() == (1, {"theirs"})
    assert not await another.wait(*theirs, 0)
    _, rows = await taken(await (await place.started()).read(None, ""))
    assert keys(rows) == {"a", "b"}


async def test_a_first_reading_is_of_one_state_of_the_file_whoever_writes_to_it(place: Place) -> None:
    await place.writer.commit(data.flows("a"))
    await taken(await (await place.started()).read(None, ""))
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
    await taken(await (await place.started()).read(None, ""))
    await place.writer.commit(data.flows("c"))
    place.server.command("DEL", f"{{{place.prefix}}}:changes")
    place.server.command("HSET", f"{{{place.prefix}}}:rows:2", "b", "[]")
    later = await place.started()
    with pytest.raises(StoreError, match="a row cannot be read"):
        await taken(await later.read(None, ""))
    known, rows = await taken(await later.read(None, ""))
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
    _, rows = await taken(await store.read(None, ""))
    assert keys(rows) == {"a"}


async def test_a_start_does_not_ask_a_store_again_that_has_just_not_answered(place: Place) -> None:
    """One that hangs takes five seconds each time."""
    await place.writer.commit(data.flows("a"))
    await taken(await (await place.started()).read(None, ""))
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
    await taken(await (await place.started()).read(None, ""))
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
    known, _ = await taken(await store.read(None, ""))
    monkeypatch.setattr(store_snapshot, "SNAPSHOT_ANSWER_SECONDS", 0.01)
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
    monkeypatch.setattr(store_snapshot, "SNAPSHOT_ANSWER_SECONDS", 60)
    assert store._working is not None
    await asyncio.wait([store._working])
    await taken(await store.read(*known))
    assert place.held() == (3, {"a", "b", "c"})


def test_who_looks_into_the_file_holds_up_a_change_no_longer_than_promised() -> None:
    assert store_snapshot._SCHEMA.busy_seconds <= 0.2


async def test_closing_twice_is_nothing(place: Place) -> None:
    store = await place.started()
    await store.close()
    await store.close()
