"""What is Redis' own of its store: chunks, the lock, what readers have missed, and histories that went another way."""

import asyncio
import contextlib
import pathlib
import shutil
import uuid
from collections.abc import AsyncIterator, Awaitable, Mapping

import pytest

from dialplan.model import CallFlow, Destination, Number, RowKind
from dialplan.validate import ChangeSet, Stored
from router import limits
from router.store import redis as store_redis
from router.store.base import Commit, Prepare, Store, StoreError
from router.store.redis import RedisStore
from router.store.redis_connection import Options, parse
from router.store.redis_scripts import State
from tests.redis_server import RedisServer, running_redis
from tests.samples import campaign, company, flow, number
from tests.unit.router.store import content as data


class Opened:
    """Stores of one data set, and its keys."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.prefix = uuid.uuid4().hex
        self.stores: list[RedisStore] = []

    async def open(self, *, make: bool = True) -> RedisStore:
        self.stores.append(RedisStore(parse(self.server.url), Options(prefix=self.prefix)))
        await self.stores[-1].open(make=make)
        return self.stores[-1]

    def key(self, name: str) -> str:
        return f"{{{self.prefix}}}:{name}"

    def logs(self) -> list[str]:
        return [name.decode() for name in self.server.command("KEYS", self.key("log:*"))]

    def log(self, version: int) -> str:
        ((_, fields),) = self.server.command("XRANGE", self.key("changes"), f"{version}-0", f"{version}-0")
        return self.key(f"log:{fields[b'id'].decode()}")

    def versions(self) -> list[int]:
        entries: list[tuple[bytes, object]] = self.server.command("XRANGE", self.key("changes"), "-", "+")
        return [int(name.partition(b"-")[0]) for name, _ in entries]

    def delete(self, *names: str) -> None:
        self.server.command("DEL", *names)


@pytest.fixture
async def opened(redis_server: RedisServer) -> AsyncIterator[Opened]:
    made = Opened(redis_server)
    yield made
    for each in made.stores:
        await each.close()


@pytest.fixture
async def store(opened: Opened) -> RedisStore:
    return await opened.open()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows a chunk, and a page of the scan."""
    monkeypatch.setattr(store_redis, "STORE_BATCH_ROWS", 2)


Mirror = dict[tuple[RowKind, str], object]


