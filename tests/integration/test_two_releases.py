"""The last release and this one on the same store, in either order of upgrade and side by side."""

import asyncio
import json
import pathlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
import tomli_w

from router.config.settings import from_process
from router.store.factory import stores_of
from tests import later_rows
from tests.processes import Router, Settings, ringway, running_router, wait_until, write_config
from tests.redis_server import RedisServer, running_redis
from tests.releases import THIS, Release, unpacked

ANNA, BORIS = "+447700900123", "+447700900456"
DAY, NIGHT, OUR, POOL = "+442079460000", "+442079460001", "+442079460002", "+447700900100"
AHEAD = "2199-01-01T00:00:00Z"
TEXT = {"name": "TEXT", "type": "text", "default": "Hello"}
DATA: dict[str, Any] = {
    "companies": [{"id": "acme", "name": "Acme", "region": "GB", "timezone": "Europe/London", "identified": True}],
    "call_flows": [
        {"id": "day", "name": "Day", "destination": {"context": "flow-day"}, "parameters": [TEXT]},
        {"id": "night", "name": "Night", "destination": {"context": "flow-night"}},
    ],
    "campaigns": [
        {
            "id": "win-back",
            "company": "acme",
            "name": "Win back",
            "direction": "outbound",
            "accept_incoming": True,
            "destination": {"context": "campaign-win-back"},
            "caller_ids": [OUR],
        }
    ],
    "numbers": [
        {"number": DAY, "company": "acme", "call_flow": "day", "parameters": {"TEXT": "Good, day"}},
        {"number": NIGHT, "company": "acme", "call_flow": "night", "updates": [{"at": AHEAD, "call_flow": "day"}]},
        {"number": OUR, "company": "acme", "call_flow": "day"},
        {"number": POOL, "kind": "pool"},
    ],
}
DECIDED = {DAY: "flow-day", NIGHT: "flow-night", OUR: "flow-day", POOL: "ringway-default"}


def day_to(context: str) -> dict[str, Any]:
    """A change of the flow by day."""
    return {"call_flows": [{"id": "day", "name": "Day", "destination": {"context": context}, "parameters": [TEXT]}]}


