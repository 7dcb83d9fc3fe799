"""Running routers with a Redis that comes and goes: what they serve, what they say, and what they keep."""

import asyncio
import contextlib
import pathlib
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from dialplan.dataset.changes import ChangeSet, prepare
from dialplan.kinds.call_flow import CallFlow
from dialplan.kinds.fields import Destination
from dialplan.kinds.registry import Row, RowKind
from router.store.api import Prepare
from router.store.redis.address import Options, parse
from router.store.redis.store import RedisStore
from tests.fastagi import environment, executed
from tests.integration.serving import connect
from tests.processes import Router, ringway, running_router, wait_until
from tests.redis_server import RedisServer, running_redis
from tests.samples import campaign, company, flow, number, raw

UP = 'ringway_store_up{store="redis"}'
DID, OUR = "02079460000", "+442079460000"
ANNA = "+447700900123"
DATA = [
    company(identified=True),
    flow("menu"),
    campaign("win-back", direction="outbound", accept_incoming=True),
    number(DID, call_flow="menu"),
]


class Site(NamedTuple):
    """A Redis with data in it, and a router's own folder."""

    redis: RedisServer
    folder: pathlib.Path

    def settings(self, **sections: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """A router's, and `sections` over them."""
        store = {"url": self.redis.url, "snapshot": str(self.snapshot)}
        return {"store": store} | {name: {**(store if name == "store" else {}), **sections[name]} for name in sections}

    @property
    def snapshot(self) -> pathlib.Path:
        return self.folder / "snapshot.db"

    def router(self, *, start: bool = True, **sections: dict[str, Any]) -> contextlib.AbstractContextManager[Router]:
        return running_router(self.folder, data=None, settings=self.settings(**sections), start=start)

    def load(self) -> None:
        """What `ringway load` does, without a process of its own."""
        self._commit(lambda stored: prepare(raw(*DATA), stored))

    def change(self, context: str) -> None:
        """Commit another destination of the number's flow."""
        rows: dict[str, Row | None] = {"menu": CallFlow("menu", "menu", Destination(context))}
        self._commit(lambda _: ChangeSet({RowKind.CALL_FLOW: rows}))

    def _commit(self, prepared: Prepare) -> None:
        async def commit() -> None:
            store = RedisStore(parse(self.redis.url), Options())
            await store.open()
            await store.commit(prepared)
            await store.close()

        asyncio.run(commit())

    def aged(self, hours: float) -> None:
        """Let the snapshot be older."""
        with contextlib.closing(sqlite3.connect(self.snapshot)) as file:
            file.execute("UPDATE meta SET seen_at = ?", (time.time() - hours * 3600,))
            file.commit()


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Iterator[Site]:
    folder = tmp_path / "router"
    folder.mkdir()
    with running_redis() as redis:
        made = Site(redis, folder)
        made.load()
        yield made


def up(router: Router) -> bool:
    return router.metrics()[UP] == 1


def status(router: Router) -> dict[str, Any]:
    found: dict[str, Any] = ringway("status", "--json", config=router.config).json()
    return found


def context(router: Router, caller: str = "", call: str = "test.1") -> str:
    return router.ask(DID, caller, call)["ROUTE_CONTEXT"]


def report(router: Router, attempt: str = "1.1", outcome: str = "NOANSWER") -> str:
    """Tell of an outbound call as the dialplan does; the router's answer."""
    words = [attempt, "win-back", ANNA, DID, outcome, "19", "1", f"{time.time() * 1000:.0f}", "480"]
    with connect(router.agi_port) as sock, sock.makefile("rb") as answers:
        sock.sendall(environment({"agi_network_script": "attempt", "agi_uniqueid": attempt}, words))
        said = dict(executed(answers.readline()))
        sock.sendall(b"200 result=0\n")
    return said["ATTEMPT_STATUS"]


def attempts(router: Router) -> list[str]:
    """What the store knows."""
    return [each["id"] for each in ringway("attempts", "--json", config=router.config).json()]


# --- starting without Redis -------------------------------------------------------------------------------------------


def test_a_router_that_starts_without_redis_serves_its_snapshot_and_says_so_everywhere(site: Site) -> None:
    with site.router() as router:
        assert context(router) == "flow-menu"
        digest = router.metrics()["ringway_table_digest"]
        router.wait_for("snapshot_filled")
        assert router.terminate() == 0
        site.redis.kill()
        site.aged(hours=2)
        router.start()
        (said,) = router.events("snapshot_serves")
        assert said["level"] == "error"
        assert said["why"].startswith(f"store {site.redis.url}: ")
        assert (said["version"], round(said["age_hours"])) == (1, 2)
        assert context(router) == "flow-menu"
        page = router.metrics()
        assert (page[UP], page["ringway_table_digest"]) == (0, digest)
        assert 2 * 3600 <= page["ringway_table_age_seconds"] < 3 * 3600
        shown = status(router)
        assert shown["store"] == "redis, DOWN"
        assert shown["table_age_seconds"] >= 2 * 3600
        site.redis.start()
        site.change("flow-new")
        wait_until(lambda: context(router) == "flow-new", "the change is live")
        wait_until(lambda: up(router), "the store is up")
        assert status(router)["store"] == "redis, up"
        assert router.metrics()["ringway_table_age_seconds"] < 60
        assert router.events("store_up")


def test_without_redis_and_without_a_snapshot_there_is_no_start(site: Site) -> None:
    site.redis.kill()
    with site.router(start=False) as router:
        router.start(wait=False)
        assert router.wait() != 0
        assert f"store {site.redis.url}: " in router.err
        assert f"there is no snapshot in {site.snapshot} to go by" in router.err
        assert not router.events("ready")


@pytest.mark.long
def test_a_snapshot_that_is_too_old_is_refused_unless_it_is_allowed(site: Site) -> None:
    with site.router() as router:
        router.wait_for("snapshot_filled")
        router.terminate()
    site.redis.kill()
    site.aged(hours=73)
    with site.router(start=False) as router:
        router.start(wait=False)
        assert router.wait() != 0
        assert f"the snapshot in {site.snapshot} is 73.0 hours old" in router.err
        assert "[store] snapshot_max_age_hours allows 72; 0 allows any" in router.err
    for hours in (0, 74):
        with site.router(store={"snapshot_max_age_hours": hours}) as router:
            assert context(router) == "flow-menu"


@pytest.mark.long
def test_a_start_on_a_redis_that_has_lost_its_data_serves_the_snapshot(site: Site) -> None:
    with site.router() as router:
        router.wait_for("snapshot_filled")
        router.terminate()
        site.redis.restart(keep_data=False)
        router.start()
        (said,) = router.events("snapshot_serves")
        assert "nothing has been loaded into it; load the data again" in said["why"]
        assert context(router) == "flow-menu"
        site.load()
        wait_until(lambda: up(router), "the data are there again")
        site.change("flow-new")
        wait_until(lambda: context(router) == "flow-new", "the change is live")


def test_a_password_never_comes_to_light(site: Site) -> None:
    site.redis.command("CONFIG SET", "requirepass", "s3cret")
    url = site.redis.url.replace("://", "://:s3cret@")
    with site.router(store={"url": url}) as router:
        router.wait_for("ready", store=site.redis.url)
        site.redis.kill()
        router.wait_for("store_down")
        router.terminate()
        assert "s3cret" not in "".join(router.lines) + router.err


# --- attempts and callbacks -------------------------------------------------------------------------------------------


def test_attempts_that_are_seen_without_redis_are_kept_and_handed_over(site: Site) -> None:
    with site.router() as router:
        router.wait_for("snapshot_filled")
        site.redis.kill()
        router.wait_for("callbacks_down")
        assert report(router, "1.1") == "OK"
        assert router.wait_for("attempts_kept_here")["attempts"] == 1
        router.kill()  # what was acknowledged is kept
        router.start()
        assert report(router, "1.2") == "OK"
        assert router.metrics()["ringway_attempts_pending"] == 2
        site.redis.start()
        wait_until(lambda: len(router.events("attempts_handed_over")) > 0, "they are handed over")
        assert router.metrics()["ringway_attempts_pending"] == 0
        wait_until(lambda: sorted(attempts(router)) == ["1.1", "1.2"], "they are in Redis")
        wait_until(lambda: context(router, ANNA) == "campaign-win-back", "a callback has its entitlement")
        assert context(router, ANNA, "another") == "flow-menu"  # which is consumed now


@pytest.mark.long
@pytest.mark.parametrize(
    ("policy", "destination"), [(None, "flow-menu"), ("own-flow", "flow-menu"), ("campaign", "campaign-win-back")]
)
def test_without_redis_a_callback_gets_what_is_declared(site: Site, policy: str | None, destination: str) -> None:
    with site.router(callbacks={"store_down": policy} if policy else {}) as router:
        assert report(router) == "OK"
        wait_until(lambda: attempts(router) == ["1.1"], "it is in Redis")
        site.redis.pause()  # the worst of ways to be away: nobody is told
        assert context(router, ANNA, "first") == destination
        assert router.wait_for("claim_failed")["declared"] == policy or policy is None
        assert context(router, ANNA, "first") == destination
        assert router.metrics()['ringway_callbacks_total{outcome="store-down"}'] == 1
        site.redis.go_on()
        wait_until(lambda: up(router), "the store is up")
        assert context(router, ANNA, "first") == destination  # the same call, the same answer


# --- while it runs ----------------------------------------------------------------------------------------------------


@pytest.fixture
def two(site: Site, tmp_path: pathlib.Path) -> Iterator[list[Router]]:
    """Two routers, each with a folder of its own; the data set is at version 3."""
    for version in (2, 3):
        site.change(f"flow-{version}")
    with contextlib.ExitStack() as running:
        made = []
        for name in ("one", "two"):
            folder = tmp_path / name
            folder.mkdir()
            made.append(running.enter_context(Site(site.redis, folder).router()))
        yield made


def digests(routers: list[Router]) -> set[float]:
    return {each.metrics()["ringway_table_digest"] for each in routers}


def compared(router: Router) -> float:
    return router.metrics()["ringway_table_full_reads_total"]


def test_store_up_and_the_age_of_the_table_tell_when_redis_is_away(site: Site, two: list[Router]) -> None:
    router, other = two
    assert up(router)
    young = router.metrics()["ringway_table_age_seconds"]
    site.redis.kill()
    wait_until(lambda: not up(router) and not up(other), "the routers notice")
    wait_until(lambda: router.metrics()["ringway_table_age_seconds"] > young, "the table grows old")
    assert router.wait_for("store_down")["error"].startswith(f"store {site.redis.url}: ")
    assert status(router)["store"] == "redis, DOWN"
    assert context(router) == "flow-3"
    site.redis.start()
    wait_until(lambda: up(router) and up(other), "the routers have it again")
    assert (compared(router), compared(other)) == (1, 1)


@pytest.mark.long
@pytest.mark.parametrize("fault", ["trimmed", "gap", "rows of a change"])
def test_changes_that_are_missing_are_compared_in_full_and_the_tables_end_equal(
    site: Site, two: list[Router], fault: str
) -> None:
    for router in two:
        router.signal(signal.SIGSTOP)  # it hears nothing of what comes
    for version in (4, 5, 6):
        site.change(f"flow-{version}")
    changes = "{ringway}:changes"
    match fault:
        case "trimmed":
            assert site.redis.command("XTRIM", changes, "MAXLEN", 1) > 0
        case "gap":
            assert site.redis.command("XDEL", changes, "5-0") == 1
        case _:
            ((_, fields),) = site.redis.command("XRANGE", changes, "5-0", "5-0")
            assert site.redis.command("DEL", f"{{ringway}}:log:{fields[b'id'].decode()}") == 1
    for router in two:
        router.signal(signal.SIGCONT)
    for router in two:
        wait_until(lambda router=router: context(router) == "flow-6", "the newest is live")  # type: ignore[misc] # now
        assert compared(router) == 2
    assert len(digests(two)) == 1
    site.change("flow-7")
    for router in two:
        wait_until(lambda router=router: context(router) == "flow-7", "the next is live")  # type: ignore[misc] # now
        assert compared(router) == 2
    assert len(digests(two)) == 1


def test_an_emptied_redis_leaves_the_last_good_table_until_it_is_loaded_again(site: Site, two: list[Router]) -> None:
    before = digests(two)
    site.redis.client().flushall()
    for router in two:
        assert "load data into it first" in router.wait_for("store_down")["error"]
        assert context(router) == "flow-3"
    assert digests(two) == before
    site.load()
    for router in two:
        wait_until(lambda router=router: context(router) == "flow-menu", "it is live")  # type: ignore[misc] # now
        assert compared(router) == 2
    assert len(digests(two)) == 1


@pytest.mark.long
@pytest.mark.parametrize("loads_since", [0, 2])
def test_a_restored_backup_is_compared_in_full_and_the_tables_end_equal(
    site: Site, two: list[Router], tmp_path: pathlib.Path, loads_since: int
) -> None:
    """With two loads since its version is the one that the routers had."""
    at_three = digests(two)
    site.redis.stop()
    shutil.copytree(site.redis.folder / "data", tmp_path / "backup")
    site.redis.start()
    for version in (4, 5):
        site.change(f"lost-{version}")
    for router in two:
        wait_until(lambda router=router: context(router) == "lost-5", "it is live")  # type: ignore[misc] # now
    site.redis.stop()
    shutil.rmtree(site.redis.folder / "data")
    shutil.copytree(tmp_path / "backup", site.redis.folder / "data")
    site.redis.start()
    for version in range(4, 4 + loads_since):
        site.change(f"new-{version}")
    expected = f"new-{3 + loads_since}" if loads_since else "flow-3"
    for router in two:
        wait_until(lambda router=router: context(router) == expected, "what is stored is live")  # type: ignore[misc]
        assert compared(router) == 2
        assert router.metrics()["ringway_table_version"] == 3 + loads_since
    assert len(digests(two)) == 1
    assert (digests(two) == at_three) == (not loads_since)
