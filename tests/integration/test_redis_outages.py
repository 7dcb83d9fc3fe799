"""The store in a real Redis that is killed, stopped, restarted, emptied, restored, full, or a replica."""

import asyncio
import pathlib
import shutil

import pytest

from dialplan.campaigns.attempts import Attempt, Outcome
from dialplan.campaigns.callbacks import ClaimStatus
from router.store.api import Commit, StoreError
from tests.integration.redis_stores import ANNA, OUR, SINCE, Stores, at_last, content, flows, removal, until
from tests.processes import wait_until
from tests.redis_server import RedisServer, running_redis

pytestmark = pytest.mark.usefixtures("soon")


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
    assert router.full == 1


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
    assert router.full == 1


async def test_a_restart_with_its_data_is_no_gap(stores: Stores, server: RedisServer) -> None:
    writer = stores.of(server.url)
    await writer.open()
    await writer.commit(flows("old", "a"))
    router = await stores.router(stores.of(server.url))
    await asyncio.to_thread(server.restart)
    assert await writer.commit(flows("new", "b")) == Commit(2, 1)
    await router.equals(writer)
    assert router.full == 1


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
    await writer.open()  # a router elsewhere starts, and rebuilds it
    with pytest.raises(AssertionError):
        wait_until(lambda: router.flows() != dict.fromkeys("abc", "old"), "the table is emptied", 0)
    await writer.commit(flows("new", "b"))
    await router.equals(writer)
    assert (router.flows(), router.full) == ({"b": "new"}, 2)


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
    await until(lambda: router.full == 2)
    await router.equals(writer)
    assert router.flows() == {"a": "old", "b": "old"} | {f"d{step}": "new" for step in range(commits_since)}
    assert router.full == 2


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
    assert router.full == 1


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


async def test_an_entitlement_that_was_given_outlives_a_sigkill(stores: Stores, server: RedisServer) -> None:
    calls = stores.calls_of(server.url)
    await calls.record([Attempt("1", "win-back", OUR, ANNA, 100.0, Outcome.MISSED)])
    assert (await calls.claim(OUR, ANNA, "call", 200.0, SINCE)).status is ClaimStatus.GRANTED
    await asyncio.to_thread(server.kill)
    with pytest.raises(StoreError):
        await calls.claim(OUR, ANNA, "later", 201.0, SINCE)
    await asyncio.to_thread(server.start)
    assert (await calls.claim(OUR, ANNA, "later", 201.0, SINCE)).status is ClaimStatus.CONSUMED
    assert (await calls.claim(OUR, ANNA, "call", 200.0, SINCE)).status is ClaimStatus.GRANTED