@pytest.fixture(scope="module")
def last(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return unpacked(tmp_path_factory.mktemp("last-release"))


@pytest.fixture(params=["the last release first", "this one first"])
def order(request: pytest.FixtureRequest, last: Release) -> tuple[Release, Release]:
    """Which one makes the store, and which one comes to it."""
    return (last, THIS) if request.param == "the last release first" else (THIS, last)


def load(release: Release, config: pathlib.Path, data: object) -> None:
    done = ringway("load", "-", config=config, stdin=json.dumps(data), environment=release.environment)
    assert done.status == 0, done.err


def dumped(release: Release, config: pathlib.Path) -> str:
    """What it dumps, without what is said about the rows."""
    done = ringway("dump", config=config, environment=release.environment)
    assert done.status == 0, done.err
    return "\n".join(line for line in done.out.splitlines() if line and not line.startswith("#"))


def decided(router: Router, **calls: str) -> dict[str, str]:
    return {did: router.ask(did, **calls)["ROUTE_CONTEXT"] for did in DECIDED}


def call_back(router: Router, subscriber: str, call_id: str) -> str:
    return router.ask(OUR, subscriber, call_id)["ROUTE_REASON"]


def report(release: Release, router: Router, subscriber: str) -> None:
    """A campaign's call to the subscriber, not answered, told to that router."""
    words = ("report-attempt", "win-back", subscriber, OUR, "--agi", f"127.0.0.1:{router.agi_port}")
    done = ringway(*words, environment=release.environment)
    assert done.status == 0, done.err
    router.wait_for("attempt", subscriber=subscriber)


def test_each_version_is_the_one_that_it_is_meant_to_be(last: Release) -> None:
    """Else nothing of what follows would show anything."""
    code = "import router, dialplan; print(router.__file__); print(dialplan.__file__)"
    for release in (last, THIS):
        done = ringway("-Pc", code, environment=release.environment, program="python")
        assert [pathlib.Path(line).parents[1] for line in done.out.split()] == [release.folder] * 2


def test_a_file_goes_from_one_to_the_other_and_back(order: tuple[Release, Release], tmp_path: pathlib.Path) -> None:
    first, second = order
    config = write_config(tmp_path)
    load(first, config, DATA)
    for release in (first, second, first):
        with running_router(tmp_path, data=None, environment=release.environment) as router:
            assert decided(router) == DECIDED
        assert json.loads(ringway("dump", "--json", config=config, environment=release.environment).out)
    load(second, config, day_to("flow-new-day"))
    for release in (first, second):
        with running_router(tmp_path, data=None, environment=release.environment) as router:
            assert router.ask(DAY)["ROUTE_CONTEXT"] == "flow-new-day"


def test_what_one_dumps_the_other_loads(order: tuple[Release, Release], tmp_path: pathlib.Path) -> None:
    first, second = order
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    config, other = write_config(here), write_config(there)
    load(first, config, DATA)
    whole = ringway("dump", config=config, environment=first.environment).out
    done = ringway("load", "--replace", "-", config=other, stdin=whole, environment=second.environment)
    assert done.status == 0, done.err
    assert dumped(second, other) == dumped(second, config)


def test_attempts_in_a_file_entitle_under_the_other_version(
    order: tuple[Release, Release], tmp_path: pathlib.Path
) -> None:
    first, second = order
    load(first, write_config(tmp_path), DATA)
    with running_router(tmp_path, data=None, environment=first.environment) as router:
        report(first, router, ANNA)
        report(first, router, BORIS)
        assert call_back(router, BORIS, "call.1") == "callback-campaign"
    with running_router(tmp_path, data=None, environment=second.environment) as router:
        assert call_back(router, ANNA, "call.2") == "callback-campaign"
        assert call_back(router, BORIS, "call.1") == "callback-campaign"  # the same call asks again
        assert call_back(router, BORIS, "call.3") == "callback-used"
    with running_router(tmp_path, data=None, environment=first.environment) as router:
        assert call_back(router, ANNA, "call.4") == "callback-used"


def listed(config: pathlib.Path, *words: str) -> list[str]:
    """To whom the attempts went that this version lists, the newest first."""
    done = ringway("attempts", "--json", *words, config=config, environment=THIS.environment)
    assert done.status == 0, done.err
    return [each["subscriber"] for each in json.loads(done.out)]


def test_attempts_in_a_file_are_listed_whichever_version_wrote_them_down(
    order: tuple[Release, Release], tmp_path: pathlib.Path
) -> None:
    config = write_config(tmp_path)
    load(order[0], config, DATA)
    for release, subscriber in (*zip(order, (ANNA, BORIS), strict=True), (order[0], ANNA)):
        with running_router(tmp_path, data=None, environment=release.environment) as router:
            report(release, router, subscriber)
    assert listed(config, "--campaign", "win-back") == listed(config, "--number", OUR) == [ANNA, BORIS, ANNA]
    assert listed(config, "--subscriber", ANNA) == [ANNA, ANNA]


def _until(router: Router, did: str, name: str, value: str) -> None:
    wait_until(lambda: router.ask(did)[name] == value, f"{name}={value} for {did}")


class TestOneRedis:
    """Both versions run at once, as in a rolling upgrade."""

    @pytest.fixture
    def redis(self) -> Iterator[RedisServer]:
        with running_redis() as server:
            yield server

    @pytest.fixture
    def routers(
        self, order: tuple[Release, Release], redis: RedisServer, tmp_path: pathlib.Path
    ) -> Iterator[list[tuple[Release, Router]]]:
        first, second = order
        folders = [tmp_path / "first", tmp_path / "second"]
        for folder in folders:
            folder.mkdir()
        configs = [
            write_config(folder, {"store": {"url": redis.url, "snapshot": str(folder / "snapshot.db")}})
            for folder in folders
        ]
        load(first, configs[0], DATA)
        with (
            self._router(folders[0], redis, first) as one,
            self._router(folders[1], redis, second) as other,
        ):
            yield [(first, one), (second, other)]

    def _router(self, folder: pathlib.Path, redis: RedisServer, release: Release) -> AbstractContextManager[Router]:
        settings: Settings = {"store": {"url": redis.url, "snapshot": str(folder / "snapshot.db")}}
        return running_router(folder, data=None, settings=settings, environment=release.environment)

    def test_both_follow_what_either_loads(self, routers: list[tuple[Release, Router]]) -> None:
        for _, router in routers:
            assert decided(router) == DECIDED
        for place, (release, router) in enumerate(routers):
            load(release, router.config, day_to(f"flow-by-{place}"))
            for _, each in routers:
                _until(each, DAY, "ROUTE_CONTEXT", f"flow-by-{place}")
        versions = {router.metrics()["ringway_table_version"] for _, router in routers}
        digests = {router.metrics()["ringway_table_digest"] for _, router in routers}
        assert (len(versions), len(digests)) == (1, 1)

    def test_an_entitlement_is_consumed_once_whichever_gives_it(self, routers: list[tuple[Release, Router]]) -> None:
        for place, (release, router) in enumerate(routers):
            subscriber = f"+44770090020{place}"
            report(release, router, subscriber)
            (_, other) = routers[1 - place]
            assert call_back(other, subscriber, f"{place}.1") == "callback-campaign"
            assert call_back(router, subscriber, f"{place}.2") == "callback-used"
            assert call_back(router, subscriber, f"{place}.1") == "callback-campaign"

    def test_attempts_are_listed_whichever_wrote_them_down(self, routers: list[tuple[Release, Router]]) -> None:
        (_, one), _ = routers
        told: list[str] = []
        for subscriber in (ANNA, BORIS):
            for release, router in routers:
                report(release, router, subscriber)
                told.insert(0, subscriber)
            assert listed(one.config, "--campaign", "win-back") == listed(one.config, "--number", OUR) == told
            assert listed(one.config, "--subscriber", subscriber) == [subscriber] * 2

    def test_a_removed_number_is_gone_from_both(self, routers: list[tuple[Release, Router]]) -> None:
        release, router = routers[1]
        rest = DATA | {"numbers": [each for each in DATA["numbers"] if each["number"] != NIGHT]}
        words = ("load", "--replace", "-")
        done = ringway(*words, config=router.config, stdin=tomli_w.dumps(rest), environment=release.environment)
        assert done.status == 0, done.err
        for _, each in routers:
            _until(each, NIGHT, "ROUTE_REASON", "unknown-number")


class TestTheWayBack:
    """A version that is still to come has written, and this one is put back: over a file, and over one Redis."""

    LATER = (
        (2, "day", DATA["call_flows"][0] | {"colour": "red", "destination": {"context": "flow-day", "label": None}}),
        (4, DAY, DATA["numbers"][0] | {"tags": ["vip"]}),
        (4, OUR, DATA["numbers"][2] | {"callback_rule": "force-maybe"}),
        (9, "office", {"id": "office", "days": ["mo"]}),
    )

    @pytest.fixture(params=["file", "redis"])
    def settings(self, request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Settings]:
        if request.param == "file":
            yield {}
            return
        with running_redis() as server:
            yield {"store": {"url": server.url, "snapshot": str(tmp_path / "snapshot.db")}}

    def put(self, config: pathlib.Path, *rows: later_rows.Behind) -> None:
        async def use() -> None:
            store = stores_of(from_process(str(config)).store).rows
            await store.open()
            await later_rows.put(store, *rows)
            await store.close()

        asyncio.run(use())

    def test_calls_loads_and_dumps_go_on_and_the_later_version_finds_all_that_it_wrote(
        self, settings: Settings, tmp_path: pathlib.Path
    ) -> None:
        config = write_config(tmp_path, settings)
        load(THIS, config, DATA)
        self.put(config, *self.LATER)
        with running_router(tmp_path, data=None, settings=settings) as router:
            assert decided(router) == DECIDED | {OUR: "ringway-default"}
            assert router.ask(OUR, ANNA)["ROUTE_REASON"] == "unknown-number"
            assert router.ask(OUR, ANNA)["ROUTE_CACHE"] == "no"
            assert router.wait_for("rows_left_out")["rows"] == ["rows of kind 9 office", f"numbers {OUR}"]
            metrics = router.metrics()
            assert (metrics["ringway_table_rows_left_out"], metrics["ringway_table_rows_read_in_part"]) == (2, 2)
            load(THIS, config, day_to("flow-new-day"))
            _until(router, DAY, "ROUTE_CONTEXT", "flow-new-day")
            self.put(config, (4, NIGHT, DATA["numbers"][1] | {"kind": "stock"}))
            _until(router, NIGHT, "ROUTE_REASON", "unknown-number")
            load(THIS, config, {"numbers": [DATA["numbers"][1]]})
            _until(router, NIGHT, "ROUTE_REASON", "assigned")
            assert ringway("status", config=router.config).out.count("rows_left_out") == 1
        dump = ringway("dump", "--json", config=config).out
        done = ringway("load", "--replace", "-", config=config, stdin=dump)
        assert done.out.startswith("nothing to change"), done.err
        found = {each["id"]: each for each in json.loads(dump)["call_flows"]}
        assert json.loads(found["day"]["_unknown"]) == {"colour": "red", "destination": {"label": None}}
