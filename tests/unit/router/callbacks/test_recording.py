"""Attempts that a running router is told of: durable before their source hears so, and counted once."""

import asyncio
import time

import pytest

from dialplan.campaigns.attempts import AttemptReport, Outcome
from dialplan.campaigns.callbacks import CLOCKS_APART_SECONDS
from dialplan.kinds.registry import RowKind
from dialplan.routing.table import RoutingTable
from router.callbacks import recorder
from router.config.limits import DIALLED_LOG_MAX_CHARS
from router.store.sqlite.callbacks import SqliteCallbackStore
from tests.unit.router.rung import (
    ANNA,
    BORIS,
    HOUR,
    NOW,
    OUR,
    THEIRS,
    Running,
    Store,
    attempt,
    report,
    working,
)


async def test_what_was_seen_is_durable_before_its_source_hears_so(here: Running) -> None:
    async with working(here.made):
        assert await here.made.report(report())
        other = SqliteCallbackStore(here.store.path)
        await other.open(make=False)
        assert await other.attempts(None, None, 10) == [attempt()]
        await other.close()


async def test_a_source_waits_until_it_is_written(here: Running) -> None:
    here.store.held.clear()
    async with working(here.made):
        told = asyncio.ensure_future(here.made.report(report()))
        await here.store.asked.wait()
        assert not told.done()
        assert here.since() == {}
        here.store.held.set()
        assert await told


async def test_a_source_that_hears_that_it_is_written_may_send_the_callback(here: Running) -> None:
    """Whoever wrote it down: another router may have, and this one has not heard of that yet."""
    here.store.telling.clear()
    await here.store.record([attempt()])
    async with working(here.made):
        assert await here.made.report(report())
        assert set(here.since()) == {"win-back"}
    assert (here.counted("attempts"), here.said("attempt")) == ({}, [])  # the other one's


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (report(campaign="nobodys"), "no such campaign is stored"),
        (report(campaign="x" * 5_000), "no such campaign is stored"),
        (report(campaign="offer"), "the campaign is an inbound one, which calls nobody"),
        (report(number="desk"), "the number shown cannot be read"),
        (report(subscriber="anonymous"), "the subscriber's number cannot be read"),
        (report(number="02079460555"), "the number shown is neither the pool's nor the campaign's company's"),
        (report(number=THEIRS), "the number shown is neither the pool's nor the campaign's company's"),
    ],
)
async def test_what_is_no_attempt_is_ignored_and_not_told_again(here: Running, seen: AttemptReport, why: str) -> None:
    assert await here.made.report(seen)  # though nobody writes
    (entry,) = here.said("attempt_ignored")
    assert entry["why"].startswith(why)
    assert (entry["attempt"], entry["campaign"]) == ("1.1", seen.campaign[:DIALLED_LOG_MAX_CHARS])
    assert here.store.batches == []
    assert here.counted("attempts_dropped") == {"ignored": 1}


async def test_a_router_without_data_takes_no_report_so_that_it_is_told_again(here: Running) -> None:
    """Which campaigns there are is not known: what it threw away, the dialplan would delete."""
    filled, here.table = here.table, RoutingTable()
    assert not await here.made.report(report())
    assert (here.said("attempt_ignored"), here.counted("attempts_dropped")) == ([], {})
    here.table = filled
    async with working(here.made):
        assert await here.made.report(report())


@pytest.mark.parametrize(
    ("left_out", "told"),
    [
        ((RowKind.CAMPAIGN, "newer"), report(campaign="newer")),
        ((RowKind.NUMBER, "+442079460077"), report(number="+442079460077")),
        ((RowKind.NUMBER, "+442079460077"), report(number="02079460077")),
    ],
    ids=["campaign", "number", "national number"],
)
async def test_what_names_a_row_that_this_version_cannot_read_is_told_again(
    here: Running, left_out: tuple[RowKind, str], told: AttemptReport
) -> None:
    """A router of the version that has written the row can take it."""
    async with working(here.made):
        assert await here.made.report(told)
        here.table.left_out = frozenset({left_out})
        assert not await here.made.report(told)
        assert await here.made.report(report())
        assert await here.made.report(report(campaign="nobodys")), "it names none of them"
    assert here.counted("attempts_dropped") == {"ignored": 2}


