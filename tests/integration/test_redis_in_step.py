"""Two routers on one Redis: what is committed by anybody is live in both, and their tables stay equal."""

import asyncio
import itertools
import pathlib
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack

import pytest

from dialplan.dataset.changes import ChangeSet
from dialplan.kinds.call_flow import CallFlow
from dialplan.kinds.fields import Destination
from dialplan.kinds.number import Number
from dialplan.kinds.registry import Row, RowKind
from router.store.redis.address import Options, parse
from router.store.redis.store import RedisStore
from tests.fastagi import environment_lines, place
from tests.processes import DEMO_DATA, Router, load, ringway, running_router, wait_until, write_config
from tests.redis_server import RedisServer, running_redis
from tests.samples import ACME, ACME_NUMBER

DATA = ACME + ACME_NUMBER
A_SECOND, SECONDS = 1_000, 10
RESERVED = [f"+4420794601{place:02}" for place in range(3)]
POOL = [f"+4420794602{place:02}" for place in range(7)]
CALLS = 500
CALLER_IDS = (
    "".join(
        f"""
[[campaigns]]
id = "{name}"
company = "acme"
name = "{name}"
direction = "outbound"
destination = {{ context = "campaign" }}
caller_ids = {numbers}
"""
        for name, numbers in (("reserved", RESERVED), ("pooled", []))
    )
    + "".join(f'[[numbers]]\nnumber = "{each}"\ncompany = "acme"\n' for each in RESERVED)
    + "".join(f'[[numbers]]\nnumber = "{each}"\nkind = "pool"\n' for each in POOL)
)


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture
def routers(redis: RedisServer, tmp_path: pathlib.Path) -> Iterator[list[Router]]:
    """Two, each on a machine of its own but for the name."""
    with ExitStack() as running:
        made: list[Router] = []
        for name in ("one", "two"):
            folder = tmp_path / name
            folder.mkdir()
            settings = {"store": {"url": redis.url, "snapshot": str(folder / "snapshot.db")}}
            made.append(running.enter_context(running_router(folder, data=None, settings=settings, start=False)))
        load(made[0].config, DATA)
        for each in made:
            each.start()
        yield made


def digests(routers: list[Router]) -> set[tuple[float, float]]:
    """Version and digest of each table."""
    pages = [each.metrics() for each in routers]
    return {(page["ringway_table_version"], page["ringway_table_digest"]) for page in pages}


def test_a_user_of_the_file_moves_over_with_one_setting_and_one_command(
    redis: RedisServer, tmp_path: pathlib.Path
) -> None:
    configs = []
    for name, store in (("file", {}), ("shared", {"url": redis.url})):
        (tmp_path / name).mkdir()
        configs.append(write_config(tmp_path / name, {"store": store}))
    file, shared = configs
    load(file, DEMO_DATA)
    dumped = ringway("dump", config=file).out
    assert ringway("load", "-", config=shared, stdin=dumped).status == 0
    assert ringway("dump", config=shared).out == dumped
    decisions = [ringway("route", "02079460000", "--json", config=each).json() for each in configs]
    assert decisions[0] | {"at": ""} == decisions[1] | {"at": ""}


def test_a_change_is_live_in_every_router(
    redis: RedisServer, routers: list[Router], capsys: pytest.CaptureFixture[str]
) -> None:
    """From the moment at which the store acknowledged a commit to the first answer by it of the last router."""

    def answered(router: Router, context: str) -> float:
        wait_until(lambda: router.ask("02079460000")["ROUTE_CONTEXT"] == context, f"{context} is live")
        return time.monotonic()

    async def commit(context: str) -> float:
        rows: dict[str, Row | None] = {"menu": CallFlow("menu", "Menu", Destination(context))}
        store = RedisStore(parse(redis.url), Options())
        await store.open(make=False)
        await store.commit(lambda _: ChangeSet({RowKind.CALL_FLOW: rows}))
        acknowledged = time.monotonic()
        await store.close()
        return acknowledged

    took: list[float] = []
    with ThreadPoolExecutor(2) as watching:
        for version in range(2, 22):
            seen = [watching.submit(answered, each, f"c-{version}") for each in routers]
            acknowledged = asyncio.run(commit(f"c-{version}"))
            took.append(1000 * max(0.0, *(each.result() - acknowledged for each in seen)))
            assert digests(routers) == digests(routers[:1])
    with capsys.disabled():
        print(f"\nlive in both routers, 20 times: median {statistics.median(took):.1f} ms, longest {max(took):.1f} ms")  # noqa: T201


