"""What a store in Redis must not do, where no other test would notice: each was done on purpose once."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, cast

import pytest
import structlog

from dialplan.campaigns.attempts import Attempt, Outcome
from dialplan.kinds.registry import RowKind
from router.observe.metrics import Metrics
from router.store.api import ChangedRow, Store, StoreError, TableRead
from router.store.redis import callbacks as redis_callbacks
from router.store.redis import store as store_redis
from router.store.redis.address import Options, parse
from router.store.redis.callbacks import RedisCallbackStore
from router.store.redis.connection import Link, Reply
from router.store.redis.lua_script import Script
from router.store.redis.scripts import APPLY, GET, SCAN
from router.store.redis.store import RedisStore
from router.store.table_sync import TableSync
from tests.fault_proxy import FaultProxy
from tests.processes import PATIENCE_SECONDS, wait_until
from tests.redis_server import RedisServer, running_redis
from tests.unit.router.store.redis_data import Opened, broken, dying_before_it_applies, following, many

OUR, ANNA = "+442079460000", "+447700900123"


@pytest.fixture
async def calls(redis_server: RedisServer) -> AsyncIterator[RedisCallbackStore]:
    store = RedisCallbackStore(parse(redis_server.url), Options(prefix=uuid.uuid4().hex))
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def taken_over(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An address at which another server, a replica until then, takes over before the second page of a scan."""
    original, asked = Link.script, 0
    with running_redis(replicaof=f"127.0.0.1 {redis_server.port}") as other, FaultProxy(redis_server.port) as proxy:

        async def script(link: Link, which: Script, *arguments: Any, **how: Any) -> Reply:
            nonlocal asked
            asked += which is SCAN
            if asked == 2 and proxy.target_port != other.port:
                assert redis_server.client().wait(1, 60_000) == 1  # it has the lock as well
                other.command("REPLICAOF", "NO", "ONE")
                proxy.target_port = other.port
                proxy.cut()
            return await original(link, which, *arguments, **how)

        wait_until(lambda: other.client().info("replication")["master_link_status"] == "up", "the replica is there")
        monkeypatch.setattr(Link, "script", script)
        yield f"redis://127.0.0.1:{proxy.port}/0"
        assert proxy.target_port == other.port


