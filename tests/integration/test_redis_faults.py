"""The data set in a real Redis while everything breaks: the network, the server, its disk, its memory, its masters."""

import asyncio
import contextlib
import gc
import pathlib
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any, Self

import pytest
import structlog

from dialplan.attempts import Attempt, Outcome
from dialplan.callbacks import Claim, Verdict
from dialplan.model import CallFlow, Destination, Row, RowKind
from dialplan.validate import ChangeSet, Stored
from router.observe.metrics import Metrics
from router.store import redis as store_redis
from router.store import redis_callback_scripts as callback_scripts
from router.store import redis_connection, redis_scripts, sync
from router.store.base import Commit, Prepare, StoreError
from router.store.redis import RedisStore
from router.store.redis_callbacks import RedisCallbackStore
from router.store.redis_connection import Link, Options, Reply, Script, parse
from router.store.sync import TableSync
from tests.fault_proxy import FaultProxy
from tests.processes import PATIENCE_SECONDS, wait_until
from tests.redis_server import Cluster, RedisServer, Sentinels, running_cluster, running_redis

OUR, ANNA = "+442079460000", "+447700900123"
SINCE = {"win-back": 0.0}

# What the README gives to a user of its own.
RIGHTS = (
    "~{ringway}:* +eval +evalsha +xread +info +exists +get +set +del +expire +persist +pexpire +incr "
    "+hget +hset +hmget +hdel +hexists +hgetall +hincrby +hscan +llen +lindex +lrange +rpush +sadd +srem +smembers "
    "+xadd +xdel +xlen +xrange +zadd +zcard +zrem +zrangebyscore +zrevrange +zrevrangebyscore +client|setname"
)


def flows(context: str, *names: str) -> Prepare:
    rows: dict[str, Row | None] = {name: CallFlow(name, name, Destination(context)) for name in names}
    return lambda _: ChangeSet({RowKind.CALL_FLOW: rows})


def removal(*names: str) -> Prepare:
    return lambda _: ChangeSet({RowKind.CALL_FLOW: dict.fromkeys(names)})


async def content(store: RedisStore) -> tuple[int, dict[str, str]]:
    """The version, and each flow's context."""
    found: dict[str, str] = {}
    reading = await store.read(None, "")
    async for batch in reading.batches:
        for _, key, row in batch:
            found.pop(key, None)
            if isinstance(row, CallFlow):
                found[key] = row.destination.context
    return reading.version, found


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - what is waited for is elsewhere, and tells by being asked
            await asyncio.sleep(0.002)


async def at_last(work: Callable[[], Awaitable[Commit]]) -> Commit:
    """Try until it is done, as somebody at a keyboard does."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(StoreError):
            return await work()
        await asyncio.sleep(0.01)
    return await work()


class Router:
    """The table of a router that follows, and what it counts."""

    def __init__(self, store: RedisStore) -> None:
        self.metrics = Metrics()
        self.log = structlog.testing.LogCapture()
        self.sync = TableSync(store, structlog.wrap_logger(None, processors=[self.log]), self.metrics)

    def value(self, name: str, **labels: str) -> float:
        value = self.metrics.registry.get_sample_value(f"ringway_{name}", labels)
        assert value is not None
        return value

    @property
    def up(self) -> bool:
        return self.value("store_up", store="redis") == 1

    @property
    def whole(self) -> float:
        return self.value("table_read_whole_total")

    def flows(self) -> dict[str, str]:
        return {name: row.destination.context for name, row in self.sync.table.flows.items()}

    async def equals(self, store: RedisStore) -> None:
        """Wait until this table has come to what a new reader finds."""
        version, expected = await content(store)
        await until(lambda: self.sync.table.version == version and self.up)
        assert self.flows() == expected
        fresh = Router(store)
        await fresh.sync.load()
        assert fresh.sync.table.digest == self.sync.table.digest


class Stores:
    """Stores and routers that end with the test."""

    def __init__(self) -> None:
        self._ends = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._ends.aclose()

    def of(self, url: str, **options: Any) -> RedisStore:
        made = RedisStore(parse(url), Options(**options))
        self._ends.push_async_callback(made.close)
        return made

    def calls_of(self, url: str, **options: Any) -> RedisCallbackStore:
        made = RedisCallbackStore(parse(url), Options(**options))
        self._ends.push_async_callback(made.close)
        return made

    async def router(self, store: RedisStore) -> Router:
        made = Router(store)
        await made.sync.load()
        task = asyncio.create_task(made.sync.run())
        self._ends.push_async_callback(asyncio.wait, [task])
        self._ends.callback(task.cancel)
        return made


def through(proxy: FaultProxy) -> str:
    return f"redis://127.0.0.1:{proxy.port}/0"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines that a test can wait for."""
    monkeypatch.setattr(redis_connection, "REDIS_COMMAND_SECONDS", 1.0)
    monkeypatch.setattr(sync, "STORE_RETRY_MIN_SECONDS", 0.01)
    monkeypatch.setattr(sync, "STORE_RETRY_MAX_SECONDS", 0.05)
    monkeypatch.setattr(store_redis, "REDIS_LOCK_SECONDS", 1.0)