class Follower:
    """A copy that is kept by readings alone."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.rows: Mirror = {}
        self.version: int | None = None
        self.epoch = ""
        self.whole = 0

    async def read(self) -> None:
        reading = await self.store.read(self.version, self.epoch)
        rows = dict(self.rows) if not reading.whole else {}
        async for batch in reading.batches:
            for kind, key, row in batch:
                rows[kind, key] = row
                if row is None:
                    del rows[kind, key]
        self.whole += reading.whole
        self.rows, self.version, self.epoch = rows, reading.version, reading.epoch


async def following(store: Store) -> Follower:
    follower = Follower(store)
    await follower.read()
    return follower


async def equal(follower: Follower, writer: Store, *, whole: int) -> None:
    """The follower hears that there is something new, reads it, and then has what a new reader gets."""
    assert follower.version is not None
    assert await follower.store.wait(follower.version, follower.epoch, 60)
    await follower.read()
    fresh = await following(writer)
    assert (follower.rows, follower.version, follower.epoch) == (fresh.rows, fresh.version, fresh.epoch)
    assert follower.whole == whole
    assert not await follower.store.wait(follower.version, follower.epoch, 0)


def many(count: int, context: str = "c") -> Prepare:
    return data.flows(*[f"f{place:03}" for place in range(count)], context=context)


async def broken(work: Awaitable[object]) -> str:
    with pytest.raises(StoreError) as caught:
        await work
    return str(caught.value)


# --- opening ----------------------------------------------------------------------------------------------------------


async def test_a_command_that_only_looks_makes_nothing(opened: Opened) -> None:
    assert "there is no data set in it; load data into it first" in await broken(opened.open(make=False))
    assert opened.server.command("KEYS", opened.key("*")) == []


async def test_a_part_of_a_data_set_is_refused(opened: Opened, store: RedisStore) -> None:
    await store.commit(data.flows("a"))
    opened.delete(opened.key("meta"))
    assert "it holds a part of a data set only; restore a backup" in await broken(opened.open())


async def test_a_schema_of_another_version_is_left_to_that_version(opened: Opened, store: RedisStore) -> None:
    opened.server.client().hset(opened.key("meta"), "schema", "2")
    for make in (True, False):
        text = await broken(opened.open(make=make))
        assert "its schema is 2, this version of Ringway knows 1; use the version that made it" in text
    assert "its schema is 2" in await broken(store.read(None, ""))
    assert "its schema is 2" in await broken(store.commit(data.flows("a")))


async def test_a_damaged_data_set_is_told(opened: Opened, store: RedisStore) -> None:
    opened.server.client().hdel(opened.key("meta"), "head")
    assert "its data set is damaged; restore a backup" in await broken(store.read(None, ""))


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-lru", "volatile-ttl"])
async def test_a_server_that_throws_keys_away_is_refused(policy: str) -> None:
    """Also one that takes only keys with a time to live: claims and the lock are such."""
    with running_redis(maxmemory="100mb", maxmemory_policy=policy) as server:
        store = RedisStore(parse(server.url), Options())
        text = await broken(store.open())
        assert text.endswith(
            f"it throws away keys when its memory is full ({policy}); set its maxmemory-policy to noeviction"
        )
        server.command("CONFIG SET", "maxmemory", 0)  # it never comes to that
        await store.open()
        await store.close()


async def test_data_sets_of_other_prefixes_are_others(redis_server: RedisServer) -> None:
    one, other = Opened(redis_server), Opened(redis_server)
    await (await one.open()).commit(data.flows("a"))
    assert await data.everything(await other.open()) == {}
    for each in (*one.stores, *other.stores):
        await each.close()


# --- commits and their rows -------------------------------------------------------------------------------------------


async def test_a_commit_of_many_chunks_is_read_whole_and_as_a_change(
    opened: Opened, store: RedisStore, small: None
) -> None:
    follower = await following(await opened.open())
    await store.commit(many(7))
    (log,) = opened.logs()
    assert opened.server.command("LLEN", log) == 4
    await equal(follower, store, whole=1)
    assert len(follower.rows) == 7


async def test_what_a_writer_that_died_had_sent_ahead_goes_by_itself(
    opened: Opened, store: RedisStore, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    class Halted(Exception):  # noqa: N818 - stands for the end of the process
        pass

    def chunks(changes: ChangeSet) -> object:
        yield from list(original(changes))[:2]
        seen.extend(opened.server.command("TTL", log) for log in opened.logs())
        raise Halted

    original = store_redis._chunks
    monkeypatch.setattr(store_redis, "_chunks", chunks)
    with pytest.raises(Halted):
        await store.commit(many(7))
    assert len(seen) == 1
    assert 0 < seen[0] <= limits.REDIS_STAGED_SECONDS
    monkeypatch.undo()
    assert await store.commit(many(3)) == Commit(1, 3)


async def test_a_writer_that_died_after_its_commit_leaves_the_rows_to_the_next(
    opened: Opened, store: RedisStore, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = RedisStore._apply
    calls: list[RedisStore] = []

    async def once(self: RedisStore, state: State | None = None) -> object:
        calls.append(self)
        if len(calls) > 1:
            raise StoreError("the process is gone")
        return await apply(self, state)

    with monkeypatch.context() as patched:
        patched.setattr(RedisStore, "_apply", once)
        await store.commit(many(7, "old"))
    assert opened.server.client().hlen(opened.key("rows:2")) == 0
    assert len(await data.everything(store)) == 7  # a reader puts them over the rows
    await (await opened.open()).commit(data.removal("f000"))
    assert opened.server.client().hlen(opened.key("rows:2")) == 6
    assert await data.everything(store) == {
        (RowKind.CALL_FLOW, f"f{place:03}"): CallFlow(f"f{place:03}", f"f{place:03}", Destination("old"))
        for place in range(1, 7)
    }


async def test_a_check_that_asks_for_many_rows_gets_all_of_their_kind(
    store: RedisStore, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_redis, "REDIS_GETS_MAX", 3)
    await data.commit(store, company(), flow("menu"), campaign("offer"), number())
    await store.commit(many(9))
    found: list[object] = []

    def look(stored: Stored) -> None:
        for _ in range(2):
            found.extend(stored.get(RowKind.CALL_FLOW, f"f{place:03}") for place in range(9))
        found.append(stored.get(RowKind.CALL_FLOW, "none"))
        found.extend(stored.get(RowKind.NUMBER, "+442079460000") for _ in range(5))

    assert await store.view(look) == 2
    assert [row is None for row in found] == [False] * 18 + [True] + [False] * 5


async def test_a_row_that_no_version_can_read_is_told(opened: Opened, store: RedisStore) -> None:
    await store.commit(data.flows("a"))
    opened.server.client().hset(opened.key("rows:2"), "a", "{}")
    seen: list[object] = []
    text = "a row cannot be read"
    assert text in await broken(data.everything(store))
    assert text in await broken(store.view(lambda stored: seen.extend(stored.rows(RowKind.CALL_FLOW))))
    assert text in await broken(store.view(lambda stored: seen.append(stored.get(RowKind.CALL_FLOW, "a"))))
    assert seen == []


# --- the lock ---------------------------------------------------------------------------------------------------------


async def test_a_writer_that_lost_its_turn_changes_nothing(opened: Opened, store: RedisStore) -> None:
    """It stalled: the lock has gone, and somebody else has written."""
    other = await opened.open()
    loop = asyncio.get_running_loop()

    def slow(stored: Stored) -> ChangeSet:
        opened.delete(opened.key("lock"))
        asyncio.run_coroutine_threadsafe(other.commit(data.flows("theirs")), loop).result(60)
        return data.flows("mine")(stored)

    text = await broken(store.commit(slow))
    assert text.endswith("this change took too long, and others may write again; nothing was changed, try again")
    assert set(await data.everything(store)) == {(RowKind.CALL_FLOW, "theirs")}
    assert (await store.commit(data.flows("mine"))).version == 2


async def test_a_writer_that_lost_its_turn_to_one_who_is_not_done_changes_nothing(
    opened: Opened, store: RedisStore
) -> None:
    def slow(stored: Stored) -> ChangeSet:
        opened.server.command("SET", opened.key("lock"), "another writer")
        return data.flows("mine")(stored)

    assert "others may write again; nothing was changed" in await broken(store.commit(slow))
    assert opened.server.command("GET", opened.key("lock")) == b"another writer"
    assert await data.everything(store) == {}


@pytest.mark.parametrize("unchanged", [False, True])
async def test_what_was_looked_at_while_somebody_else_wrote_is_no_one_state(
    opened: Opened, store: RedisStore, unchanged: bool
) -> None:
    """The lock has gone and come back: nobody holds it any more, but somebody has."""
    await store.commit(data.flows("a", "b"))
    other = await opened.open()
    loop = asyncio.get_running_loop()

    def look(stored: Stored) -> None:
        stored.get(RowKind.CALL_FLOW, "a")
        opened.delete(opened.key("lock"))
        asyncio.run_coroutine_threadsafe(other.commit(data.removal("a", "b")), loop).result(60)
        stored.get(RowKind.CALL_FLOW, "b")

    def find_nothing_to_change(stored: Stored) -> ChangeSet:
        look(stored)
        return ChangeSet({})

    work = store.commit(find_nothing_to_change) if unchanged else store.view(look)
    assert "this took too long, and others may have written meanwhile; try again" in await broken(work)


async def test_a_lock_that_has_gone_does_no_harm_where_nobody_came(opened: Opened, store: RedisStore) -> None:
    def slow(stored: Stored) -> None:
        opened.delete(opened.key("lock"))

    assert await store.view(slow) == 0


async def test_a_dead_writer_holds_up_the_next_one_as_long_as_its_lock_lasts(
    opened: Opened, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened.server.client().set(opened.key("lock"), "a dead one's", px=50)
    assert (await store.commit(data.flows("a"))).version == 1
    opened.server.client().set(opened.key("lock"), "a dead one's")
    monkeypatch.setattr(store_redis, "STORE_BUSY_SECONDS", 0.05)
    text = await broken(store.commit(data.flows("b")))
    assert text.endswith("somebody else has written to it for more than 0.05 s; try again")


async def test_a_slow_writer_keeps_its_lock(opened: Opened, store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_redis, "REDIS_LOCK_SECONDS", 0.3)
    inside = opened.server.client()
    renewed: list[int] = []

    def slow(stored: Stored) -> ChangeSet:
        left = inside.pttl(opened.key("lock"))
        while len(renewed) < 3:
            before, left = left, inside.pttl(opened.key("lock"))
            if left > before:
                renewed.append(left)
        return data.flows("a")(stored)

    assert await store.commit(slow) == Commit(1, 1)
    assert inside.exists(opened.key("lock")) == 0


# --- what readers have missed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", ["trimmed", "one", "all", "rows", "rows-of-all"])
async def test_a_reader_whose_changes_are_gone_compares_in_full_and_ends_equal(
    opened: Opened, store: RedisStore, lost: str
) -> None:
    follower = await following(await opened.open())
    await store.commit(data.flows("a", "b"))
    await equal(follower, store, whole=1)
    for step in range(4):
        await store.commit(data.flows(f"c{step}", context="new"))
    await store.commit(data.removal("a"))
    match lost:
        case "trimmed":
            opened.server.command("XTRIM", opened.key("changes"), "MAXLEN", 2)
        case "one":
            opened.server.command("XDEL", opened.key("changes"), "4-0")
        case "all":
            opened.delete(opened.key("changes"))
        case "rows":
            opened.delete(opened.log(4))
        case _:
            opened.delete(*opened.logs())
    await equal(follower, store, whole=2)
    await store.commit(data.flows("d"))  # and goes on by changes
    await equal(follower, store, whole=2)


async def test_a_reader_that_is_too_far_behind_compares_in_full(
    opened: Opened, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_redis, "REDIS_LOG_ROWS_MAX", 10)
    follower = await following(await opened.open())
    await store.commit(many(11))
    await equal(follower, store, whole=2)
    await store.commit(many(10, "new"))
    await equal(follower, store, whole=2)


async def test_the_oldest_commits_are_let_go_of_and_a_reader_in_step_does_not_notice(
    opened: Opened, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_redis, "REDIS_LOG_ROWS_MAX", 7)
    follower, late = await following(await opened.open()), await following(await opened.open())
    for step in range(8):
        await store.commit(data.flows("a", f"b{step}", context=f"c{step}"))
        await equal(follower, store, whole=1)
    assert opened.versions() == [6, 7, 8]
    ages = [opened.server.command("TTL", log) for log in opened.logs()]
    assert sorted(age == -1 for age in ages) == [False] * 5 + [True] * 3
    assert max(ages) <= limits.REDIS_LOG_GRACE_SECONDS
    await equal(late, store, whole=2)


async def test_no_more_commits_are_kept_than_allowed(
    opened: Opened, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_redis, "REDIS_LOG_COMMITS_MAX", 3)
    for step in range(6):
        await store.commit(data.flows(f"a{step}"))
    assert opened.versions() == [4, 5, 6]


async def test_the_newest_commit_stays_however_large_it_is(
    opened: Opened, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_redis, "REDIS_LOG_ROWS_MAX", 3)
    for step in range(3):
        await store.commit(many(5, f"c{step}"))
    assert opened.versions() == [3]
    follower = await following(await opened.open())
    await store.commit(data.flows("a"))
    await equal(follower, store, whole=1)


async def test_a_reader_may_be_thousands_of_commits_behind(
    opened: Opened, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_redis, "_ENTRIES", 3)
    monkeypatch.setattr(store_redis, "_AT_ONCE", 2)
    follower = await following(await opened.open())
    for count in (1, 2, 3, 6, 7):
        for step in range(count):
            await store.commit(data.flows(f"{count}-{step}"))
        await equal(follower, store, whole=1)


async def test_a_full_reading_may_be_overtaken_by_many_commits(
    opened: Opened, store: RedisStore, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_redis, "_ENTRIES", 3)
    await store.commit(many(9, "old"))
    reading = await (await opened.open()).read(None, "")
    rows = {key: row for _, key, row in await anext(reading.batches)}
    for step in range(8):
        await store.commit(data.flows(f"f{step:03}", f"new{step}", context="new"))
    async for batch in reading.batches:
        rows |= {key: row for _, key, row in batch}
    assert reading.version == 9
    assert rows == {key: row for (_, key), row in (await data.everything(store)).items()}


# --- other histories --------------------------------------------------------------------------------------------------


class Backup:
    """What a server has on disk at a moment."""

    def __init__(self, server: RedisServer, folder: pathlib.Path) -> None:
        self._server = server
        self._copy = folder / "backup"
        self._server.stop()
        shutil.copytree(server.folder / "data", self._copy)
        self._server.start()

    def restore(self) -> None:
        self._server.stop()
        shutil.rmtree(self._server.folder / "data")
        shutil.copytree(self._copy, self._server.folder / "data")
        self._server.start()


@contextlib.asynccontextmanager
async def one_of_its_own(options: Mapping[str, str]) -> AsyncIterator[Opened]:
    with RedisServer(options) as server:
        opened = Opened(server)
        try:
            yield opened
        finally:
            for each in opened.stores:
                await each.close()


@pytest.mark.parametrize("kept_as", ["aof", "rdb"])
@pytest.mark.parametrize("commits_since", [0, 1, 2, 3])
async def test_an_older_backup_is_noticed_whatever_version_it_has_come_to(
    tmp_path: pathlib.Path, kept_as: str, commits_since: int
) -> None:
    """Two commits are lost. With two new ones the version is the same again, and the data set another one."""
    options = {"appendonly": "no", "save": "3600 1"} if kept_as == "rdb" else {}
    async with one_of_its_own(options) as opened:
        writer = await opened.open()
        await writer.commit(data.flows("a", "b", "c"))
        follower = await following(await opened.open())
        backup = Backup(opened.server, tmp_path)
        await writer.commit(data.flows("lost", "a", context="lost"))
        await writer.commit(data.removal("b"))
        await equal(follower, writer, whole=1)
        backup.restore()
        for step in range(commits_since):
            await writer.commit(data.flows(f"new{step}", "c", context=f"new{step}"))
        await equal(follower, writer, whole=2)
        assert (RowKind.CALL_FLOW, "lost") not in follower.rows
        assert follower.version == 1 + commits_since
        await writer.commit(data.flows("later"))
        await equal(follower, writer, whole=2)


@pytest.mark.parametrize("lost_before", [True, False])
async def test_a_backup_that_is_restored_while_all_is_read_is_noticed(
    tmp_path: pathlib.Path, lost_before: bool
) -> None:
    """What is lost is among the rows that were read already: no version has such a set."""

    def named(name: str) -> Prepare:
        return lambda _: ChangeSet({RowKind.NUMBER: {"+442079460000": Number("+442079460000", name=name)}})

    async with one_of_its_own({}) as opened:
        writer, reader = await opened.open(), await opened.open()
        await writer.commit(named("old"))
        backup = Backup(opened.server, tmp_path)
        reading = await reader.read(None, "")
        await writer.commit(named("lost"))
        if lost_before:
            reading = await reader.read(None, "")
        pages = aiter(reading.batches)
        await anext(pages)  # the only page: what is left is to look where the data set stands
        backup.restore()
        with pytest.raises(StoreError, match="it is tried again"):
            async for _ in pages:
                pass
        follower = await following(reader)
        assert (follower.version, len(follower.rows)) == (1, 1)


async def test_a_backup_that_is_restored_before_the_first_page_is_noticed(tmp_path: pathlib.Path) -> None:
    async with one_of_its_own({}) as opened:
        writer, reader = await opened.open(), await opened.open()
        await writer.commit(data.flows("a"))
        backup = Backup(opened.server, tmp_path)
        await writer.commit(data.flows("b"))
        reading = await reader.read(None, "")
        backup.restore()
        await writer.commit(data.flows("c"))
        await writer.commit(data.flows("d"))
        with pytest.raises(StoreError, match="it is tried again"):
            await data.content(reading)


@pytest.mark.parametrize("reloaded", [False, True])
async def test_a_server_that_was_emptied_is_noticed(opened: Opened, store: RedisStore, reloaded: bool) -> None:
    follower = await following(await opened.open())
    await store.commit(data.flows("a", "b"))
    await equal(follower, store, whole=1)
    opened.delete(*[name.decode() for name in opened.server.command("KEYS", opened.key("*"))])
    text = "there is no data set in it; load data into it first, with ringway load FILE"
    assert text in await broken(follower.store.wait(1, follower.epoch, 60))
    assert text in await broken(follower.read())
    assert text in await broken(store.commit(data.flows("c")))
    anew = await opened.open()
    if reloaded:
        await anew.commit(data.flows("c"))  # version 1 again
    await equal(follower, anew, whole=2)
    assert follower.version == int(reloaded)


async def test_what_the_last_commit_lacks_among_the_changes_is_told_and_not_passed_over(
    opened: Opened, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its writer died before the rows were in their place, and somebody has taken the changes away."""
    await store.commit(data.flows("a"))
    await store.commit(data.flows("b"))
    opened.server.client().hset(opened.key("meta"), "applied", 1)
    opened.server.client().hdel(opened.key("rows:2"), "b")
    opened.delete(opened.log(2))
    assert "the rows of version 2 are missing; restore a backup" in await broken(store.commit(data.flows("c")))
    assert "it has changed too much while it was read" in await broken(data.everything(store))
    opened.delete(opened.key("changes"))
    assert "the rows of version 2 are missing; restore a backup" in await broken(store.commit(data.flows("c")))
    opened.server.client().hset(opened.key("meta"), "applied", 0)
    assert "version 1 is missing from its changes; restore a backup" in await broken(store.commit(data.flows("c")))
    assert "it has changed too much while it was read" in await broken(data.everything(store))
