"""A data set without one of its keys, or without a row: what is left is never taken for the whole.

Redis deletes whole keys when its policy lets it, and so does a slip at a prompt.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from dialplan.dataset.changes import ChangeSet, NothingStored, Stored, prepare
from dialplan.kinds.registry import RowKind
from router.config import limits
from router.store.api import Commit, Unfit, UnfitError
from router.store.codec import CODES
from router.store.redis import store as store_redis
from router.store.redis.address import Options, parse
from router.store.redis.store import RedisStore
from tests.redis_server import RedisServer, running_redis
from tests.samples import Entry, campaign, company, flow, number, raw
from tests.unit.router.store import content as data
from tests.unit.router.store.redis_data import Opened, broken, dying_before_it_applies, equal, following, many

SET: list[Entry] = [
    company(),
    flow("menu"),
    campaign("offer"),
    number(call_flow="menu"),
    number("02079460001", call_flow="menu"),
]
COUNTED = ("count:1", "count:2", "count:3", "count:4", "digest:1", "digest:2", "digest:3", "digest:4", "counted")
MEND = "restore a backup, or load a whole dump with ringway load --replace FILE"
GONE = {
    RowKind.COMPANY: f"of its 1 companies it has 0; {MEND}",
    RowKind.CALL_FLOW: f"of its 1 call_flows it has 0; {MEND}",
    RowKind.CAMPAIGN: f"of its 1 campaigns it has 0; {MEND}",
    RowKind.NUMBER: f"of its 2 numbers it has 0; {MEND}",
}


@pytest.fixture
async def store(opened: Opened) -> RedisStore:
    made = await opened.open()
    await data.commit(made, *SET)
    return made


def rows_of(opened: Opened, kind: RowKind) -> str:
    return opened.key(f"rows:{CODES[kind]}")


def look_at_all(stored: Stored) -> None:
    for kind in RowKind:
        for _ in stored.rows(kind):
            pass


def forget_counts(opened: Opened) -> None:
    """As a version leaves it that does not know of them."""
    opened.server.client().hdel(opened.key("meta"), *COUNTED)


async def sums(store: RedisStore) -> tuple[int, ...] | None:
    """How many rows of each kind it says it has, of those that are known."""
    state = await store._state()
    return None if state.sums is None else tuple(each.rows for each in state.sums[: len(CODES)])


# --- a key is gone ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", RowKind)
async def test_without_the_rows_of_a_kind_nobody_reads_looks_or_writes(
    opened: Opened, store: RedisStore, kind: RowKind
) -> None:
    opened.delete(rows_of(opened, kind))
    for fresh in (await opened.open(), await opened.open(make=False), store):
        for work in (
            fresh.read(None, ""),
            fresh.view(lambda _: None),
            fresh.commit(data.flows("more")),
            fresh.wait(1, "", 0),
        ):
            assert (await broken(work)).endswith(GONE[kind])
    assert opened.server.command("HGET", opened.key("meta"), "version") == b"1"


@pytest.mark.parametrize("kind", RowKind)
async def test_a_reader_in_step_hears_of_it_though_it_needs_no_rows(
    opened: Opened, store: RedisStore, kind: RowKind
) -> None:
    follower = await following(store)
    assert follower.version is not None
    opened.delete(rows_of(opened, kind))
    with pytest.raises(UnfitError) as caught:
        await store.wait(follower.version, follower.epoch, 60)
    assert caught.value.cause is Unfit.INCOMPLETE


async def test_without_meta_the_rest_is_no_data_set(opened: Opened, store: RedisStore) -> None:
    opened.delete(opened.key("meta"))
    text = "it holds a part of a data set only; restore a backup, or empty it and load the data again"
    for work in (
        opened.open(),
        opened.open(make=False),
        store.read(None, ""),
        store.read(1, ""),
        store.wait(1, "", 0),
        store.view(lambda _: None),
        store.commit(data.flows("more")),
        store.commit(data.flows("more"), whole=True),
    ):
        assert (await broken(work)).endswith(text)


async def test_without_meta_the_data_set_is_begun_anew_as_the_page_on_redis_says(
    opened: Opened, store: RedisStore
) -> None:
    follower = await following(await opened.open())
    opened.delete(opened.key("meta"))
    opened.delete(opened.key("changes"), *(rows_of(opened, kind) for kind in RowKind))
    anew = await opened.open()
    await data.commit(anew, *SET[:4], replace=True, whole=True)
    await equal(follower, anew, full=2)
    assert len(follower.rows) == 4


async def test_changes_without_meta_and_rows_are_a_rest_too(opened: Opened, store: RedisStore) -> None:
    """A new data set would begin at version 1, which its stream has had."""
    opened.delete(opened.key("meta"), *(rows_of(opened, kind) for kind in RowKind))
    assert "it holds a part of a data set only" in await broken(opened.open())


async def test_without_its_changes_a_data_set_is_whole_and_goes_on(opened: Opened, store: RedisStore) -> None:
    before = await data.everything(store)
    opened.delete(opened.key("changes"), *opened.logs())
    fresh = await opened.open()
    assert await data.everything(fresh) == before
    assert await fresh.view(look_at_all) == 1
    assert await fresh.commit(data.flows("more")) == Commit(2, 1)
    assert set(await data.everything(store)) == {*before, (RowKind.CALL_FLOW, "more")}


@pytest.mark.parametrize("kind", RowKind)
async def test_a_key_that_goes_while_a_change_is_prepared_is_noticed(
    opened: Opened, store: RedisStore, kind: RowKind
) -> None:
    def prepared(stored: Stored) -> ChangeSet:
        opened.delete(rows_of(opened, kind))
        return data.flows("more")(stored)

    assert GONE[kind] in await broken(store.commit(prepared))
    assert opened.versions() == [1]


@pytest.mark.parametrize("kind", RowKind)
async def test_a_key_that_goes_while_nobody_else_may_write_is_noticed_in_the_same_step(
    opened: Opened, store: RedisStore, kind: RowKind
) -> None:
    other, loop = await opened.open(), asyncio.get_running_loop()
    runs: list[Stored] = []

    def prepared(stored: Stored) -> ChangeSet:
        runs.append(stored)
        if len(runs) == 1:  # somebody else writes: it is prepared again
            asyncio.run_coroutine_threadsafe(other.commit(data.flows("theirs")), loop).result(60)
        else:
            opened.delete(rows_of(opened, kind))
        return data.flows("more")(stored)

    assert "a part of its rows has gone; nothing was changed" in await broken(store.commit(prepared))
    assert opened.versions() == [1, 2]


async def test_a_key_that_comes_back_is_all_that_it_takes(opened: Opened, store: RedisStore) -> None:
    before = await data.everything(store)
    rows = rows_of(opened, RowKind.NUMBER)
    saved = opened.server.command("DUMP", rows)
    opened.delete(rows)
    await broken(store.read(None, ""))
    opened.server.command("RESTORE", rows, 0, saved)
    assert await data.everything(store) == before


async def test_a_kind_without_rows_needs_no_key(opened: Opened) -> None:
    store = await opened.open()
    await data.commit(store, company())
    assert await store.view(look_at_all) == 1
    assert len(await data.everything(store)) == 1
    await store.commit(lambda stored: prepare([], stored, removals=[(RowKind.COMPANY, "acme")]))
    assert await data.everything(await opened.open()) == {}


# --- a row is gone, or another one ------------------------------------------------------------------------------------


def spoil(opened: Opened, how: str) -> None:
    rows, inside = rows_of(opened, RowKind.NUMBER), opened.server.client()
    match how:
        case "gone":
            inside.hdel(rows, "+442079460001")
        case "more":
            inside.hset(rows, "+442079460002", b'{"number":"+442079460002","company":"acme"}')
        case _:
            inside.hset(rows, "+442079460001", b'{"number":"+442079460001","company":"acme"}')


SPOILT = {
    "gone": f"of its 2 numbers it has 1; {MEND}",
    "more": f"of its 2 numbers it has 3; {MEND}",
    "another": f"its numbers are not those that were written; {MEND}",
}


@pytest.mark.parametrize("how", SPOILT)
async def test_what_does_not_add_up_is_refused_by_whoever_reads_all_of_it(
    opened: Opened, store: RedisStore, how: str
) -> None:
    spoil(opened, how)
    fresh = await opened.open()
    for work in (data.everything(fresh), fresh.view(look_at_all), fresh.commit(data.of(*SET[:2], replace=True))):
        assert (await broken(work)).endswith(SPOILT[how])


async def test_a_reader_that_was_refused_is_told_again_until_it_adds_up(
    opened: Opened, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the changes alone it would be in step: they have nothing new."""
    follower = await following(store)
    assert follower.version is not None
    spoil(opened, "gone")
    assert not await store.wait(follower.version, follower.epoch, 0)
    await broken(data.everything(store))
    for _ in range(2):
        assert "of its 2 numbers it has 1" in await broken(store.wait(follower.version, follower.epoch, 0))
    monkeypatch.setattr(store_redis, "REDIS_REFUSED_SECONDS", 0.0)
    await broken(data.everything(store))
    assert await store.wait(follower.version, follower.epoch, 0)  # it is time to look again
    await broken(follower.read())
    await data.commit(await opened.open(), *SET, whole=True)
    assert await store.wait(follower.version, follower.epoch, 0)
    await follower.read()
    assert follower.full == 2
    assert not await store.wait(follower.version, follower.epoch, 0)


