"""What is Redis' own of its store: chunks, the lock, and who may write."""

import asyncio

import pytest

from dialplan.dataset.changes import ChangeSet, Stored
from dialplan.kinds.call_flow import CallFlow
from dialplan.kinds.fields import Destination
from dialplan.kinds.registry import RowKind
from router.config import limits
from router.store.api import Commit, StoreError
from router.store.redis import store as store_redis
from router.store.redis import stored_rows as redis_stored
from router.store.redis.address import Options, parse
from router.store.redis.scripts import DataSetState
from router.store.redis.store import RedisStore
from tests.redis_server import RedisServer, running_redis
from tests.samples import campaign, company, flow, number
from tests.unit.router.store import content as data
from tests.unit.router.store.redis_data import Opened, broken, equal, following, many


@pytest.fixture
async def store(opened: Opened) -> RedisStore:
    return await opened.open()


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


async def test_a_commit_of_many_chunks_is_read_in_full_and_as_a_change(
    opened: Opened, store: RedisStore, small: None
) -> None:
    follower = await following(await opened.open())
    await store.commit(many(7))
    (log,) = opened.logs()
    assert opened.server.command("LLEN", log) == 4
    await equal(follower, store, full=1)
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

    async def once(self: RedisStore, state: DataSetState | None = None) -> object:
        calls.append(self)
        if len(calls) > 2:
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
    monkeypatch.setattr(redis_stored, "REDIS_GETS_MAX", 3)
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

    text = await broken(store.commit(slow, whole=True))
    assert text.endswith("this change took too long, and others may write again; nothing was changed, try again")
    assert set(await data.everything(store)) == {(RowKind.CALL_FLOW, "theirs")}
    assert (await store.commit(data.flows("mine"))).version == 2


async def test_a_writer_that_lost_its_turn_to_one_who_is_not_done_changes_nothing(
    opened: Opened, store: RedisStore
) -> None:
    def slow(stored: Stored) -> ChangeSet:
        opened.server.command("SET", opened.key("lock"), "another writer")
        return data.flows("mine")(stored)

    assert "others may write again; nothing was changed" in await broken(store.commit(slow, whole=True))
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

    work = store.commit(find_nothing_to_change, whole=True) if unchanged else store.view(look)
    assert "this took too long, and others may have written meanwhile; try again" in await broken(work)


async def test_a_lock_that_has_gone_does_no_harm_where_nobody_came(opened: Opened, store: RedisStore) -> None:
    def slow(stored: Stored) -> None:
        opened.delete(opened.key("lock"))

    assert await store.view(slow) == 0


async def test_rows_that_change_under_a_check_do_not_look_like_a_part_of_a_set(
    opened: Opened, store: RedisStore
) -> None:
    """Their sums are not those that the data set had when the check began: it begins again, and nothing is refused."""
    await store.commit(data.flows("a", "b"))
    other, loop = await opened.open(), asyncio.get_running_loop()
    found: list[int] = []

    def check(stored: Stored) -> ChangeSet:
        if not found:
            asyncio.run_coroutine_threadsafe(other.commit(data.flows("c")), loop).result(60)
        found.append(0)
        found[-1] = len(list(stored.rows(RowKind.CALL_FLOW)))
        return data.flows("d")(stored)

    assert await store.commit(check) == Commit(3, 1)
    assert found == [0, 3]


async def test_a_part_of_a_set_is_refused_before_anybody_has_to_wait(opened: Opened, store: RedisStore) -> None:
    await store.commit(data.flows("a", "b"))
    opened.server.client().hdel(opened.key("rows:2"), "b")
    opened.server.client().set(opened.key("lock"), "another writer")
    seen: list[int] = []

    def check(stored: Stored) -> ChangeSet:
        seen.append(len(list(stored.rows(RowKind.CALL_FLOW))))
        return ChangeSet({})

    assert "of its 2 call_flows it has 1" in await broken(store.commit(check))
    assert seen == []


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
            if left > before > 0:  # one that had gone would come back longer too
                renewed.append(left)
        return data.flows("a")(stored)

    assert await store.commit(slow, whole=True) == Commit(1, 1)
    assert inside.exists(opened.key("lock")) == 0
