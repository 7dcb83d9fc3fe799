"""Routers and commands beside a Redis that has lost a key of the data set: nobody takes what is left for the whole."""

import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.processes import DEMO_DATA, ringway, running_router, wait_until, write_config
from tests.redis_server import RedisServer, running_redis

DID = "02079460000"
INCOMPLETE = 'ringway_store_unfit{cause="incomplete"}'
EVICTS = 'ringway_store_unfit{cause="evicts"}'
LEFT = {
    "rows:1": "of its 2 companies it has 0; restore a backup",
    "rows:2": "of its 4 call_flows it has 0; restore a backup",
    "rows:3": "of its 3 campaigns it has 0; restore a backup",
    "rows:4": "of its 6 numbers it has 0; restore a backup",
    "meta": "it holds a part of a data set only; restore a backup",
}


class Site(NamedTuple):
    """A Redis with the demo data in it, and what the commands want to reach it."""

    redis: RedisServer
    folder: pathlib.Path
    config: pathlib.Path

    @property
    def settings(self) -> dict[str, dict[str, str]]:
        return {"store": {"url": self.redis.url, "snapshot": str(self.folder / "snapshot.db")}}

    def lose(self, key: str) -> None:
        assert self.redis.command("DEL", f"{{ringway}}:{key}") == 1


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Iterator[Site]:
    with running_redis(maxmemory="100mb") as redis:
        store = {"url": redis.url, "snapshot": str(tmp_path / "snapshot.db")}
        config = write_config(tmp_path, settings={"store": store})
        assert ringway("load", str(DEMO_DATA), config=config).status == 0
        yield Site(redis, tmp_path, config)


@pytest.mark.parametrize("key", LEFT)
def test_commands_refuse_what_is_left_and_say_what_to_do(site: Site, key: str) -> None:
    site.lose(key)
    company = '[[companies]]\nid = "new"\nname = "New"\nregion = "GB"\n'
    for command, stdin in ((["dump"], ""), (["dump", "--json"], ""), (["route", DID], ""), (["load", "-"], company)):
        done = ringway(*command, config=site.config, stdin=stdin)
        assert (done.status, done.out) == (1, "")
        assert LEFT[key] in done.err
        assert len(done.err.splitlines()) == 1


def test_without_its_changes_the_set_is_whole(site: Site) -> None:
    before = ringway("dump", config=site.config).out
    site.lose("changes")
    assert ringway("dump", config=site.config) == (0, before, "")


@pytest.mark.parametrize("key", ["rows:2", "rows:4", "meta"])
def test_a_running_router_goes_on_with_its_table_and_says_what_is_missing(site: Site, key: str) -> None:
    whole = ringway("dump", config=site.config).out
    with running_router(site.folder, data=None, settings=site.settings) as router:
        before = router.ask(DID)
        site.lose(key)
        wait_until(lambda: router.metrics()[INCOMPLETE] == 1, "the router has noticed")
        assert router.ask(DID) == before
        assert router.metrics()["ringway_table_numbers"] == 6
        assert ringway("status", "--json", config=router.config).json()["store_unfit"] == "incomplete"
        if key != "meta":
            mending = ringway("load", "-", "--replace", config=router.config, stdin=whole)
            assert mending.status == 0
            wait_until(lambda: router.metrics()[INCOMPLETE] == 0, "the data set is whole again")
            wait_until(lambda: router.metrics()["ringway_table_version"] == 2, "the router has read it")
            assert router.metrics()["ringway_table_numbers"] == 6
            assert ringway("dump", config=router.config).out == whole
    assert any(LEFT[key] in each["error"] for each in router.events("store_down"))


@pytest.mark.parametrize("key", ["rows:2", "rows:4", "meta"])
def test_a_router_starts_from_its_snapshot_beside_a_part_of_the_data_and_without_one_not_at_all(
    site: Site, key: str
) -> None:
    with running_router(site.folder, data=None, settings=site.settings) as router:
        before = router.ask(DID)
        router.wait_for("snapshot_filled")
    site.lose(key)
    with running_router(site.folder, data=None, settings=site.settings) as router:
        answer = router.ask(DID)
        assert {**answer, "ROUTE_VERSION": ""} == {**before, "ROUTE_VERSION": ""}
        assert router.metrics()[INCOMPLETE] == 1
        assert router.metrics()["ringway_table_numbers"] == 6
    (site.folder / "snapshot.db").unlink()
    done = ringway("serve", config=site.config)
    assert done.status == 1
    assert LEFT[key] in done.err


def test_a_policy_that_evicts_is_told_by_a_running_router_and_commands_refuse(site: Site) -> None:
    with running_router(site.folder, data=None, settings=site.settings) as router:
        site.redis.command("CONFIG SET", "maxmemory-policy", "allkeys-lru")
        wait_until(lambda: router.metrics()[EVICTS] == 1, "the router has noticed")
        assert router.ask(DID)["ROUTE_REASON"] == "assigned"
        assert "set its maxmemory-policy to noeviction" in ringway("dump", config=router.config).err
        site.redis.command("CONFIG SET", "maxmemory-policy", "noeviction")
        wait_until(lambda: router.metrics()[EVICTS] == 0, "it is right again")
