"""Attempts past their campaign's window: deleted in time, in the store and in memory."""

import asyncio
import math
import time
import types
from collections import Counter

import pytest

from dialplan.campaigns.attempts import Attempt
from dialplan.campaigns.retention import Cutoffs, is_past
from router.callbacks import index, purge
from router.config.limits import ATTEMPT_KEEP_SECONDS, PURGE_JUMP_SECONDS, PURGE_PACE, PURGE_SECONDS
from router.store.api import StoreError
from tests.samples import company
from tests.tables import table_of
from tests.unit.router.rung import (
    ANNA,
    BORIS,
    HOUR,
    NOW,
    OVER,
    Running,
    Store,
    attempt,
    report,
    until,
    working,
)


async def test_what_is_past_its_campaigns_window_is_purged_from_store_and_memory(here: Running) -> None:
    async with working(here.made):
        await here.made.report(report("1"))
        await here.made.report(report("2", campaign="survey"))
        await here.made.report(report("3", at=NOW + HOUR, subscriber=BORIS))
    await here.made.purge(OVER, math.inf)
    assert {each.id for each in await here.store.everything()} == {"2", "3"}
    assert set(here.since(ANNA)) == {"survey"}
    assert set(here.since(BORIS)) == {"win-back"}
    await here.made.purge(OVER + 24 * HOUR, math.inf)
    assert await here.store.everything() == []
    assert not here.knows()
    assert [(entry["attempts"], entry["pairs"]) for entry in here.said("attempts_purged")] == [(1, 2), (2, 0)]
    await here.made.purge(OVER + 24 * HOUR, math.inf)
    assert len(here.said("attempts_purged")) == 2


async def test_what_is_left_of_a_campaign_that_is_gone_does_not_stay_for_ever(here: Running) -> None:
    async with working(here.made):
        await here.made.report(report())
    here.table = table_of(company())
    await here.made.purge(OVER, math.inf)
    assert len(await here.store.everything()) == 1  # it may come back
    assert here.knows()
    await here.made.purge(NOW + ATTEMPT_KEEP_SECONDS + 1, math.inf)
    assert await here.store.everything() == []
    assert not here.knows()


