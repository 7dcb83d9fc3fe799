"""One Asterisk, two routers, one Redis: each is killed, stopped and restarted, and no call is without a flow."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.asterisk.campaigns import CAMPAIGN, FLOWS, OUR, OWN, SECRET_FILE, Campaigns, ami_settings, subscriber
from tests.asterisk.campaigns import DATA as CAMPAIGN_DATA
from tests.asterisk.parts import Program
from tests.asterisk.pbx import REFUSED, Asterisk
from tests.asterisk.site import DATA, NO_AGI_TIMEOUT, PLAIN, SOME, Ground, check
from tests.asterisk.subscribers import Behaviour, subscribers
from tests.asterisk.traffic import DEFAULT_FLOW, Ended, Traffic, Waits, now_ms
from tests.processes import Router, load, running_router, wait_until
from tests.redis_server import RedisServer, running_redis

pytestmark = pytest.mark.asterisk

UP = 'ringway_store_up{store="redis"}'


class Site(NamedTuple):
    """What runs. Both routers have the same table, from the same Redis."""

    ground: Ground
    redis: RedisServer
    first: Router
    second: Router

    def calls(self) -> Traffic:
        """A stream of calls."""
        return self.ground.calls()

    def without_redis(self) -> None:
        """Wait until both routers know that Redis is away."""
        self._both(0, "both know that Redis is away")

    def in_step(self) -> None:
        """Wait until both routers have their store."""
        self._both(1, "both have Redis")

    def _both(self, up: int, what: str) -> None:
        wait_until(lambda: all(each.metrics()[UP] == up for each in (self.first, self.second)), what)


@pytest.fixture
def site(ground: Ground, tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as running:
        redis = running.enter_context(running_redis(appendonly="yes", appendfsync="always"))
        routers: list[Router] = []
        for name in ("one", "two"):
            folder = tmp_path / f"router-{name}"
            folder.mkdir()
            settings = {"store": {"url": redis.url, "snapshot": str(folder / "snapshot.db")}}
            router = running_router(folder, data=None, settings=settings, start=False)
            routers.append(running.enter_context(router))
        load(routers[0].config, DATA)
        for each in routers:
            each.start()
        first, second = routers
        ground.asterisk.set_global("RINGWAY_AGI", f"127.0.0.1:{first.agi_port}")
        ground.asterisk.set_global("RINGWAY_AGI_2", f"127.0.0.1:{second.agi_port}")
        yield Site(ground, redis, first, second)


def all_decided(ended: Ended) -> None:
    """Each call was decided by a router, as the data has it."""
    check(ended, fallback=False)


@pytest.mark.long
def test_either_router_and_redis_killed_and_restarted_in_turn(site: Site, waits: Waits) -> None:
    site.ground.agi_timeout(NO_AGI_TIMEOUT)  # who dies is noticed at once
    with site.calls() as calls:
        calls.more(2 * SOME)
        before = now_ms()
        for end in (Router.kill, Router.terminate):
            for router in (site.first, site.second):
                end(router)
                calls.more(SOME)
                router.start()
                calls.more(SOME)
        for stop in (site.redis.kill, site.redis.stop):
            stop()
            site.without_redis()
            calls.more(2 * SOME)
            site.redis.start()
            calls.more(SOME)
            site.in_step()
        ended = calls.end()
    all_decided(ended)
    site.ground.asterisk.assert_no_surprise(REFUSED)
    waits.add("two routers and Redis, each killed and restarted", ended, before)


@pytest.mark.long
def test_each_one_stopped_in_turn(site: Site, waits: Waits) -> None:
    with site.calls() as calls:
        calls.more(2 * SOME)
        before = now_ms()
        for router in (site.first, site.second):
            router.signal(signal.SIGSTOP)
            calls.more(SOME)
            router.signal(signal.SIGCONT)
            router.ask(PLAIN)
            calls.more(SOME)
        site.redis.pause()
        calls.more(2 * SOME)
        site.without_redis()
        calls.more(SOME)
        site.redis.go_on()
        site.in_step()
        calls.more(SOME)
        ended = calls.end()
    all_decided(ended)
    site.ground.asterisk.assert_no_surprise()
    waits.add("two routers and Redis, each stopped (SIGSTOP)", ended, before)


@pytest.mark.long
def test_both_routers_start_while_redis_is_away(site: Site, waits: Waits) -> None:
    with site.calls() as calls:
        calls.more(2 * SOME)
        before = now_ms()
        site.redis.kill()
        for router in (site.first, site.second):
            assert router.terminate() == 0
            router.start()
            assert router.events("snapshot_serves")
            calls.more(SOME)
        site.redis.start()
        site.in_step()
        calls.more(SOME)
        ended = calls.end()
    all_decided(ended)
    site.ground.asterisk.assert_no_surprise(REFUSED)
    waits.add("two routers restarted while Redis was away", ended, before)


def test_a_rolling_restart(site: Site, waits: Waits) -> None:
    """No call waits for a fallback: who is refused by the one is answered by the other, at once and by a router."""
    site.ground.agi_timeout(NO_AGI_TIMEOUT)  # who waited for it would wait for longer than this test
    with site.calls() as calls:
        calls.more(2 * SOME)
        before = now_ms()
        for _ in range(3):
            for router in (site.first, site.second):
                assert router.terminate() == 0
                calls.more(SOME)
                router.start()
                calls.more(SOME)
        ended = calls.end()
    all_decided(ended)
    assert {call.variables["ROUTE_STATUS"] for call in ended.calls} == {"OK"}
    site.ground.asterisk.assert_no_surprise(REFUSED)
    waits.add("rolling restart of two routers with Redis", ended, before)


def test_what_one_router_heard_is_called_back_through_the_other(asterisk_program: Program, tmp_path: Path) -> None:
    """The attempt is told to the first router, and the callback asks the second: one entitlement in all."""
    with ExitStack() as running:
        redis = running.enter_context(running_redis())
        flows = (*FLOWS, DEFAULT_FLOW)
        pbx = running.enter_context(Asterisk(asterisk_program, flows=flows, files=SECRET_FILE))
        notes = running.enter_context(subscribers(pbx.ports.trunk))
        sites: list[Campaigns] = []
        for name in ("one", "two"):
            folder = tmp_path / name
            folder.mkdir()
            store = {"store": {"url": redis.url, "snapshot": str(folder / "snapshot.db")}}
            settings = store | (ami_settings(pbx, folder) if name == "two" else {})
            data = CAMPAIGN_DATA if name == "one" else None
            router = running.enter_context(running_router(folder, data=data, settings=settings))
            sites.append(Campaigns(pbx, router, notes))
        first, second = sites
        second.router.wait_for("ami_up")
        pbx.set_global("RINGWAY_RING_SECONDS", "1")
        for dials, rung in (sites, reversed(sites)):
            pbx.set_global("RINGWAY_AGI", f"127.0.0.1:{dials.router.agi_port}")
            to = subscriber(Behaviour.BUSY)
            dials.originate(f"Local/{to}@ringway-outbound", Variable="__CAMPAIGN_ID=win-back")
            wait_until(lambda to=to: first.told(to) + second.told(to) != [], "a router hears of it")  # type: ignore[misc]
            pbx.wait_idle()
            pbx.set_global("RINGWAY_AGI", f"127.0.0.1:{rung.router.agi_port}")
            assert rung.call(OUR, to).context == CAMPAIGN
            assert rung.call(OUR, to).context == OWN
            pbx.set_global("RINGWAY_AGI", f"127.0.0.1:{dials.router.agi_port}")
            assert dials.call(OUR, to).context == OWN
            assert first.outcomes(to) == second.outcomes(to) == ["missed"]
            assert len(first.told(to) + second.told(to)) == 1  # it counts once, whichever router was told first
