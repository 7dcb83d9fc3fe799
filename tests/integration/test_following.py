"""A running router takes up what is committed, at once and whole, and outlives whatever happens to its store."""

import asyncio
import itertools
import pathlib
import random
import shutil
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import pytest

from dialplan.dataset.changes import ChangeSet, Stored
from dialplan.kinds.call_flow import CallFlow
from dialplan.kinds.fields import Destination
from dialplan.kinds.registry import Row, RowKind
from router.store.sqlite.store import SqliteStore
from tests.integration import large
from tests.processes import (
    DEMO_DATA,
    PATIENCE_SECONDS,
    Router,
    Settings,
    load,
    ringway,
    running_router,
    wait_until,
    write_config,
)

UP = 'ringway_store_up{store="sqlite"}'
AGE = "ringway_table_age_seconds"


def flow(context: str) -> str:
    """The only flow of a small set, with its destination."""
    return f"""
[[companies]]
id = "acme"
name = "Acme"
region = "GB"
[[call_flows]]
id = "menu"
name = "Menu"
destination = {{ context = "{context}" }}
[[numbers]]
number = "02079460000"
company = "acme"
call_flow = "menu"
"""


def asked_until(router: Router, version: int) -> float:
    """Ask without a pause until an answer has that version; returns the moment of the answer."""
    end = time.monotonic() + PATIENCE_SECONDS
    while int(router.ask("02079460000")["ROUTE_VERSION"]) < version:
        assert time.monotonic() < end, f"version {version} was never taken up"
    return time.monotonic()


def told(capsys: pytest.CaptureFixture[str], what: str, seconds: list[float]) -> None:
    """Print what was measured; it is a figure to read, not a bound to keep."""
    shown = [1000 * each for each in seconds]
    with capsys.disabled():
        print(  # noqa: T201 - the figures are for whoever runs this
            f"\n{what}, {len(shown)} times: median {statistics.median(shown):.1f} ms, longest {max(shown):.1f} ms"
        )


