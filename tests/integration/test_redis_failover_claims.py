"""Callbacks through a real failover: the master is killed while two routers write attempts down and give entitlements.

What Redis kept holds: no entitlement of it is consumed twice, and no attempt of it is missing. What the new master
lacks is what the old one acknowledged in its last moments, and the routers tell of it.
"""

import asyncio
import contextlib
import itertools
import math
import pathlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog

from dialplan.campaigns.attempts import Attempt, AttemptReport, Outcome
from dialplan.campaigns.callbacks import ClaimStatus
from dialplan.numbering.numbers import Bare
from router.callbacks.service import CallbackService
from router.observe.metrics import Metrics
from router.store.api import Recorded
from router.store.local.outbox import OutboxCallbackStore
from router.store.redis import connection as redis_connection
from router.store.redis.address import Options, parse
from router.store.redis.callbacks import RedisCallbackStore
from router.store.sqlite.callbacks import SqliteCallbackStore
from tests.processes import PATIENCE_SECONDS, wait_until
from tests.property.linearizable import Answer, Callback, Seen, Word, find_order, shown
from tests.redis_server import RedisServer, Sentinels
from tests.samples import campaign, company, number
from tests.tables import table_of

OUR = "+442079460000"
NOW = 1_700_000_000.0
WINDOWS = {"win-back": 24 * 3600.0}
SINCE = {name: NOW - seconds for name, seconds in WINDOWS.items()}
TABLE = table_of(company(identified=True), campaign("win-back", direction="outbound"), number(OUR))
WORKERS = 6
MEANWHILE = 40  # pairs that are done before the master is killed, and after the routers are back

pytestmark = pytest.mark.long


class Here(SqliteCallbackStore):
    """Where a router keeps what Redis cannot take, and who was ever there."""

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__(path)
        self.kept_once: set[str] = set()

    async def record(self, attempts: Sequence[Attempt]) -> list[Recorded]:
        self.kept_once.update(each.subscriber for each in attempts)
        return await super().record(attempts)


class Router:
    """The callbacks of one router, as `ringway serve` puts them together."""

    def __init__(self, url: str, folder: pathlib.Path) -> None:
        self.capture = structlog.testing.LogCapture()
        log: Any = structlog.wrap_logger(None, processors=[self.capture], wrapper_class=structlog.BoundLogger)
        self.here = Here(folder / "callbacks.db")
        self.store = OutboxCallbackStore(RedisCallbackStore(parse(url), Options()), self.here, log)
        self.callbacks = CallbackService(
            self.store, lambda: TABLE, "own-flow", ("GB", Bare.E164), log, Metrics(), shared=True
        )

    def said(self, event: str) -> int:
        return sum(entry["event"] == event for entry in self.capture.entries)

    def in_step(self) -> bool:
        """Whether Redis is there for it again, and nothing waits here."""
        return self.said("callbacks_up") == self.said("callbacks_down") and not self.store._waiting

    async def see(self, subscriber: str, name: str) -> bool:
        return await self.callbacks.report(AttemptReport(name, "win-back", OUR, subscriber, NOW, Outcome.MISSED))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - what a router knows has no event
            await asyncio.sleep(0.002)


@pytest.fixture
def sentinels(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sentinels]:
    monkeypatch.setattr(redis_connection, "REDIS_COMMAND_SECONDS", 3.0)  # the sentinels are asked within them, too
    with Sentinels() as running:
        yield running


@pytest.fixture
async def routers(sentinels: Sentinels, tmp_path: pathlib.Path) -> AsyncIterator[list[Router]]:
    """Two that run, each with a folder of its own."""
    made = [Router(sentinels.url, tmp_path / name) for name in ("a", "b")]
    async with contextlib.AsyncExitStack() as stack:
        for each in made:
            await each.store.open()
            stack.push_async_callback(each.store.close)
            await each.callbacks.load()
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(each.callbacks.run()) for each in made]
            yield made
            for task in running:
                task.cancel()


@pytest.fixture
async def straight(sentinels: Sentinels) -> AsyncIterator[RedisCallbackStore]:
    """The store without any router around it."""
    store = RedisCallbackStore(parse(sentinels.url), Options())
    yield store
    await store.close()


@dataclass
class Flow:
    """Attempts of ever new pairs, and for each two calls, each of which asks both routers at once."""

    routers: list[Router]
    seen: dict[str, list[Seen]] = field(default_factory=dict)
    names: Iterator[int] = field(default_factory=itertools.count)
    decided: int = 0  # pairs of which Redis itself answered every question
    stopped: bool = False

    async def run(self) -> None:
        await asyncio.gather(*(self._work() for _ in range(WORKERS)))

    async def _work(self) -> None:
        while not self.stopped:
            place = next(self.names)
            subscriber = f"+4477009{place:05}"
            history = self.seen[subscriber] = []
            word = Word(f"attempt-{place}", "win-back", NOW, "missed")
            asked_at = time.monotonic()
            assert await self.routers[place % 2].see(subscriber, word.attempt)
            history.append(Seen(word, asked_at, time.monotonic()))
            calls = [Callback(f"call-{name}", NOW + 1) for name in ("x", "y")]
            asked = [self._ask(router, subscriber, call) for call in calls for router in self.routers]
            history += await asyncio.gather(*asked)
            if all(each.answer is not None for each in history[1:]):
                self.decided += 1
            else:
                await asyncio.sleep(0.05)  # what is declared comes at once: no thousands of pairs of these

    async def _ask(self, router: Router, subscriber: str, call: Callback) -> Seen:
        asked_at = time.monotonic()
        claim = await router.callbacks.claim(OUR, subscriber, call.call, call.began, SINCE)
        if claim.declared:  # whether Redis has done it is not known
            return Seen(call, asked_at)
        answer = Answer(claim.status, claim.attempt.id if claim.attempt is not None else "")
        return Seen(call, asked_at, time.monotonic(), answer)