async def test_a_check_that_sees_rows_of_two_servers_is_refused(
    opened: Opened, taken_over: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cursor fits the server that gave it. The new master has the same commit, so the version does not tell."""
    await (await opened.open()).commit(many(1_200))
    monkeypatch.setattr(store_redis, "STORE_BATCH_ROWS", 100)
    store = RedisStore(parse(taken_over), Options(prefix=opened.prefix))
    told = await broken(store.view(lambda stored: list(stored.rows(RowKind.CALL_FLOW)).clear()))
    assert "another server took over while it was read" in told
    await store.close()


async def test_attempts_that_are_read_of_two_servers_are_refused(
    calls: RedisCallbackStore, taken_over: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else those that the second cursor passes over would be unknown, and their callbacks never asked for."""
    await calls.record([Attempt(str(at), "win-back", OUR, ANNA, 1_000.0 + at, Outcome.MISSED) for at in range(700)])
    monkeypatch.setattr(redis_callbacks, "PURGE_ROWS_AT_ONCE", 100)
    store = RedisCallbackStore(parse(taken_over), Options(prefix=calls._prefix.strip("{}")))
    assert "another server took over while it was read" in await broken(store.changes("", 0))
    await store.close()


@pytest.mark.usefixtures("small")
async def test_what_is_not_in_the_rows_yet_is_never_trimmed(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writers that die one after the other leave their rows for the next: however many there are, they stay."""
    store = await opened.open()
    monkeypatch.setattr(store_redis, "REDIS_LOG_ROWS_MAX", 1)
    with dying_before_it_applies(monkeypatch):
        for context in ("old", "new"):
            await store.commit(many(5, context))
        await store._trim()
    assert opened.versions() == [1, 2]
    expected = (await following(store)).rows
    assert len(expected) == 5
    await store.commit(many(1, "newest"))
    assert len((await following(store)).rows) == 5
    assert opened.server.command("HLEN", opened.key("rows:2")) == 5


@pytest.mark.usefixtures("small")
async def test_rows_that_somebody_else_puts_in_too_are_all_in_before_anybody_looks(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that finds its chunk in already is not through with the commit."""
    store = await opened.open()
    with dying_before_it_applies(monkeypatch):
        await store.commit(many(5))
    stale = await store._state()
    keys = (store._meta, opened.log(1), *store._rows)
    assert await store._link.script(APPLY, keys, 1, 0) == [b"more"]
    state = await store._apply(stale)
    assert (state.applied, opened.server.command("HLEN", opened.key("rows:2"))) == (1, 5)


@pytest.mark.usefixtures("small")
async def test_what_was_sent_ahead_is_kept_once_it_is_committed(opened: Opened) -> None:
    await (await opened.open()).commit(many(5))
    assert opened.server.command("TTL", opened.log(1)) == -1


async def test_a_connection_that_gave_another_callers_reply_is_not_used_again(redis_server: RedisServer) -> None:
    """Another reply that nobody asked for may still come on it, at any time."""
    link = Link(parse(redis_server.url), Options(), 1)
    assert await link.script(GET, ("no such key",), "field") == [None]
    client: Any = link._client
    connection = await client.connection_pool.get_connection()
    for name in ("first", "second"):
        await connection.send_command("BLPOP", f"somebody's {name}", 0)
    await client.connection_pool.release(connection)
    asked = asyncio.create_task(link.script(GET, ("no such key",), "field"))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while redis_server.client().info("clients")["blocked_clients"] == 0:  # noqa: ASYNC110 - it is elsewhere
            await asyncio.sleep(0.002)
    redis_server.client().lpush("somebody's first", "answer")
    with pytest.raises(StoreError, match="it gave the answer to another question"):
        await asked
    assert await link.script(GET, ("no such key",), "field") == [None]
    await link.close()


@pytest.mark.parametrize("left", [0, 1])
async def test_changes_that_are_gone_are_missed(
    calls: RedisCallbackStore, redis_server: RedisServer, left: int
) -> None:
    """By a reader that has heard of none yet, too: there is no id that it could miss."""
    cursor = (await calls.changes("", 0)).cursor
    told = [Attempt(name, "win-back", OUR, ANNA, 1_000.0, Outcome.MISSED) for name in "123"]
    await calls.record(told)
    redis_server.command("XTRIM", calls._news, "MAXLEN", left)
    changes = await calls.changes(cursor, 0)
    assert (changes.full, {each.id for each in changes.attempts}) == (True, set("123"))


class Read:
    """A store that gives one reading, whose rows are `batches`."""

    name = "redis"

    def __init__(self, reading: TableRead) -> None:
        self.reading = reading

    async def read(self, _: int | None, __: str) -> TableRead:
        return self.reading


async def no_rows(after: Callable[[], None]) -> AsyncIterator[list[ChangedRow]]:
    yield []
    after()


def following_table(reading: TableRead) -> tuple[TableSync, Metrics]:
    metrics = Metrics()
    log = structlog.wrap_logger(structlog.ReturnLogger())
    return TableSync(cast("Store", Read(reading)), log, metrics), metrics


async def test_a_table_from_a_snapshot_says_that_its_store_is_away() -> None:
    """From the first moment: the next look at the store may take a while to fail."""
    rows = no_rows(lambda: None)
    sync, metrics = following_table(TableRead(1, "one", full=True, batches=rows, seen_at=time.time() - 7_200))
    await sync.load()
    assert metrics.registry.get_sample_value("ringway_store_up", {"store": "redis"}) == 0
    age = metrics.registry.get_sample_value("ringway_table_age_seconds")
    assert age is not None
    assert age > 7_100


async def test_a_table_has_the_version_that_its_reading_ended_with() -> None:
    """A commit that comes while everything is read is a part of it."""

    def end() -> None:
        reading.version, reading.epoch = 2, "two"

    reading = TableRead(1, "one", full=True, batches=no_rows(end))
    sync, _ = following_table(reading)
    await sync.load()
    assert sync.table.version == 2