@pytest.fixture
async def stores() -> AsyncIterator[Stores]:
    async with Stores() as made:
        yield made


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with running_redis() as running:
        yield running


@pytest.fixture(scope="module")
def shared() -> Iterator[RedisServer]:
    """For tests that leave it as it was."""
    with running_redis() as running:
        yield running


@pytest.fixture
def emptied(shared: RedisServer) -> RedisServer:
    shared.client().flushall()
    return shared


@pytest.fixture
def proxy(emptied: RedisServer) -> Iterator[FaultProxy]:
    with FaultProxy(emptied.port) as running:
        yield running


# --- the network ------------------------------------------------------------------------------------------------------


class Armed:
    """Cuts the connection in the reply to the next question of one script."""

    def __init__(self, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> None:
        self.proxy = proxy
        self.script: Script | None = None
        self.after_bytes = 0
        original = Link.script

        async def ask(link: Link, script: Script, *arguments: Any, **how: Any) -> Reply:
            if script is self.script:
                self.script = None
                self.proxy.reset_in_reply(self.after_bytes)
            return await original(link, script, *arguments, **how)

        monkeypatch.setattr(Link, "script", ask)


@pytest.mark.parametrize("after_bytes", [0, 2, 11])
@pytest.mark.parametrize(
    "name", ["LOCK", "GET", "SCAN", "STAGE", "COMMIT", "STATE", "CHANGES", "APPLY", "TRIM", "UNLOCK"]
)
async def test_a_commit_whose_reply_is_lost_is_done_once(
    stores: Stores,
    emptied: RedisServer,
    proxy: FaultProxy,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    after_bytes: int,
) -> None:
    monkeypatch.setattr(store_redis, "STORE_BATCH_ROWS", 2)
    writer, other = stores.of(through(proxy)), stores.of(emptied.url)
    await writer.open()
    await writer.commit(flows("old", "a", "b", "c"))
    router = await stores.router(other)
    armed = Armed(proxy, monkeypatch)
    armed.script, armed.after_bytes = getattr(redis_scripts, name), after_bytes

    def prepare(stored: Stored) -> ChangeSet:
        stored.get(RowKind.CALL_FLOW, "a")
        assert [row.id for row in stored.rows(RowKind.CALL_FLOW)] == ["a", "b", "c"]  # type: ignore[union-attr] # flows
        return flows("new", "b", "c", "d", "e", "f")(stored)

    assert await writer.commit(prepare) == Commit(2, 5)
    assert armed.script is None
    new = dict.fromkeys("bcdef", "new") | {"a": "old"}
    assert await content(other) == (2, new)
    await router.equals(other)
    assert router.whole == 1
    assert await other.commit(removal("a")) == Commit(3, 1)  # nothing is held up
    assert emptied.client().hgetall("{ringway}:rows:2").keys() == {b"b", b"c", b"d", b"e", b"f"}


async def test_connections_that_are_cut_again_and_again_lose_and_double_nothing(
    stores: Stores, emptied: RedisServer, proxy: FaultProxy
) -> None:
    """Cut by the network, and by CLIENT KILL. What was not acknowledged may be done, once, or not at all."""
    writer = stores.of(through(proxy))
    await writer.open()
    router = await stores.router(stores.of(through(proxy)))
    acknowledged: list[int] = []
    tried: list[str] = []
    done = False

    async def write() -> None:
        while not done:
            tried.append(f"v{len(tried)}")
            with contextlib.suppress(StoreError):
                acknowledged.append((await writer.commit(flows(tried[-1], "a", "b", tried[-1]))).version)

    writing = asyncio.create_task(write())
    for step in range(12):
        before = len(tried)
        await until(lambda wanted=before: len(tried) > wanted)  # type: ignore[misc] # bound now
        if step % 2:
            await asyncio.to_thread(proxy.cut)
        else:
            emptied.client().client_kill_filter(_type="normal", skipme=True)
    done = True
    await writing
    version, found = await content(stores.of(emptied.url))
    assert acknowledged == sorted(set(acknowledged))
    kept = set(found) - {"a", "b"}
    assert version == len(kept)
    assert len(acknowledged) <= version <= len(tried)
    assert found["a"] == found["b"] == max(kept, key=lambda name: int(name[1:]))
    await router.equals(stores.of(emptied.url))


@pytest.mark.long
async def test_a_link_that_swallows_everything_is_noticed_and_survived(stores: Stores, proxy: FaultProxy) -> None:
    writer = stores.of(through(proxy))
    await writer.open()
    await writer.commit(flows("old", "a"))
    router = await stores.router(stores.of(through(proxy)))
    proxy.swallow()
    with pytest.raises(StoreError, match=r"no answer within 1 s; is it running, and there\?"):
        await writer.commit(flows("new", "a"))
    await until(lambda: not router.up)
    assert router.flows() == {"a": "old"}
    assert router.value("table_age_seconds") > 0
    proxy.pass_on()
    commit = await at_last(lambda: writer.commit(flows("newer", "a")))
    assert commit.version in (2, 3)
    await router.equals(writer)
    assert router.flows() == {"a": "newer"}
    assert router.whole == 1


async def test_a_slow_link_is_slow_and_no_more(stores: Stores, emptied: RedisServer, proxy: FaultProxy) -> None:
    writer = stores.of(through(proxy))
    await writer.open()
    router = await stores.router(stores.of(through(proxy)))
    proxy.delay(0.01)
    for version in range(1, 4):
        assert await writer.commit(flows(f"v{version}", "a")) == Commit(version, 1)
    await router.equals(stores.of(emptied.url))
    assert router.whole == 1


async def test_a_commit_without_an_answer_says_that_nobody_knows(
    stores: Stores, emptied: RedisServer, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = stores.of(through(proxy))
    await writer.open()
    original = Link.script

    async def ask(link: Link, script: Script, *arguments: Any, **how: Any) -> Reply:
        if script is redis_scripts.COMMIT:
            proxy.swallow()
        return await original(link, script, *arguments, **how)

    with monkeypatch.context() as patched:
        patched.setattr(Link, "script", ask)
        with pytest.raises(StoreError, match="whether the change is made is not known: make it again"):
            await writer.commit(flows("new", "a"))
    proxy.pass_on()
    assert (await at_last(lambda: writer.commit(flows("new", "a")))).version in (1, 2)
    assert (await content(stores.of(emptied.url)))[1] == {"a": "new"}


# --- the server -------------------------------------------------------------------------------------------------------


@pytest.mark.long
async def test_what_was_acknowledged_outlives_a_sigkill_and_each_commit_is_whole_or_absent(
    stores: Stores, server: RedisServer
) -> None:
    writer = stores.of(server.url)
    await writer.open()
    names = [f"f{place}" for place in range(30)]
    router = await stores.router(stores.of(server.url))
    acknowledged = [0]

    async def write() -> None:
        while True:
            acknowledged.append((await writer.commit(flows(f"v{acknowledged[-1] + 1}", *names))).version)

    for kill in (1, 2, 3):
        writing = asyncio.create_task(write())
        await until(lambda wanted=10 * kill: len(acknowledged) > wanted)  # type: ignore[misc] # bound now
        await asyncio.to_thread(server.kill)
        with pytest.raises(StoreError):
            await writing
        await until(lambda: not router.up)
        assert set(router.flows()) == set(names)
        await asyncio.to_thread(server.start)
        version, found = await content(stores.of(server.url))
        assert version in (acknowledged[-1], acknowledged[-1] + 1)
        assert found == dict.fromkeys(names, f"v{version}")
        await router.equals(stores.of(server.url))
        acknowledged.append(version)
        await asyncio.to_thread(server.command, "DEL", "{ringway}:lock")  # instead of waiting for its end
    assert router.whole == 1


async def test_a_dead_writers_lock_ends_by_itself(stores: Stores, emptied: RedisServer) -> None:
    dead, writer = stores.of(emptied.url), stores.of(emptied.url)
    await dead.open()
    async with dead._alone():
        emptied.client().client_kill_filter(_type="normal", skipme=True)
        keepers = [task for task in asyncio.all_tasks() if "_keep" in repr(task)]
        assert len(keepers) == 1
        keepers[0].cancel()
        assert await writer.commit(flows("new", "a")) == Commit(1, 1)
        assert emptied.client().exists("{ringway}:lock") == 0


@pytest.mark.long
async def test_a_stopped_server_is_noticed_and_goes_on_where_it_was(stores: Stores, server: RedisServer) -> None:
    writer = stores.of(server.url)
    await writer.open()
    await writer.commit(flows("old", "a", "b"))
    router = await stores.router(stores.of(server.url))
    server.pause()
    with pytest.raises(StoreError, match="no answer within"):
        await writer.commit(flows("new", "a"))
    await until(lambda: not router.up)
    assert router.flows() == {"a": "old", "b": "old"}
    server.go_on()
    await at_last(lambda: writer.commit(flows("newer", "a")))
    await router.equals(writer)
    assert router.flows() == {"a": "newer", "b": "old"}
    assert router.whole == 1


async def test_a_restart_with_its_data_is_no_gap(stores: Stores, server: RedisServer) -> None:
    writer = stores.of(server.url)
    await writer.open()
    await writer.commit(flows("old", "a"))
    router = await stores.router(stores.of(server.url))
    await asyncio.to_thread(server.restart)
    assert await writer.commit(flows("new", "b")) == Commit(2, 1)
    await router.equals(writer)
    assert router.whole == 1


@pytest.mark.parametrize("how", ["restart", "FLUSHALL"])
async def test_without_its_data_the_last_good_table_serves_until_there_is_another(
    stores: Stores, server: RedisServer, how: str
) -> None:
    writer = stores.of(server.url)
    await writer.open()
    await writer.commit(flows("old", "a", "b"))
    await writer.commit(flows("old", "c"))
    router = await stores.router(stores.of(server.url))
    before = router.sync.table.digest
    if how == "restart":
        await asyncio.to_thread(server.restart, keep_data=False)
    else:
        server.client().flushall()
    await until(lambda: not router.up)
    assert (router.flows(), router.sync.table.digest) == (dict.fromkeys("abc", "old"), before)
    errors = [event["error"] for event in router.log.entries if event["event"] == "store_down"]
    assert how == "restart" or "load data into it first, with ringway load FILE" in errors[-1]
    await writer.open()  # a router elsewhere starts, and makes it anew
    with pytest.raises(AssertionError):
        wait_until(lambda: router.flows() != dict.fromkeys("abc", "old"), "the table is emptied", 0)
    await writer.commit(flows("new", "b"))
    await router.equals(writer)
    assert (router.flows(), router.whole) == ({"b": "new"}, 2)


@pytest.mark.parametrize("commits_since", [0, 2, 3])
async def test_a_backup_of_before_is_noticed_and_the_tables_end_equal(
    stores: Stores, server: RedisServer, tmp_path: pathlib.Path, commits_since: int
) -> None:
    """With two commits since it is the version that the router had; only the data are others."""
    writer = stores.of(server.url)
    await writer.open()
    await writer.commit(flows("old", "a", "b"))
    router = await stores.router(stores.of(server.url))
    await asyncio.to_thread(server.stop)
    shutil.copytree(server.folder / "data", tmp_path / "backup")
    await asyncio.to_thread(server.start)
    await writer.commit(flows("lost", "a", "c"))
    await writer.commit(removal("b"))
    await router.equals(writer)
    await asyncio.to_thread(server.stop)
    shutil.rmtree(server.folder / "data")
    shutil.copytree(tmp_path / "backup", server.folder / "data")
    await asyncio.to_thread(server.start)
    for step in range(commits_since):
        await writer.commit(flows("new", f"d{step}"))
    await until(lambda: router.whole == 2)
    await router.equals(writer)
    assert router.flows() == {"a": "old", "b": "old"} | {f"d{step}": "new" for step in range(commits_since)}
    assert router.whole == 2


async def test_a_full_memory_refuses_what_is_new_and_keeps_what_is_there(stores: Stores, server: RedisServer) -> None:
    writer = stores.of(server.url)
    await writer.open()
    await writer.commit(flows("old", "a"))
    router = await stores.router(stores.of(server.url))
    used = server.client().info("memory")["used_memory"]
    server.client().config_set("maxmemory", used + 200_000)
    with pytest.raises(StoreError, match="raise its maxmemory, or move others out of it"):
        await writer.commit(flows("new", *(f"flow-{place}" for place in range(20_000))))
    assert await content(writer) == (1, {"a": "old"})
    assert router.flows() == {"a": "old"}
    server.client().config_set("maxmemory", 0)
    assert await writer.commit(flows("new", "b")) == Commit(2, 1)
    await router.equals(writer)
    assert router.whole == 1


async def test_a_disk_that_takes_nothing_refuses_what_is_new(stores: Stores) -> None:
    with running_redis(appendonly="no", save="3600 1") as server:
        writer = stores.of(server.url)
        await writer.open()
        await writer.commit(flows("old", "a"))
        shutil.rmtree(server.folder / "data")
        server.client().bgsave()
        wait_until(lambda: server.client().info("persistence")["rdb_last_bgsave_status"] == "err", "it cannot save")
        with pytest.raises(StoreError, match="see to its disk and its replicas; nothing was changed"):
            await writer.commit(flows("new", "a"))
        assert await content(writer) == (1, {"a": "old"})


async def test_a_replica_is_followed_and_takes_no_commit(stores: Stores, emptied: RedisServer) -> None:
    writer = stores.of(emptied.url)
    await writer.open()
    await writer.commit(flows("old", "a"))
    with running_redis(replicaof=f"127.0.0.1 {emptied.port}") as replica:
        wait_until(lambda: replica.client().info("replication")["master_link_status"] == "up", "the replica is there")
        theirs = stores.of(replica.url)
        await theirs.open(make=False)
        router = await stores.router(theirs)
        await writer.commit(flows("new", "b"))
        await router.equals(writer)
        with pytest.raises(StoreError, match="it is a replica: name the master, or the sentinels"):
            await theirs.commit(flows("newer", "a"))
        assert await content(writer) == (2, {"a": "old", "b": "new"})


# --- masters ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def sentinels(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sentinels]:
    """One master with its replica. New ones are sooner there than those of a test before are whole again."""
    monkeypatch.setattr(redis_connection, "REDIS_COMMAND_SECONDS", 3.0)  # the sentinels are asked within them, too
    with Sentinels() as running:
        yield running


def replicated(master: RedisServer) -> None:
    """Wait until the replica has all that the master has: it tells so of what one connection wrote last."""
    master.client().set("written", "last")
    assert master.client().wait(1, int(PATIENCE_SECONDS * 1000)) == 1


async def test_a_failover_is_followed_and_loses_nothing_that_was_replicated(
    stores: Stores, sentinels: Sentinels
) -> None:
    writer = stores.of(sentinels.url)
    await writer.open()
    await writer.commit(flows("old", "a"))
    router = await stores.router(stores.of(sentinels.url))
    replicated(sentinels.master())
    new = await asyncio.to_thread(sentinels.fail_over)
    assert (await at_last(lambda: writer.commit(flows("new", "b")))).version == 2
    assert new.client().hget("{ringway}:meta", "version") == b"2"
    await router.equals(writer)
    assert (router.flows(), router.whole) == ({"a": "old", "b": "new"}, 1)


@pytest.mark.long
async def test_a_failover_that_lost_commits_is_noticed_and_the_tables_end_equal(
    stores: Stores, sentinels: Sentinels
) -> None:
    old = sentinels.master()
    (replica,) = [each for each in sentinels.servers if each is not old]
    writer = stores.of(sentinels.url)
    await writer.open()
    await writer.commit(flows("old", "a", "b"))
    router = await stores.router(stores.of(sentinels.url))
    replicated(old)
    replica.client().config_set("masterauth", "what the master does not know")  # it cannot follow any more
    old.client().client_kill_filter(_type="replica")
    wait_until(lambda: replica.client().info("replication")["master_link_status"] == "down", "the replica is cut off")
    await writer.commit(flows("lost", "a", "c"))
    await writer.commit(removal("b"))
    await until(lambda: router.flows() == {"a": "lost", "c": "lost"})
    assert await asyncio.to_thread(sentinels.fail_over) is replica
    assert (await at_last(lambda: writer.commit(flows("new", "d")))).version == 2
    assert (await at_last(lambda: writer.commit(flows("new", "e")))).version == 3  # as before, and another one
    await until(lambda: router.flows() == {"a": "old", "b": "old", "d": "new", "e": "new"})
    await router.equals(writer)
    assert router.whole >= 2


@pytest.mark.long
async def test_a_master_that_stands_still_is_given_up_for_the_new_one(stores: Stores, sentinels: Sentinels) -> None:
    old = sentinels.master()
    writer = stores.of(sentinels.url)
    await writer.open()
    await writer.commit(flows("old", "a"))
    router = await stores.router(stores.of(sentinels.url))
    replicated(old)
    await asyncio.to_thread(old.pause)
    await asyncio.to_thread(sentinels.wait_promoted, old)
    await at_last(lambda: writer.commit(flows("new", "b")))
    await router.equals(writer)
    await asyncio.to_thread(old.go_on)
    await at_last(lambda: writer.commit(flows("newer", "c")))
    await router.equals(writer)
    assert router.flows() == {"a": "old", "b": "new", "c": "newer"}


async def test_sentinels_that_are_silent_or_gone_are_passed_over(
    stores: Stores, sentinels: Sentinels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_connection, "REDIS_CONNECT_SECONDS", 0.2)
    silent, gone, _ = sentinels.sentinels
    await asyncio.to_thread(silent.pause)
    await asyncio.to_thread(gone.kill)
    store = stores.of(sentinels.url)
    await store.open()
    assert await store.commit(flows("new", "a")) == Commit(1, 1)


async def test_sentinels_that_know_no_such_master_are_named(stores: Stores, sentinels: Sentinels) -> None:
    url = sentinels.url.replace("/mymaster/", "/another/")
    with pytest.raises(StoreError) as caught:
        await stores.of(url).open()
    assert str(caught.value).startswith(f"store {url}: ")
    assert "No master found for 'another'" in str(caught.value)


@pytest.mark.long
async def test_a_cluster_keeps_the_data_set_together_and_survives_the_restart_of_its_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(redis_connection, "REDIS_COMMAND_SECONDS", 5.0)  # of which the first question needs some
    with running_cluster() as cluster:
        async with Stores() as stores:
            await survive_a_restart(stores, cluster)
        gc.collect()  # a connection that was left is told here, and not in another test


async def survive_a_restart(stores: Stores, cluster: Cluster) -> None:
    writer, calls = stores.of(cluster.url, cluster=True), stores.calls_of(cluster.url, cluster=True)
    await everything(writer, calls)
    holders = [server for server in cluster.servers if server.client().dbsize()]
    assert len(holders) == 1
    router = await stores.router(stores.of(cluster.servers[1].url, cluster=True))
    await writer.commit(flows("new", "x"))
    await router.equals(writer)
    await asyncio.to_thread(holders[0].kill)
    with pytest.raises(StoreError, match=f"store {cluster.url}: "):
        await writer.commit(flows("newer", "x"))
    await until(lambda: not router.up)
    await asyncio.to_thread(holders[0].start)
    await at_last(lambda: writer.commit(flows("newest", "x")))
    await router.equals(writer)
    assert router.flows()["x"] == "newest"


# --- TLS and rights ---------------------------------------------------------------------------------------------------


async def test_all_of_it_goes_by_tls(stores: Stores) -> None:
    with running_redis(tls=True) as server:
        options = {"tls_ca_file": str(server.ca_file)}
        await everything(stores.of(server.url, **options), stores.calls_of(server.url, **options))


async def everything(store: RedisStore, calls: RedisCallbackStore) -> None:
    """Whatever a router or a command asks a store for, each script at least once."""
    await store.open()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(store_redis, "REDIS_LOG_ROWS_MAX", 3)
        for step in range(3):
            await store.commit(flows(f"v{step}", "a", "b"))
    await store.commit(removal("a"))
    await store.open(make=False)
    reading = await store.read(None, "")
    async for _ in reading.batches:
        pass
    assert not await store.wait(reading.version, reading.epoch, 0)
    await store.commit(flows("last", "c"))
    changes = await store.read(reading.version, reading.epoch)
    assert not changes.whole
    assert [len(batch) async for batch in changes.batches] == [1]
    assert (
        await store.view(lambda stored: [stored.get(RowKind.CALL_FLOW, "b"), *stored.rows(RowKind.NUMBER)].clear()) == 5
    )

    await calls.open()
    attempts = [Attempt(str(place), "win-back", OUR, ANNA, 100.0 + place, Outcome.MISSED) for place in range(3)]
    attempts += [Attempt("failed", "win-back", OUR, ANNA, 90.0, Outcome.FAILED)]
    await calls.record(attempts)
    news = await calls.news("", 0)
    assert len(news.attempts) == 3
    assert (await calls.claim(OUR, ANNA, "call", 200.0, SINCE)).verdict is Verdict.RIGHT
    assert (await calls.claim(OUR, ANNA, "call", 200.0, SINCE)).again
    assert (await calls.claim(OUR, ANNA, "later", 201.0, SINCE)).verdict is Verdict.USED
    await calls.history(OUR, ANNA, 300.0)
    assert len(await calls.attempts(None, None, 10)) == 4
    assert len((await calls.news(news.mark, 0.01)).attempts) == 0
    assert [await calls.turn("numbers"), await calls.turn("numbers")] == [1, 2]
    assert await calls.forget({"win-back": 102.0}, 0.0) == 3
    assert len((await calls.news("", 0)).attempts) == 1


def used(server: RedisServer) -> set[str]:
    """The commands that clients have given, also those within scripts."""
    stats: Mapping[str, Any] = server.client().info("commandstats")
    return {name.removeprefix("cmdstat_") for name in stats}


async def test_a_user_with_the_least_rights_can_do_all_of_it_and_no_right_is_too_many(
    stores: Stores, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "users.acl").write_text(f"user default on nopass ~* +@all\nuser ringway on >word {RIGHTS}\n")
    (tmp_path / "password").write_text("word\n")
    with running_redis(aclfile=str(tmp_path / "users.acl")) as server:
        server.command("CONFIG RESETSTAT")
        options = {"username": "ringway", "password_file": str(tmp_path / "password")}
        await everything(stores.of(server.url, **options), stores.calls_of(server.url, **options))
        denied = {entry["object"] for entry in server.client().acl_log()}
        assert denied == set()
        names = {word.removeprefix("+") for word in RIGHTS.split() if word.startswith("+")}
        assert names - used(server) == set()
        with pytest.raises(StoreError, match="give its user the rights that the README lists"):
            await stores.of(server.url, **options, prefix="another").open()


# --- rights of callbacks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["LOOK", "CLAIM"])
async def test_a_claim_whose_reply_is_lost_gives_one_right_to_one_call(
    stores: Stores, emptied: RedisServer, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    near, far = stores.calls_of(emptied.url), stores.calls_of(through(proxy))
    await near.record([Attempt("1", "win-back", OUR, ANNA, 100.0, Outcome.MISSED)])
    await far.open()
    armed = Armed(proxy, monkeypatch)
    armed.script = getattr(callback_scripts, name)
    claims: list[Claim] = [await far.claim(OUR, ANNA, "call", 200.0, SINCE)]
    assert armed.script is None
    claims += [await near.claim(OUR, ANNA, "another", 200.5, SINCE), await near.claim(OUR, ANNA, "call", 200.0, SINCE)]
    assert [claim.verdict for claim in claims] == [Verdict.RIGHT, Verdict.USED, Verdict.RIGHT]
    assert [claim.again for claim in claims] == [False, False, True]


async def test_a_right_that_was_given_outlives_a_sigkill(stores: Stores, server: RedisServer) -> None:
    calls = stores.calls_of(server.url)
    await calls.record([Attempt("1", "win-back", OUR, ANNA, 100.0, Outcome.MISSED)])
    assert (await calls.claim(OUR, ANNA, "call", 200.0, SINCE)).verdict is Verdict.RIGHT
    await asyncio.to_thread(server.kill)
    with pytest.raises(StoreError):
        await calls.claim(OUR, ANNA, "later", 201.0, SINCE)
    await asyncio.to_thread(server.start)
    assert (await calls.claim(OUR, ANNA, "later", 201.0, SINCE)).verdict is Verdict.USED
    assert (await calls.claim(OUR, ANNA, "call", 200.0, SINCE)).verdict is Verdict.RIGHT
