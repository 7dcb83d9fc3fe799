"""Stores of a real Redis, a router's table that follows one, and what is asked of them while something breaks."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, Self

import pytest
import structlog

from dialplan.campaigns.attempts import Attempt, Outcome
from dialplan.campaigns.callbacks import ClaimStatus
from dialplan.campaigns.retention import Cutoffs
from dialplan.dataset.changes import ChangeSet
from dialplan.kinds.call_flow import CallFlow
from dialplan.kinds.fields import Destination
from dialplan.kinds.registry import Row, RowKind
from router.observe.metrics import Metrics
from router.store.api import Commit, Prepare, StoreError
from router.store.redis import store as store_redis
from router.store.redis.address import Options, parse
from router.store.redis.callbacks import RedisCallbackStore
from router.store.redis.connection import Link, Reply
from router.store.redis.counters import RedisCounterStore
from router.store.redis.inspection import inspect
from router.store.redis.lua_script import Script
from router.store.redis.store import RedisStore
from router.store.table_sync import TableSync
from tests.fault_proxy import FaultProxy
from tests.processes import PATIENCE_SECONDS

OUR, ANNA, BORIS = "+442079460000", "+447700900123", "+447700900456"
SINCE = {"win-back": 0.0}


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
    def full(self) -> float:
        return self.value("table_full_reads_total")

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


def before(monkeypatch: pytest.MonkeyPatch, script: Script, act: Callable[[], None]) -> None:
    """Do something right before a script is sent, whoever sends it."""
    original = Link.script

    async def ask(link: Link, asked: Script, *arguments: Any, **how: Any) -> Reply:
        if asked is script:
            act()
        return await original(link, asked, *arguments, **how)

    monkeypatch.setattr(Link, "script", ask)


class Armed:
    """Cuts the connection in the reply to the next question of one script, once."""

    def __init__(
        self, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, script: Script, after_bytes: int = 0
    ) -> None:
        self.gone_off = False
        self._proxy = proxy
        self._after_bytes = after_bytes
        before(monkeypatch, script, self._cut)

    def _cut(self) -> None:
        if not self.gone_off:
            self.gone_off = True
            self._proxy.reset_in_reply(self._after_bytes)


async def everything(store: RedisStore, calls: RedisCallbackStore) -> None:
    """Whatever a router or a command asks a store for, each script at least once."""
    await store.open()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(store_redis, "REDIS_LOG_ROWS_MAX", 3)
        patched.setattr(store_redis, "STORE_BATCH_ROWS", 1)
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
    assert not changes.full
    assert [len(batch) async for batch in changes.batches] == [1]
    assert (
        await store.view(lambda stored: [stored.get(RowKind.CALL_FLOW, "b"), *stored.rows(RowKind.NUMBER)].clear()) == 5
    )

    await calls.open()
    attempts = [Attempt(str(place), "win-back", OUR, ANNA, 100.0 + place, Outcome.MISSED) for place in range(3)]
    attempts += [Attempt("failed", "win-back", OUR, ANNA, 90.0, Outcome.FAILED)]
    await calls.record(attempts)
    found = await calls.changes("", 0)
    assert len(found.attempts) == 3
    assert (await calls.claim(OUR, ANNA, "call", 200.0, SINCE)).status is ClaimStatus.GRANTED
    assert (await calls.claim(OUR, ANNA, "call", 200.0, SINCE)).again
    assert (await calls.claim(OUR, ANNA, "later", 201.0, SINCE)).status is ClaimStatus.CONSUMED
    await calls.history(OUR, ANNA, 300.0)
    assert len(await calls.attempts(None, None, 10)) == 4
    assert len((await calls.changes(found.cursor, 0.01)).attempts) == 0
    counters = RedisCounterStore(calls.link)
    assert [await counters.next("numbers"), await counters.next("numbers")] == [1, 2]
    assert await calls.purge(Cutoffs({"win-back": 102.0}, 0.0)) == 3
    assert len((await calls.changes("", 0)).attempts) == 1
    said = await inspect(calls.link)
    assert (said.refused, said.clock_ahead is not None) == ((), True)