async def test_the_time_after_which_it_is_looked_at_again_is_longer_than_looking_takes() -> None:
    assert limits.REDIS_REFUSED_SECONDS >= 60


# --- a whole set over it ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["key", *SPOILT])
async def test_a_whole_set_over_an_incomplete_one_mends_it_for_everybody(
    opened: Opened, store: RedisStore, how: str
) -> None:
    """Who follows has rows that are neither in what was left nor in the new set: it has to read everything."""
    follower = await following(await opened.open())
    if how == "key":
        opened.delete(rows_of(opened, RowKind.NUMBER))
    else:
        spoil(opened, how)
    mended = SET[:4]
    await data.commit(await opened.open(), *mended, replace=True, whole=True)
    await equal(follower, store, full=2)
    expected = prepare(raw(*mended), NothingStored()).rows
    assert follower.rows == {(kind, key): row for kind, rows in expected.items() for key, row in rows.items()}
    assert await sums(store) == (1, 1, 1, 1)
    await store.commit(data.flows("later"))
    await equal(follower, store, full=2)


async def test_what_is_left_is_made_the_whole_only_by_who_says_so(opened: Opened, store: RedisStore) -> None:
    spoil(opened, "gone")
    await data.commit(store, *SET[:4], replace=True, whole=True)
    assert len(await data.everything(await opened.open())) == 4