async def judged(store: RedisCallbackStore, subscriber: str, history: list[Seen], *, kept_here: bool) -> bool:
    """Whether all that was seen of a pair fits into one order, and what Redis says of it now behind it."""
    word, *asked = history
    # One that was kept at a router is done when it is handed over.
    whole = [word._replace(answered_at=math.inf) if kept_here else word, *asked]
    for call in dict.fromkeys(each.what for each in asked):
        assert isinstance(call, Callback)
        asked_at = time.monotonic()
        claim = await store.claim(OUR, subscriber, call.call, call.began, SINCE)
        answer = Answer(claim.status, claim.attempt.id if claim.attempt is not None else "")
        whole.append(Seen(call, asked_at, time.monotonic(), answer, "at the end"))
    history[:] = whole
    return find_order(whole, WINDOWS).fits


async def test_a_master_that_is_killed_in_the_middle_of_it_gives_no_entitlement_of_what_is_kept_twice(
    sentinels: Sentinels, routers: list[Router], straight: RedisCallbackStore
) -> None:
    flow = Flow(routers)
    flowing = asyncio.create_task(flow.run())
    try:
        await until(lambda: flow.decided >= MEANWHILE or flowing.done())
        old = sentinels.master()
        await asyncio.to_thread(old.kill)
        killed_at = time.monotonic()
        await asyncio.to_thread(sentinels.wait_promoted, old)
        await until(lambda: flowing.done() or all(each.in_step() for each in routers))
        decided = flow.decided
        await until(lambda: flow.decided >= decided + MEANWHILE or flowing.done())
    finally:
        flow.stopped = True
        await flowing
    await until(lambda: all(each.in_step() for each in routers))

    attempts = {each.subscriber for each in await straight.attempts(None, None, 1_000_000)}

    async def is_whole(subscriber: str, history: list[Seen]) -> bool:
        """Whether nothing of a pair is lost; whatever may never be is checked."""
        uses = [use.call_id for use in await straight.uses(OUR, subscriber, math.inf)]
        entitlements = [each for each in history if each.answer is not None and each.answer.status == "right"]
        of_new = {
            each.what.call for each in entitlements if each.asked_at > killed_at and isinstance(each.what, Callback)
        }
        assert len(uses) <= 1, shown(history)
        assert of_new <= set(uses), shown(history)  # what the new master has given, it has
        kept_here = any(subscriber in each.here.kept_once for each in routers)
        if await judged(straight, subscriber, history, kept_here=kept_here) and subscriber in attempts:
            return True
        # Only what the old master alone acknowledged may be missing.
        assert min(each.answered_at for each in history) < killed_at, shown(history)
        assert subscriber in attempts or not kept_here, shown(history)
        return False

    whole = await asyncio.gather(*(is_whole(*each) for each in flow.seen.items()))
    lost = whole.count(False)
    assert any(each.here.kept_once for each in routers)
    assert lost < WORKERS * 2  # its last moments: what was under way, at most


def cut_off(master: RedisServer, replica: RedisServer) -> None:
    """From here on the replica hears nothing of its master."""
    replica.client().config_set("masterauth", "what the master does not know")
    master.client().client_kill_filter(_type="replica")
    wait_until(lambda: replica.client().info("replication")["master_link_status"] == "down", "the replica is cut off")


@pytest.mark.parametrize("lost", ["attempt", "right"])
async def test_what_a_failover_has_lost_is_told_by_every_router_that_knew_of_it(
    sentinels: Sentinels, routers: list[Router], straight: RedisCallbackStore, lost: str
) -> None:
    """Also where the new master has as much to tell as the old one had."""
    old = sentinels.master()
    (replica,) = [each for each in sentinels.servers if each is not old]
    anna, boris, vera = (f"+44770090012{place}" for place in range(3))
    here, there = routers
    assert await here.see(anna, "kept")
    await until(lambda: there.callbacks.knows(OUR, anna))
    assert old.client().wait(1, int(PATIENCE_SECONDS * 1000)) == 1
    cut_off(old, replica)
    cursors = [each.callbacks._follower._cursor for each in routers]
    if lost == "attempt":
        assert await here.see(boris, "lost")
        await until(lambda: there.callbacks.knows(OUR, boris))
    else:
        assert (await here.callbacks.claim(OUR, anna, "call", NOW + 1, SINCE)).status is ClaimStatus.GRANTED
    await until(lambda: not any(each.callbacks._follower._cursor in cursors for each in routers))

    assert await asyncio.to_thread(sentinels.fail_over) is replica
    await straight.record([Attempt("new", "win-back", OUR, vera, NOW, Outcome.MISSED)])
    await until(lambda: all(each.said("attempts_full_read") == 1 for each in routers))
    await until(lambda: all(each.in_step() and each.callbacks.knows(OUR, vera) for each in routers))
    assert not any(each.callbacks.knows(OUR, boris) for each in routers)
    verdicts = [
        (await each.callbacks.claim(OUR, anna, f"later {place}", NOW + 2, SINCE)).status
        for place, each in enumerate(routers)
    ]
    assert verdicts == [ClaimStatus.GRANTED, ClaimStatus.CONSUMED]  # once, by what the new master has