async def test_what_ended_in_the_future_is_dated_now_and_the_clocks_are_to_be_set(
    here: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be the newest attempt, and its entitlement could not be consumed, for as long as the clock is ahead."""
    monkeypatch.setattr(time, "time", lambda: NOW)
    latest = NOW + CLOCKS_APART_SECONDS
    async with working(here.made):
        await here.made.report(report("at most", at=latest))
        assert here.said("attempt_ahead") == []
        await here.made.report(report("ahead", at=latest + HOUR))
    (entry,) = here.said("attempt_ahead")
    assert (entry["attempt"], entry["seconds"], entry["hint"]) == ("ahead", HOUR, "set the clocks")
    assert {each.id: each.at for each in await here.store.everything()} == {"at most": latest, "ahead": latest}


async def test_what_comes_while_a_batch_is_written_is_the_next_batch(here: Running) -> None:
    here.store.held.clear()
    async with working(here.made):
        first = asyncio.ensure_future(here.made.report(report("1")))
        await here.store.asked.wait()
        others = [asyncio.ensure_future(here.made.report(report(name))) for name in ("2", "3", "4")]
        await asyncio.sleep(0)
        here.store.held.set()
        assert await asyncio.gather(first, *others) == [True] * 4
    assert here.store.batches == [["1"], ["2", "3", "4"]]


async def test_a_batch_has_its_bound(here: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "RECORD_BATCH_MAX", 2)
    told = [asyncio.ensure_future(here.made.report(report(str(place)))) for place in range(5)]
    await asyncio.sleep(0)
    async with working(here.made):
        assert await asyncio.gather(*told) == [True] * 5
    assert here.store.batches == [["0", "1"], ["2", "3"], ["4"]]


async def test_a_store_that_fails_is_told_of_and_the_next_attempt_is_written_again(here: Running) -> None:
    here.store.broken = "the disk is full"
    told = [asyncio.ensure_future(here.made.report(report(name))) for name in ("1", "2")]
    await asyncio.sleep(0)
    async with working(here.made):
        assert await asyncio.gather(*told) == [False, False]
        assert here.since() == {}
        here.store.broken = ""
        assert await here.made.report(report())
    assert [(entry["error"], entry["attempts"]) for entry in here.said("attempts_not_recorded")] == [
        ("the disk is full", 2)
    ]
    assert set(here.since()) == {"win-back"}
    assert here.counted("attempts") == {"missed": 1}
    assert here.counted("attempts_dropped") == {"not-recorded": 2}


async def test_who_comes_to_a_full_queue_is_told_at_once_to_come_again(
    here: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "RECORD_QUEUE_MAX", 2)
    waiting = [asyncio.ensure_future(here.made.report(report(name))) for name in ("1", "2")]
    await asyncio.sleep(0)
    assert not await here.made.report(report("3"))
    (entry,) = here.said("attempts_not_recorded")
    assert entry["error"] == "too many wait to be written down"
    assert here.counted("attempts_dropped") == {"not-recorded": 1}
    async with working(here.made):
        assert await asyncio.gather(*waiting) == [True, True]
        assert await here.made.report(report("3"))


async def test_a_source_that_has_gone_takes_nobody_with_it(here: Running) -> None:
    here.store.held.clear()
    async with working(here.made):
        gone, stays = (asyncio.ensure_future(here.made.report(report(name))) for name in ("1", "2"))
        await here.store.asked.wait()
        gone.cancel()
        here.store.held.set()
        assert await stays
        assert await here.made.report(report("3"))
    assert gone.cancelled()
    assert here.counted("attempts") == {"missed": 3}


async def test_an_attempt_is_counted_and_said_once_however_many_tell_of_it(here: Running) -> None:
    async with working(here.made):
        await asyncio.gather(here.made.report(report()), here.made.report(report()))
        await here.made.report(report())
        await here.made.report(report("2", outcome=Outcome.FAILED))
    assert here.counted("attempts") == {"missed": 1, "failed": 1}
    assert [entry["attempt"] for entry in here.said("attempt")] == ["1.1", "2"]


async def test_an_attempt_whose_outcome_is_corrected_is_said_again_and_counted_once(here: Running) -> None:
    async with working(here.made):
        for outcome in (Outcome.FAILED, Outcome.MISSED, Outcome.ANSWERED, Outcome.MISSED):
            await here.made.report(report(outcome=outcome))
    assert here.counted("attempts") == {"failed": 1}
    assert [entry["outcome"] for entry in here.said("attempt")] == ["failed", "missed", "answered"]


async def test_one_channel_that_called_two_subscribers_gives_each_its_own_entitlement(here: Running) -> None:
    async with working(here.made):
        await here.made.report(report())
        await here.made.report(report(subscriber=BORIS))
    assert here.knows(ANNA)
    assert here.knows(BORIS)
    assert here.counted("attempts") == {"missed": 2}


@pytest.mark.parametrize(("masked", "subscriber"), [(False, ANNA), (True, "…23")])
async def test_the_subscriber_is_masked_in_the_log_where_that_is_set(
    store: Store, masked: bool, subscriber: str
) -> None:
    here = Running(store, mask_callers=masked)
    async with working(here.made):
        await here.made.report(report())
    (entry,) = here.said("attempt")
    assert (entry["subscriber"], entry["number"], entry["outcome"]) == (subscriber, OUR, "missed")
    assert (await here.store.everything())[0].subscriber == ANNA
    if masked:
        assert ANNA not in str(here.capture.entries)
