"""Readers of Redis' store: what they have missed, and histories that went another way."""

import contextlib
import pathlib
import shutil
from collections.abc import AsyncIterator, Mapping

import pytest

from dialplan.dataset.changes import ChangeSet
from dialplan.kinds.number import Number
from dialplan.kinds.registry import RowKind
from router.config import limits
from router.store.api import Prepare, StoreError
from router.store.redis import store as store_redis
from router.store.redis.store import RedisStore
from tests.redis_server import RedisServer
from tests.unit.router.store import content as data
from tests.unit.router.store.redis_data import Opened, broken, equal, following, many


@pytest.fixture
async def store(opened: Opened) -> RedisStore:
    return await opened.open()


# --- what readers have missed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", ["trimmed", "one", "all", "rows", "rows-of-all"])
async def test_a_reader_whose_changes_are_gone_compares_in_full_and_ends_equal(
    opened: Opened, store: RedisStore, lost: str
) -> None:
    follower = await following(await opened.open())
    await store.commit(data.flows("a", "b"))
    await equal(follower, store, full=1)
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
    await equal(follower, store, full=2)
    await store.commit(data.flows("d"))  # and goes on by changes
    await equal(follower, store, full=2)


async def test_a_reader_that_is_too_far_behind_compares_in_full(
    opened: Opened, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_redis, "REDIS_LOG_ROWS_MAX", 10)
    follower = await following(await opened.open())
    await store.commit(many(11))
    await equal(follower, store, full=2)
    await store.commit(many(10, "new"))
    await equal(follower, store, full=2)


async def test_the_oldest_commits_are_let_go_of_and_a_reader_in_step_does_not_notice(
    opened: Opened, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_redis, "REDIS_LOG_ROWS_MAX", 7)
    follower, late = await following(await opened.open()), await following(await opened.open())
    for step in range(8):
        await store.commit(data.flows("a", f"b{step}", context=f"c{step}"))
        await equal(follower, store, full=1)
    assert opened.versions() == [6, 7, 8]
    ages = [opened.server.command("TTL", log) for log in opened.logs()]
    assert sorted(age == -1 for age in ages) == [False] * 5 + [True] * 3
    assert max(ages) <= limits.REDIS_LOG_GRACE_SECONDS
    await equal(late, store, full=2)


async def test_no_more_commits_are_kept_than_allowed(
    opened: Opened, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_redis, "REDIS_LOG_COMMITS_MAX", 3)
    for version in range(1, 7):
        await store.commit(data.flows(f"a{version}"))
        assert opened.versions() == list(range(max(1, version - 2), version + 1)), "as many as allowed"
    monkeypatch.setattr(store_redis, "REDIS_LOG_COMMITS_MAX", 10)
    for version in range(7, 12):
        await store.commit(data.flows(f"a{version}"))
    monkeypatch.setattr(store_redis, "REDIS_LOG_COMMITS_MAX", 3)
    await store.commit(data.flows("a12"))
    assert opened.versions() == [10, 11, 12]


async def test_only_so_many_commits_are_let_go_of_at_once(
    opened: Opened, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the server does that, it answers nobody."""
    for step in range(8):
        await store.commit(data.flows(f"a{step}"))
    monkeypatch.setattr(store_redis, "REDIS_LOG_COMMITS_MAX", 1)
    monkeypatch.setattr(store_redis, "_TRIMMED_AT_ONCE", 2)
    await store.commit(data.flows("last"))
    assert opened.versions() == list(range(3, 10))


async def test_the_newest_commit_stays_however_large_it_is(
    opened: Opened, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_redis, "REDIS_LOG_ROWS_MAX", 3)
    for step in range(3):
        await store.commit(many(5, f"c{step}"))
    assert opened.versions() == [3]
    follower = await following(await opened.open())
    await store.commit(data.flows("a"))
    await equal(follower, store, full=1)


async def test_a_reader_may_be_thousands_of_commits_behind(
    opened: Opened, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_redis, "_ENTRIES", 3)
    monkeypatch.setattr(store_redis, "_AT_ONCE", 2)
    follower = await following(await opened.open())
    for count in (1, 2, 3, 6, 7):
        for step in range(count):
            await store.commit(data.flows(f"{count}-{step}"))
        await equal(follower, store, full=1)


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
        await equal(follower, writer, full=1)
        backup.restore()
        for step in range(commits_since):
            await writer.commit(data.flows(f"new{step}", "c", context=f"new{step}"))
        await equal(follower, writer, full=2)
        assert (RowKind.CALL_FLOW, "lost") not in follower.rows
        assert follower.version == 1 + commits_since
        await writer.commit(data.flows("later"))
        await equal(follower, writer, full=2)


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
        with pytest.raises(StoreError, match="; read it again"):
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
        with pytest.raises(StoreError, match="; read it again"):
            await data.content(reading)


@pytest.mark.parametrize("reloaded", [False, True])
async def test_a_server_that_was_emptied_is_noticed(opened: Opened, store: RedisStore, reloaded: bool) -> None:
    follower = await following(await opened.open())
    await store.commit(data.flows("a", "b"))
    await equal(follower, store, full=1)
    opened.delete(*[name.decode() for name in opened.server.command("KEYS", opened.key("*"))])
    text = "there is no data set in it; load data into it first, with ringway load FILE"
    assert text in await broken(follower.store.wait(1, follower.epoch, 60))
    assert text in await broken(follower.read())
    assert text in await broken(store.commit(data.flows("c")))
    later = await opened.open()
    if reloaded:
        await later.commit(data.flows("c"))  # version 1 again
    await equal(follower, later, full=2)
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