async def test_calls_have_their_turn_while_memory_is_purged(here: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between as many pairs as take a millisecond, about: there may be a million."""
    monkeypatch.setattr(index, "PURGE_PAIRS_AT_ONCE", 5)
    pairs = 20
    await here.store.record([attempt(str(place), subscriber=f"+4477009001{place:02}") for place in range(pairs)])
    await here.made.load()
    turn = 0
    purged_in: Counter[int] = Counter()

    def counted(each: Attempt, cutoffs: Cutoffs) -> bool:
        purged_in[turn] += 1
        return is_past(each, cutoffs)

    async def calls() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(index, "is_past", counted)
    calling = asyncio.create_task(calls())
    await here.made.purge(OVER, math.inf)
    calling.cancel()
    assert purged_in.total() == pairs
    assert max(purged_in.values()) == 5
    assert not here.knows("+447700900100")


async def test_a_router_that_starts_does_not_purge_at_once(here: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many that are started together none adds to the work of the start."""
    asked: list[int] = []

    async def purged_at() -> float | None:
        asked.append(1)
        return None

    monkeypatch.setattr(here.store, "purged_at", purged_at)
    async with working(here.made):
        await here.store.read.wait()
        await here.made.report(report())
    assert asked == []


async def test_purging_goes_on_by_itself_and_outlives_a_failure(here: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge, "PURGE_SECONDS", 0.0)
    monkeypatch.setattr(time, "time", lambda: OVER)
    tries = 0
    really = here.store.purge

    async def fails_first(cutoffs: Cutoffs) -> int:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise StoreError("gone for a moment")
        if tries == 2:
            raise RuntimeError("a slip")
        return await really(cutoffs)

    monkeypatch.setattr(here.store, "purge", fails_first)
    await here.store.record([attempt()])
    await here.store.note_purge(OVER)  # by the router that ran until then
    async with working(here.made):
        await until(lambda: here.said("attempts_purged"))
    assert await here.store.everything() == []
    assert [entry["error"] for entry in here.said("attempts_not_purged")] == ["gone for a moment", "a slip"]


# --- a clock that is wrong --------------------------------------------------------------------------------------------

MONTH = 30 * 24 * HOUR


class Clock:
    """The clock that nobody sets, as the purge sees it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(purge, "time", types.SimpleNamespace(monotonic=lambda: self.now, time=time.time))

    def goes_on(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def watched(clock: Clock, store: Store) -> Running:
    """A router whose purge has that clock."""
    del clock
    return Running(store)


@pytest.mark.parametrize("noted", [True, False])
async def test_a_clock_a_month_ahead_deletes_nothing_and_is_told_once(
    watched: Running, clock: Clock, noted: bool
) -> None:
    await watched.store.record([attempt(at=NOW - HOUR)])
    await watched.made.load()
    if noted:
        await watched.store.note_purge(NOW)
    for hour in range(3):
        clock.goes_on(PURGE_SECONDS)
        await watched.made.purge(NOW + MONTH + hour * HOUR)
    assert len(await watched.store.everything()) == 1
    assert watched.knows(), "memory has not forgotten it either"
    (told,) = watched.said("attempts_purge_held_back")
    assert told["log_level"] == "error"
    assert told["clock"] == "2023-12-14T22:13:20Z"
    assert "set this machine's clock" in told["hint"]
    clock.goes_on(PURGE_SECONDS)
    await watched.made.purge(NOW + 4 * HOUR)  # it is right again
    assert len(await watched.store.everything()) == 1
    assert watched.knows()
    clock.goes_on(27 * HOUR)
    await watched.made.purge(NOW + 31 * HOUR)
    assert await watched.store.everything() == []
    assert not watched.knows()
    assert len(watched.said("attempts_purge_held_back")) == 1


async def test_a_router_that_starts_under_a_wrong_clock_goes_by_what_the_last_purge_saw(
    watched: Running, clock: Clock
) -> None:
    await watched.store.record([attempt()])
    await watched.made.load()
    clock.goes_on(PURGE_SECONDS)
    await watched.made.purge(NOW + HOUR)
    restarted = Running(watched.store)
    await restarted.made.load()
    clock.goes_on(PURGE_SECONDS)
    await restarted.made.purge(NOW + MONTH)
    assert len(await watched.store.everything()) == 1
    assert await watched.store.purged_at() == NOW + HOUR + PURGE_PACE * PURGE_SECONDS


async def test_where_nobody_was_ever_rung_the_clock_is_the_one_to_go_by(watched: Running) -> None:
    await watched.made.purge(NOW)
    assert await watched.store.purged_at() == NOW


async def test_of_two_routers_each_adds_what_has_passed_to_where_it_was_itself(watched: Running, clock: Clock) -> None:
    """Else under a wrong clock they would get ahead of the time together, twice as fast as one."""
    other = Running(watched.store)
    await watched.store.note_purge(NOW)
    for _ in range(2):
        clock.goes_on(PURGE_SECONDS)
        for each in (watched, other):
            await each.made.purge(NOW + MONTH)
    assert await watched.store.purged_at() == NOW + 3 * PURGE_PACE * PURGE_SECONDS  # one step for the other's start


async def test_after_a_stop_the_purge_catches_up_little_by_little(watched: Running, clock: Clock) -> None:
    await watched.store.record([attempt()])
    await watched.store.note_purge(NOW)
    now, hours = NOW + MONTH, 0
    while await watched.store.everything():
        clock.goes_on(PURGE_SECONDS)
        now, hours = now + PURGE_SECONDS, hours + 1
        await watched.made.purge(now)
    assert hours == pytest.approx((OVER - NOW) / HOUR / PURGE_PACE, abs=1)


async def test_a_clock_that_goes_back_is_told_and_is_the_one_to_go_by(watched: Running, clock: Clock) -> None:
    await watched.store.note_purge(NOW + MONTH)
    clock.goes_on(PURGE_SECONDS)
    await watched.made.purge(NOW)
    assert len(watched.said("attempts_purge_held_back")) == 1
    assert await watched.store.purged_at() == NOW


async def test_what_a_usual_restart_takes_is_not_told(watched: Running, clock: Clock) -> None:
    await watched.store.note_purge(NOW)
    clock.goes_on(PURGE_SECONDS)
    await watched.made.purge(NOW + PURGE_JUMP_SECONDS)
    assert watched.said("attempts_purge_held_back") == []