async def test_a_whole_set_over_a_whole_one_is_a_change_like_any_other(opened: Opened, store: RedisStore) -> None:
    follower = await following(await opened.open())
    assert await data.commit(store, *SET, replace=True, whole=True) == Commit(1, 0)
    await data.commit(store, *SET[:4], replace=True, whole=True)
    await equal(follower, store, full=1)


# --- what is counted --------------------------------------------------------------------------------------------------


async def test_every_commit_keeps_the_counts_and_the_digest(opened: Opened, store: RedisStore) -> None:
    before = await store._counted()
    await store.commit(data.flows("a", "b"))
    await store.commit(data.flows("b", "c", context="another"))
    await store.commit(data.removal("a", "not there"))
    state = await store._state()
    assert state.sums == await store._counted()
    assert await sums(store) == (1, 3, 1, 2)
    await store.commit(data.removal("b", "c"))
    assert (await store._state()).sums == before


async def test_many_rows_that_go_at_once_leave_a_digest_to_the_last_bit(opened: Opened, store: RedisStore) -> None:
    """A number in Lua would lose some beyond 53 bits, and a row has 48."""
    before = await store._counted()
    await store.commit(many(300))
    await store.commit(data.removal(*(f"f{place:03}" for place in range(300))))
    assert (await store._state()).sums == before


async def test_large_commits_keep_them_chunk_by_chunk(opened: Opened, small: None) -> None:
    store = await opened.open()
    await store.commit(many(7))
    await store.commit(many(5, "new"))
    state = await store._state()
    assert state.sums == await store._counted()
    assert state.sums is not None
    assert state.sums[1].rows == 7