def test_a_load_by_another_process_is_live_without_a_restart(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    took = []
    with running_router(tmp_path, data=flow("c-1")) as router:
        for version in range(2, 22):
            load(router.config, flow(f"c-{version}"))
            acknowledged = time.monotonic()
            took.append(asked_until(router, version) - acknowledged)
            answer = router.ask("02079460000")
            assert (answer["ROUTE_CONTEXT"], answer["ROUTE_VERSION"]) == (f"c-{version}", str(version))
        versions = [line["version"] for line in router.events("table")]
        assert versions == sorted(set(versions))
    told(capsys, "from the end of `ringway load` to the first answer of its version", took)


def test_a_commit_is_live_soon_after_it_is_acknowledged(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Closer than a command can: from the moment at which the store acknowledged it."""
    took = []

    async def commit(context: str) -> float:
        def change(_: Stored) -> ChangeSet:
            row: Row = CallFlow("menu", "Menu", Destination(context))
            return ChangeSet({RowKind.CALL_FLOW: {"menu": row}})

        store = SqliteStore(tmp_path / "ringway.db")
        await store.open()
        await store.commit(change)
        acknowledged = time.monotonic()
        await store.close()
        return acknowledged

    with running_router(tmp_path, data=flow("c-1")) as router:
        for version in range(2, 22):
            with ThreadPoolExecutor(1) as watching:
                first = watching.submit(asked_until, router, version)
                acknowledged = asyncio.run(commit(f"c-{version}"))
            took.append(max(0.0, first.result() - acknowledged))
    told(capsys, "from an acknowledged commit to the first answer of its version", took)


# --- calls while everything changes ---------------------------------------------------------------------------------


class Callers:
    """Threads that ask for random numbers without a pause, and check every answer."""

    def __init__(self, router: Router, count: int, right: Callable[[dict[str, str]], bool]) -> None:
        self.asked = 0
        self.versions: set[int] = set()
        self.wrong: list[object] = []
        self._router, self._count, self._right = router, count, right
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(random.Random(seed),)) for seed in range(3)]

    def _run(self, chance: random.Random) -> None:
        while not self._stop.is_set():
            try:
                answer = self._router.ask(large.number(chance.randrange(self._count)))
            except Exception as error:  # noqa: BLE001 - whatever it is, the test has to say it
                self.wrong.append(error)
                return
            self.asked += 1
            self.versions.add(int(answer["ROUTE_VERSION"]))
            if not self._right(answer):
                self.wrong.append(answer)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.parametrize(("count", "loads"), [(20_000, 3), (1_500, 5)], ids=["replaced-aside", "patched-in-place"])
def test_no_number_is_missing_or_mixed_while_all_are_replaced_again_and_again(
    tmp_path: pathlib.Path, count: int, loads: int
) -> None:
    """Version v has all numbers on flow f<v-1>: an answer with another flow is of two tables at once."""

    def right(answer: dict[str, str]) -> bool:
        flow = int(answer["ROUTE_VERSION"]) - 1
        return (answer["ROUTE_REASON"], answer["ROUTE_ID"], answer["ROUTE_CONTEXT"]) == (
            "assigned",
            f"f{flow}",
            f"flow-{flow}",
        )

    sets = [large.write(tmp_path / f"{flow}.json", count, flow) for flow in range(loads + 1)]
    with running_router(tmp_path, data=sets[0]) as router:
        with Callers(router, count, right) as callers:
            for version, path in enumerate(sets[1:], start=2):
                load(router.config, path)
                wait_until(lambda wanted=version: wanted in callers.versions, f"calls see version {version}")  # type: ignore[misc] # bound now
        assert callers.wrong == []
        assert callers.versions == set(range(1, loads + 2))
        assert callers.asked > 100
        router.wait_for("table", version=loads + 1)
        changes = [line["changed"] for line in router.events("table")][1:]
        assert changes == [count] * loads


@pytest.mark.long
def test_a_version_that_was_slept_through_is_no_gap(tmp_path: pathlib.Path) -> None:
    """Several commits between two looks: the router takes the last one, and everything that changed on the way."""
    with running_router(tmp_path, data=flow("c-1"), start=False) as router:
        router.start()
        for step in range(5):
            load(router.config, flow(f"c-{step + 2}") + f'[[companies]]\nid = "b{step}"\nname = "B"\nregion = "GB"\n')
        asked_until(router, 6)
        assert router.ask("02079460000")["ROUTE_CONTEXT"] == "c-6"


# --- what may happen to the store -----------------------------------------------------------------------------------


def remove(router: Router) -> None:
    """Take the store away, with what SQLite keeps beside it."""
    for path in router.store_path.parent.glob("ringway.db*"):
        path.unlink()


def other_store(folder: pathlib.Path, data: str) -> pathlib.Path:
    """A store made elsewhere, by a load of its own."""
    folder.mkdir()
    load(write_config(folder), data)
    return folder / "ringway.db"


def settled_down(router: Router) -> None:
    """The router has said that its store is away, goes on with what it has, and says how old that is."""
    router.wait_for("store_down")
    wait_until(lambda: router.metrics()[UP] == 0, "store_up is 0")
    ages = [router.metrics()[AGE]]
    wait_until(lambda: router.metrics()[AGE] > ages[0] + 0.5, "the table's age grows")
    answer = router.ask("02079460000")
    assert (answer["ROUTE_CONTEXT"], answer["ROUTE_REASON"]) == ("c-1", "assigned")


def recovered(router: Router, context: str) -> None:
    """The router has taken up what its store says now."""
    wait_until(lambda: router.ask("02079460000")["ROUTE_CONTEXT"] == context, f"{context} is taken up")
    router.wait_for("store_up")
    wait_until(lambda: router.metrics()[UP] == 1, "store_up is 1")
    wait_until(lambda: router.metrics()[AGE] < 2, "the table is young again")


def test_a_deleted_store_leaves_the_last_good_table_until_one_is_loaded_anew(tmp_path: pathlib.Path) -> None:
    with running_router(tmp_path, data=flow("c-1")) as router:
        remove(router)
        settled_down(router)
        assert not router.store_path.exists()
        load(router.config, flow("c-2"))
        recovered(router, "c-2")


@pytest.mark.long
def test_an_emptied_store_does_not_empty_the_table(tmp_path: pathlib.Path) -> None:
    with running_router(tmp_path, data=flow("c-1")) as router:
        remove(router)
        router.store_path.touch()
        settled_down(router)
        load(router.config, flow("c-2"))
        recovered(router, "c-2")


def test_a_store_that_is_being_made_anew_does_not_empty_the_table(tmp_path: pathlib.Path) -> None:
    """A load of nothing makes one at version 0, without a single number."""
    empty = other_store(tmp_path / "empty", "")
    with running_router(tmp_path, data=flow("c-1")) as router:
        for name in ("ringway.db-wal", "ringway.db-shm"):
            router.store_path.with_name(name).unlink()
        empty.rename(router.store_path)
        settled_down(router)
        assert "was rebuilt" in router.events("store_down")[0]["error"]
        load(router.config, flow("c-2"))
        recovered(router, "c-2")


def test_another_store_in_its_place_is_taken_as_a_whole(tmp_path: pathlib.Path) -> None:
    new = other_store(tmp_path / "new", flow("c-2"))
    with running_router(tmp_path, data=flow("c-1")) as router:
        remove(router)
        new.rename(router.store_path)
        wait_until(lambda: router.ask("02079460000")["ROUTE_CONTEXT"] == "c-2", "the other store is taken up")
        load(router.config, flow("c-3"))
        asked_until(router, 2)
        assert router.ask("02079460000")["ROUTE_CONTEXT"] == "c-3"
        assert router.metrics()[UP] == 1


def test_a_damaged_store_leaves_the_last_good_table_until_a_good_one_is_back(tmp_path: pathlib.Path) -> None:
    good = other_store(tmp_path / "good", flow("c-2"))
    (tmp_path / "junk").write_bytes(b"junk, not a database " * 4_000)
    with running_router(tmp_path, data=flow("c-1")) as router:
        remove(router)
        (tmp_path / "junk").rename(router.store_path)
        settled_down(router)
        assert "damaged" in router.events("store_down")[0]["error"]
        shutil.copy(good, tmp_path / "copy.db")
        (tmp_path / "copy.db").rename(router.store_path)
        recovered(router, "c-2")


def test_a_store_scribbled_over_in_place_does_not_stop_calls_or_the_router(tmp_path: pathlib.Path) -> None:
    good = other_store(tmp_path / "good", flow("c-2"))
    with running_router(tmp_path, data=flow("c-1")) as router:
        size = router.store_path.stat().st_size
        with router.store_path.open("r+b") as file:
            file.write(random.Random(1).randbytes(size))
        ringway("load", "-", config=router.config, stdin=flow("c-9"))  # whatever comes of it
        answer = router.ask("02079460000")
        assert answer["ROUTE_STATUS"] == "OK"
        remove(router)
        shutil.copy(good, tmp_path / "copy.db")
        (tmp_path / "copy.db").rename(router.store_path)
        wait_until(lambda: router.ask("02079460000")["ROUTE_CONTEXT"] == "c-2", "the good store is taken up")
        assert router.terminate() == 0
        assert "Traceback" not in router.err


@pytest.mark.long
def test_a_router_that_is_killed_starts_with_the_last_acknowledged_set(tmp_path: pathlib.Path) -> None:
    with running_router(tmp_path, data=flow("c-1")) as router:
        for step in range(2, 4):
            load(router.config, flow(f"c-{step}"))
            router.kill()
            load(router.config, flow(f"c-{step}-away"))
            router.start()
            assert router.ask("02079460000")["ROUTE_CONTEXT"] == f"c-{step}-away"


@pytest.mark.long
def test_two_routers_on_one_store_tell_the_same(tmp_path: pathlib.Path) -> None:
    (tmp_path / "second").mkdir()
    with running_router(tmp_path, data=DEMO_DATA) as first:
        shared: Settings = {"store": {"url": f"sqlite://{first.store_path}"}}
        with running_router(tmp_path / "second", data=None, settings=shared) as second:
            load(first.config, flow("both"), "--replace", "--yes")
            for router, _ in itertools.product((first, second), range(2)):
                asked_until(router, 2)
                assert router.ask("02079460000")["ROUTE_CONTEXT"] == "both"