@pytest.mark.long
@pytest.mark.parametrize("rows_each", [1, 10])
def test_tables_stay_equal_through_a_flood_of_changes(
    redis: RedisServer, routers: list[Router], capsys: pytest.CaptureFixture[str], rows_each: int
) -> None:
    """As many rows as come in 10 s at 1,000 a second, one by one or ten a commit, by two writers, beside calls."""
    redis.command("CONFIG SET", "appendfsync", "everysec")  # as docs/redis.md has it
    commits = A_SECOND * SECONDS // rows_each // 2

    async def write(offset: int) -> None:
        store = RedisStore(parse(redis.url), Options())
        await store.open(make=False)
        try:
            for commit in range(commits):
                rows: dict[str, Row | None] = {}
                for place in range(rows_each):
                    key = f"+4420{10_000_000 + offset + (commit * rows_each + place) % 700:08}"
                    number = Number(key, company="acme", call_flow="menu", name=f"{commit}")
                    rows[key] = None if (commit + place) % 11 == 0 else number
                await store.commit(lambda _, rows=rows: ChangeSet({RowKind.NUMBER: rows}))  # type: ignore[misc]
        finally:
            await store.close()

    began = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        writing = [pool.submit(lambda offset=offset: asyncio.run(write(offset))) for offset in (0, 500)]  # type: ignore[misc]
        while not all(each.done() for each in writing):
            assert routers[0].ask("02079460000")["ROUTE_STATUS"] == "OK"
            assert routers[1].ask("02079460000")["ROUTE_STATUS"] == "OK"
            wait(writing, timeout=0.01)  # some hundred calls a second
        for each in writing:
            each.result()
    took = time.monotonic() - began
    version = 1 + 2 * commits
    wait_until(lambda: {seen for seen, _ in digests(routers)} == {version}, "both have come to the last version")
    assert len(digests(routers)) == 1
    fresh = routers[1]
    assert fresh.terminate() == 0
    fresh.start()  # what one reads as a whole is what the other followed change by change
    assert len(digests(routers)) == 1
    with capsys.disabled():
        rows = 2 * commits * rows_each
        print(f"\n{rows} rows in {2 * commits} commits: {rows / took:.0f} rows/s")  # noqa: T201


def test_numbers_are_shown_evenly_over_both_routers(routers: list[Router]) -> None:
    """Calls come to both at once, reserved numbers and the pool's: none is shown more than once more than another."""
    versions = load(routers[0].config, CALLER_IDS, "--json").json()
    wait_until(lambda: {seen for seen, _ in digests(routers)} == {versions["version"]}, "both have the campaigns")

    async def ask(router: Router, campaign: str, name: str) -> str:
        lines = environment_lines(
            {"agi_network_script": "caller-id", "agi_uniqueid": name}, [campaign, "+447700900123"]
        )
        call = await place("127.0.0.1", router.agi_port, lines)
        return call.variables["SHOW_NUMBER"]

    async def ask_all(campaign: str) -> list[str]:
        left = iter(range(CALLS))

        async def caller(router: Router) -> list[str]:
            return [await ask(router, campaign, f"{campaign}.{each}") for each in left]

        found = await asyncio.gather(*(caller(routers[each % 2]) for each in range(10)))
        return [number for each in found for number in each]

    for campaign, numbers in (("reserved", RESERVED), ("pooled", POOL)):
        use = Counter(asyncio.run(ask_all(campaign)))
        assert (use.total(), set(use)) == (CALLS, set(numbers))
        assert max(use.values()) - min(use.values()) <= 1, use
        turns = [asyncio.run(ask(routers[each % 2], campaign, f"turn.{each}")) for each in range(20)]
        assert all(first != second for first, second in itertools.pairwise(turns))