async def test_a_reader_puts_in_what_a_dead_writer_has_left_before_it_compares(
    opened: Opened, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await opened.open()
    with dying_before_it_applies(monkeypatch):
        await store.commit(many(7))
    assert len(await data.everything(await opened.open())) == 7
    state = await store._state()
    assert (state.applied, state.sums) == (1, await store._counted())


async def test_commits_during_a_full_reading_are_counted_in_it(opened: Opened, small: None) -> None:
    store = await opened.open()
    await store.commit(many(9, "old"))
    reading = await (await opened.open()).read(None, "")
    await anext(reading.batches)
    await store.commit(many(5, "new"))
    await store.commit(data.removal("f000", "f008"))
    async for _ in reading.batches:
        pass
    assert reading.version == 3


async def test_lua_and_python_make_the_same_digest_of_any_text(opened: Opened) -> None:
    store = await opened.open()
    names = ["plain", "é", "\U0001f600", 'quo"te', "back\\slash", "\x01"]
    await store.commit(data.flows(*names, context="\0é"))
    state = await store._state()
    assert state.sums == await store._counted()
    assert len(await data.everything(store)) == len(names)


# --- written by a version that does not count -------------------------------------------------------------------------


async def test_a_data_set_without_counts_is_read_and_gains_them_by_its_next_commit(
    opened: Opened, store: RedisStore
) -> None:
    forget_counts(opened)
    fresh = await opened.open()
    assert len(await data.everything(fresh)) == len(SET)
    assert await fresh.view(look_at_all) == 1
    assert await sums(fresh) is None
    assert await fresh.commit(lambda _: ChangeSet({})) == Commit(1, 0)
    await fresh.commit(data.flows("more"))
    state = await fresh._state()
    assert state.sums == await fresh._counted()
    assert await sums(fresh) == (1, 2, 1, 2)


async def test_a_data_set_without_counts_gains_them_by_a_large_commit_too(
    opened: Opened, store: RedisStore, small: None
) -> None:
    forget_counts(opened)
    await store.commit(many(7))
    state = await store._state()
    assert state.sums == await store._counted()
    assert state.sums is not None
    assert state.sums[1].rows == 8


async def test_counts_that_an_older_version_has_left_behind_are_not_believed(opened: Opened, store: RedisStore) -> None:
    """It moves on what it knows of, and puts its rows in."""
    inside = opened.server.client()
    follower = await following(await opened.open())
    inside.xadd(opened.key("changes"), {"id": "older", "before": follower.epoch, "rows": 1}, "2-0")
    inside.hset(opened.key("meta"), mapping={"version": 2, "head": "older", "applied": 2})
    inside.hdel(rows_of(opened, RowKind.NUMBER), "+442079460001")
    assert await sums(store) is None
    assert len(await data.everything(store)) == len(SET) - 1
    await store.commit(data.flows("more"))
    assert await sums(store) == (1, 2, 1, 1)


async def test_a_large_commit_of_an_older_version_is_put_in_and_not_believed_to_be_counted(
    opened: Opened, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await opened.open()
    with dying_before_it_applies(monkeypatch):
        await store.commit(many(5))
    forget_counts(opened)
    assert await store.view(lambda _: None) == 1
    assert await sums(store) is None
    assert len(await data.everything(await opened.open())) == 5


# --- a server that may throw keys away --------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def served(server: RedisServer) -> AsyncIterator[RedisStore]:
    store = RedisStore(parse(server.url), Options())
    try:
        yield store
    finally:
        await store.close()


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_a_policy_that_evicts_is_noticed_when_it_is_set_later(policy: str) -> None:
    with running_redis(maxmemory="100mb") as server:
        async with served(server) as store:
            await store.open()
            follower = await following(store)
            assert follower.version is not None
            server.command("CONFIG SET", "maxmemory-policy", policy)
            with pytest.raises(UnfitError, match=rf"\({policy}\); set its maxmemory-policy to noeviction") as caught:
                await store.wait(follower.version, follower.epoch, 60)
            assert caught.value.cause is Unfit.EVICTS
            server.command("CONFIG SET", "maxmemory-policy", "noeviction")
            assert not await store.wait(follower.version, follower.epoch, 0)


async def test_a_policy_that_evicts_is_noticed_at_a_reconnect() -> None:
    with running_redis(maxmemory="100mb") as server:
        async with served(server) as store:
            await store.open()
            follower = await following(store)
            assert follower.version is not None
            server.stop()
            await broken(store.wait(follower.version, follower.epoch, 0))
            server.options["maxmemory-policy"] = "allkeys-lru"
            server.config_file.write_text(server.config_file.read_text() + "maxmemory-policy allkeys-lru\n")
            server.start()
            assert "it throws away keys" in await broken(store.wait(follower.version, follower.epoch, 60))
