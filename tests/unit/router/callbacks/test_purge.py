"""Attempts past their campaign's window: deleted in time, in the store and in memory."""

import asyncio
import time

import pytest

from dialplan.campaigns.retention import Cutoffs
from router.callbacks import purge
from router.config.limits import ATTEMPT_KEEP_SECONDS
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
    await here.made.purge(OVER)
    assert {each.id for each in await here.store.everything()} == {"2", "3"}
    assert set(here.since(ANNA)) == {"survey"}
    assert set(here.since(BORIS)) == {"win-back"}
    await here.made.purge(OVER + 24 * HOUR)
    assert await here.store.everything() == []
    assert not here.knows()
    assert [(entry["attempts"], entry["pairs"]) for entry in here.said("attempts_purged")] == [(1, 2), (2, 0)]
    await here.made.purge(OVER + 24 * HOUR)
    assert len(here.said("attempts_purged")) == 2


async def test_what_is_left_of_a_campaign_that_is_gone_does_not_stay_for_ever(here: Running) -> None:
    async with working(here.made):
        await here.made.report(report())
    here.table = table_of(company())
    await here.made.purge(OVER)
    assert len(await here.store.everything()) == 1  # it may come back
    assert here.knows()
    await here.made.purge(NOW + ATTEMPT_KEEP_SECONDS + 1)
    assert await here.store.everything() == []
    assert not here.knows()


async def test_calls_have_their_turn_while_memory_is_purged(here: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge, "PURGE_PAIRS_AT_ONCE", 1)
    pairs = 20
    await here.store.record([attempt(str(place), subscriber=f"+4477009001{place:02}") for place in range(pairs)])
    await here.made.load()
    turns = 0

    async def nothing(_cutoffs: Cutoffs) -> int:
        return pairs

    async def calls() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(here.store, "purge", nothing)
    calling = asyncio.create_task(calls())
    await here.made.purge(OVER)
    calling.cancel()
    assert turns >= pairs
    assert not here.knows("+447700900100")


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
        return await really(cutoffs)

    monkeypatch.setattr(here.store, "purge", fails_first)
    await here.store.record([attempt()])
    async with working(here.made):
        await until(lambda: here.said("attempts_purged"))
    assert await here.store.everything() == []
    assert [entry["error"] for entry in here.said("attempts_not_purged")] == ["gone for a moment"]
