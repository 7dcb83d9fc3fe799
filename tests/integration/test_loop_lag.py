"""The event loop waits for nothing that grows: how late its timers are while large work goes on under calls.

All of it at full size, a million numbers and a million pairs that were missed. A timer that is late by the machine's
fault looks like one that the router holds up: what misses its bound is done again, and has to keep it once.
"""

import contextlib
import json
import pathlib
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from io import BufferedRWPair
from itertools import islice
from typing import Any, NamedTuple

import msgspec
import pytest

from bench import dataset
from bench.attempts import attempts
from bench.calls import e164
from dialplan.campaigns.attempts import Attempt
from router.store.sqlite.connection import transaction
from tests.processes import REPOSITORY, Router, ringway, running_router, write_config
from tests.redis_server import RedisServer, running_redis

pytestmark = [pytest.mark.long, pytest.mark.alone, pytest.mark.timeout(1_200)]

NUMBERS = PAIRS = 1_000_000
POOL = 200_000
CHANGED = 100_000
LAG_MS, LAG_OF_A_CHANGE_MS = 10.0, 20.0
TRIES = 5
CALLS_PER_SECOND = 300
PIPED = 10_000


class Probed:
    """A router that says how late its timers were; see `tests.integration.lag_probe`."""

    def __init__(self, router: Router, stream: BufferedRWPair) -> None:
        self.router = router
        self._stream = stream

    def begin(self, what: str) -> None:
        """Let it do something; `lag_ms` waits for the end."""
        self._stream.write(f"{what}\n".encode())
        self._stream.flush()

    def lag_ms(self) -> float:
        """By how much a timer was late meanwhile, at the most; prints the longest garbage collection too."""
        told = self._stream.readline().decode().strip()
        print(f"{told} ms", end="; ")  # noqa: T201 - the figures are what pytest -s is for
        return float(told.split()[0])

    def least_lag_ms(self, what: str, bound_ms: float, do: Callable[[int], object] = lambda _: None) -> float:
        """Of as many tries as it takes to come below the bound. `do` is told which one it is."""
        found: list[float] = []
        while len(found) < TRIES and min(found, default=bound_ms) >= bound_ms:
            self.begin(what)
            do(len(found))
            found.append(self.lag_ms())
        print(f"{what}: {found} ms")  # noqa: T201 - the figures are what pytest -s is for
        return min(found)


class Site(NamedTuple):
    """Where the files of an installation are, and its settings."""

    folder: pathlib.Path
    settings: dict[str, Any]

    def load(self, *files: pathlib.Path) -> None:
        """Put them into the store."""
        assert ringway("load", *files, config=write_config(*self), seconds=900).status == 0


@contextlib.contextmanager
def probed(site: Site) -> Iterator[Probed]:
    """A router with the store of the site, under calls."""
    folder, settings = site
    place = str(folder / "probe")
    prefix = (sys.executable, "-m", "tests.integration.lag_probe", place)
    with (
        running_router(folder, data=None, settings=settings, prefix=prefix, popen={"cwd": REPOSITORY}) as router,
        socket.socket(socket.AF_UNIX) as link,
        calling(router),
    ):
        link.connect(place)
        yield Probed(router, link.makefile("rwb"))


@contextlib.contextmanager
def calling(router: Router) -> Iterator[None]:
    """Calls to the router, until the block ends."""
    words = ["--port", str(router.agi_port), "--rate", str(CALLS_PER_SECOND), "--calls", "1000000", "--any-answer"]
    command = [sys.executable, str(REPOSITORY / "bench" / "loadgen.py"), *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A million numbers, a pool of 200,000, and a million missed attempts."""
    folder = tmp_path_factory.mktemp("site")
    if request.param == "sqlite":
        site = Site(folder, {})
        fill(site)
        put_into_sqlite(folder / "ringway-callbacks.db")
        yield site
        return
    with running_redis() as server:
        site = Site(folder, {"store": {"url": server.url}})
        fill(site)
        put_into_redis(server)
        yield site


def fill(site: Site) -> None:
    """Load the numbers and the pool, and have a router make what attempts are put into."""
    folder = site.folder
    (numbers,) = dataset.parts(NUMBERS)
    files = [dataset.write_base(folder), dataset.write_numbers(folder, numbers, "json"), folder / "pool.json"]
    pool = [{"number": number, "kind": "pool"} for number in map(e164, range(NUMBERS, NUMBERS + POOL))]
    files[-1].write_text(json.dumps({"numbers": pool}))
    site.load(*files[:2])
    site.load(*files[2:])
    with running_router(folder, data=None, settings=site.settings):
        pass


def put_into_sqlite(file: pathlib.Path) -> None:
    """Attempts, as if campaigns had called."""
    with contextlib.closing(sqlite3.connect(file)) as database, transaction(database):
        rows = enumerate(attempts(NUMBERS, PAIRS, time.time()), start=1)
        values = ((*(at.number, at.subscriber, at.id, at.campaign, at.at, at.outcome.value), seq) for seq, at in rows)
        database.executemany("INSERT INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        database.execute("UPDATE meta SET seq = ?", (PAIRS,))


def put_into_redis(server: RedisServer) -> None:
    """Those of them that a full reading looks at."""
    with server.client() as client:
        for some in batched(attempts(NUMBERS, PAIRS, time.time()), PIPED):
            bodies = {f"{at.number} {at.subscriber} {at.id}": msgspec.json.encode(at) for at in some}
            client.hset("ringway:attempts", mapping=bodies)


def batched(things: Iterable[Attempt], count: int) -> Iterator[list[Attempt]]:
    """So many at a time."""
    left = iter(things)
    while some := list(islice(left, count)):
        yield some


@pytest.mark.parametrize("what", ["purge", "call_all", "read_attempts", "read_rows", "show_pool"])
def test_no_call_waits_for(site: Site, what: str) -> None:
    with probed(site) as router:
        assert router.least_lag_ms(what, LAG_MS) < LAG_MS


def test_no_call_waits_for_a_change_of_many_numbers_or_of_the_pool(site: Site) -> None:
    folder = site.folder

    def change(turn: int) -> None:
        file = dataset.write_numbers(folder, range(CHANGED), "json")
        file.write_text(file.read_text().replace('"Line ', f'"{turn} times changed, line '))
        load(file)

    def change_pool(turn: int) -> None:
        row = {"number": e164(NUMBERS + turn), "kind": "pool", "status": "disabled"}
        (folder / "change.json").write_text(json.dumps({"numbers": [row]}))
        load(folder / "change.json")

    def load(file: pathlib.Path) -> None:
        assert ringway("load", file, config=folder / "ringway.toml").status == 0

    with probed(site) as router:
        assert router.least_lag_ms("next_table", LAG_OF_A_CHANGE_MS, change) < LAG_OF_A_CHANGE_MS
        assert router.least_lag_ms("next_table", LAG_MS, change_pool) < LAG_MS
