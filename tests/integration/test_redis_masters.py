"""The store where masters change: under real Sentinels, and in a real Cluster."""

import asyncio
import gc
from collections.abc import Iterator

import pytest

from router.store.api import Commit, StoreError
from router.store.redis import connection as redis_connection
from tests.integration.redis_stores import Stores, at_last, everything, flows, removal, until
from tests.ports import free_port
from tests.processes import PATIENCE_SECONDS, wait_until
from tests.redis_server import Cluster, RedisServer, Sentinels, running_cluster

pytestmark = pytest.mark.usefixtures("soon")


@pytest.fixture
def sentinels(soon: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sentinels]:
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
    assert (router.flows(), router.full) == ({"a": "old", "b": "new"}, 1)


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
    assert router.full >= 2


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
    assert 'no sentinel names a master "another"' in str(caught.value)


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
    nobody, somebody = f"redis://127.0.0.1:{free_port()}", cluster.servers[1].url.removeprefix("redis://")
    router = await stores.router(stores.of(f"{nobody},{somebody}", cluster=True))
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
