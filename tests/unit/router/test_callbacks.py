"""Attempts and claims of a running router: the real store in a file, or one that fails when a test wants it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog

from dialplan.attempts import Attempt, Outcome, Sighting
from dialplan.callbacks import Claim, Verdict
from dialplan.decide import Decision, Kind, Reason
from dialplan.model import Destination
from dialplan.numbers import Bare
from dialplan.table import RoutingTable
from router import callbacks
from router.callbacks import Callbacks, StoreDown
from router.limits import ATTEMPT_KEEP_SECONDS, FORGET_MARGIN_SECONDS
from router.observe.metrics import Metrics
from router.store.base import StoreError
from router.store.sqlite_callbacks import SqliteCallbackStore
from tests.samples import campaign, company, number
from tests.tables import table_of

OUR, ALSO_OURS = "+442079460000", "+442079460001"
ANNA, BORIS, VERA = "+447700900123", "+447700900456", "+447700900789"
HOUR = 3600.0
NOW = 1_800_000_000.0
OVER = NOW + 2 * HOUR + FORGET_MARGIN_SECONDS + 1  # an attempt of the first campaign is forgotten then
PATIENCE_SECONDS = 30.0


def routes(*, active: bool = True) -> RoutingTable:
    """Two outbound campaigns, one with a window of two hours and one of a day, and an inbound one."""
    return table_of(
        company(),
        campaign("win-back", direction="outbound", callback_window_hours=2, active=active),
        campaign("survey", direction="outbound", callback_window_hours=24),
        campaign("offer"),
        number(OUR),
    )


def sighting(name: str = "1.1", at: float = NOW, outcome: Outcome = Outcome.MISSED, **fields: str) -> Sighting:
    values = {"campaign": "win-back", "number": "02079460000", "subscriber": "07700900123"} | fields
    return Sighting(name, at=at, outcome=outcome, **values)


def attempt(name: str = "1.1", at: float = NOW, outcome: Outcome = Outcome.MISSED, **fields: str) -> Attempt:
    values = {"campaign": "win-back", "number": OUR, "subscriber": ANNA} | fields
    return Attempt(name, at=at, outcome=outcome, **values)


def decided(reason: Reason) -> Decision:
    return Decision(reason, Kind.CAMPAIGN, Destination("x"), None, (), "acme", OUR, ANNA, 1)


class Store(SqliteCallbackStore):
    """The real one, which waits where `held` is not set, and fails where `broken` says why."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.broken = ""
        self.held = asyncio.Event()
        self.held.set()
        self.asked = asyncio.Event()
        self.batches: list[list[str]] = []
        self.claims = 0

    async def _wait(self) -> None:
        self.asked.set()
        await self.held.wait()
        if self.broken:
            raise StoreError(self.broken)

    async def record(self, attempts: Sequence[Attempt]) -> list[Attempt]:
        self.batches.append([each.id for each in attempts])
        await self._wait()
        return await super().record(attempts)

    async def claim(
        self, number: str, subscriber: str, call_id: str, began: float, since: Mapping[str, float]
    ) -> Claim:
        self.claims += 1
        await self._wait()
        return await super().claim(number, subscriber, call_id, began, since)

    async def missed(self) -> list[Attempt]:
        found = await super().missed()
        await self._wait()
        return found


class Running:
    """A router's callbacks, their store, and what they said and counted."""

    def __init__(self, store: Store, store_down: StoreDown = "own-flow", *, mask_callers: bool = False) -> None:
        self.store = store
        self.table = routes()
        self.capture = structlog.testing.LogCapture()
        self.metrics = Metrics()
        log = structlog.wrap_logger(None, processors=[self.capture], wrapper_class=structlog.BoundLogger)
        reading = ("GB", Bare.E164)
        self.made = Callbacks(
            store, lambda: self.table, store_down, reading, log, self.metrics, mask_callers=mask_callers
        )

    def said(self, event: str) -> list[Any]:
        return [entry for entry in self.capture.entries if entry["event"] == event]

    def counted(self, name: str) -> dict[str, float]:
        """A counter by its outcome, where it counted something."""
        found = getattr(self.metrics, name).collect()[0].samples
        return {sample.labels["outcome"]: sample.value for sample in found if sample.value}

    def claim(self, call_id: str = "call-1", since: Mapping[str, float] | None = None) -> Awaitable[Claim]:
        wanted = {"win-back": 0.0, "survey": 0.0} if since is None else since
        return self.made.claim(OUR, ANNA, call_id, NOW, wanted)


@contextlib.asynccontextmanager
async def working(made: Callbacks) -> AsyncIterator[None]:
    """While it writes down what it is told."""
    task = asyncio.create_task(made.run())
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store(tmp_path / "ringway-callbacks.db")
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def here(store: Store) -> Running:
    return Running(store)


# --- what memory knows ----------------------------------------------------------------------------------------------


async def test_nobody_waits_where_nobody_was_rung(here: Running) -> None:
    assert not here.made.knows(OUR, ANNA)
    assert here.made.since(OUR, ANNA, NOW) == {}


async def test_a_missed_attempt_may_give_a_right_to_its_own_pair_and_within_its_campaigns_window(here: Running) -> None:
    async with working(here.made):
        await here.made.see(sighting())
        await here.made.see(sighting("2", campaign="survey"))
    assert here.made.since(OUR, ANNA, NOW) == {"win-back": NOW - 2 * HOUR, "survey": NOW - 24 * HOUR}
    assert here.made.knows(OUR, ANNA)
    assert not here.made.knows(OUR, BORIS)
    assert not here.made.knows(ALSO_OURS, ANNA)
    here.table = routes(active=False)
    assert set(here.made.since(OUR, ANNA, NOW)) == {"survey"}


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.ANSWERED])
async def test_an_attempt_that_was_not_missed_gives_nothing_to_wait_for(here: Running, outcome: Outcome) -> None:
    async with working(here.made):
        await here.made.see(sighting(outcome=outcome))
    assert here.made.since(OUR, ANNA, NOW) == {}


async def test_an_answer_is_known_too_so_that_it_ends_a_right_where_the_store_cannot_say(store: Store) -> None:
    here = Running(store, "campaign")
    async with working(here.made):
        await here.made.see(sighting("1", at=NOW - 20))
        await here.made.see(sighting("2", at=NOW - 10, outcome=Outcome.ANSWERED))
        await here.made.see(sighting("3", at=NOW - 30, campaign="survey"))
    assert await here.claim("call-1") == Claim(Verdict.NONE)
    store.broken = "gone"
    assert await here.claim("call-2") == Claim(Verdict.NONE, declared=True)


async def test_a_router_that_starts_knows_what_the_last_one_wrote(store: Store) -> None:
    await store.record([attempt(), attempt("2", subscriber=BORIS, outcome=Outcome.FAILED)])
    started = Running(store)
    await started.made.load()
    assert set(started.made.since(OUR, ANNA, NOW)) == {"win-back"}
    assert started.made.since(OUR, BORIS, NOW) == {}


async def test_an_old_attempt_that_is_told_late_does_not_hide_the_newer_one(here: Running) -> None:
    async with working(here.made):
        await here.made.see(sighting("new", at=NOW + 10))
        await here.made.see(sighting("old", at=NOW))
        await here.made.forget(OVER + 5)
    assert set(here.made.since(OUR, ANNA, NOW)) == {"win-back"}


# --- claims ---------------------------------------------------------------------------------------------------------


async def test_the_store_gives_the_right_and_gives_it_once(here: Running) -> None:
    await here.store.record([attempt()])
    assert await here.claim("call-1") == Claim(Verdict.RIGHT, attempt())
    assert await here.claim("call-2") == Claim(Verdict.USED, attempt())
    assert here.counted("callbacks") == {}


class Down:
    """The ways in which a store does not say what a callback gets."""

    @staticmethod
    async def broken(here: Running, _patch: pytest.MonkeyPatch) -> Claim:
        here.store.broken = "the disk is on fire"
        return await here.claim()

    @staticmethod
    async def slow(here: Running, patch: pytest.MonkeyPatch) -> Claim:
        patch.setattr(callbacks, "CALLBACK_CLAIM_SECONDS", 0.01)
        here.store.held.clear()
        return await here.claim()

    @staticmethod
    async def crowded(here: Running, patch: pytest.MonkeyPatch) -> Claim:
        patch.setattr(callbacks, "CALLBACK_CLAIM_SECONDS", PATIENCE_SECONDS)
        patch.setattr(callbacks, "CALLBACK_CLAIMS_MAX", 1)
        here.store.held.clear()
        here.store.asked.clear()
        first = asyncio.ensure_future(here.claim("call-0", since={}))
        await here.store.asked.wait()
        second = await here.claim("call-1")
        assert here.store.claims == 1
        here.store.held.set()
        assert await first == Claim(Verdict.NONE)
        return second


WAYS = [
    (Down.broken, "the disk is on fire"),
    (Down.slow, "no answer within 0.01 s"),
    (Down.crowded, "too many callbacks wait for the store already"),
]
Way = Callable[[Running, pytest.MonkeyPatch], Awaitable[Claim]]


@pytest.mark.parametrize(("way", "why"), WAYS, ids=["broken", "slow", "crowded"])
@pytest.mark.parametrize("declared", ["own-flow", "campaign"])
async def test_where_the_store_cannot_say_the_declared_policy_holds(
    store: Store, monkeypatch: pytest.MonkeyPatch, way: Way, why: str, declared: StoreDown
) -> None:
    here = Running(store, declared)
    async with working(here.made):
        await here.made.see(sighting())
    claim = await way(here, monkeypatch)
    verdict, gives = (Verdict.NONE, None) if declared == "own-flow" else (Verdict.RIGHT, attempt())
    assert claim == Claim(verdict, gives, declared=True)
    (entry,) = here.said("claim_failed")
    assert (entry["error"], entry["number"], entry["declared"]) == (why, OUR, declared)
    here.made.count(claim, decided(Reason.CALLBACK_CAMPAIGN))
    assert here.counted("callbacks") == {"store-down": 1}


async def test_the_campaign_of_a_callback_without_a_store_is_the_one_that_memory_knows(store: Store) -> None:
    here = Running(store, "campaign")
    async with working(here.made):
        await here.made.see(sighting("1"))
        await here.made.see(sighting("2", at=NOW - 1, campaign="survey"))
    store.broken = "gone"
    assert (await here.claim()).attempt == attempt("1")
    assert (await here.claim(since={"survey": 0.0})).attempt == attempt("2", at=NOW - 1, campaign="survey")
    assert (await here.claim(since={"survey": NOW})).verdict is Verdict.NONE
    assert (await here.made.claim(OUR, BORIS, "call", NOW, {"survey": 0.0})).verdict is Verdict.NONE
    began_before_both = await here.made.claim(OUR, ANNA, "call", NOW - 2, {"win-back": 0.0, "survey": 0.0})
    assert began_before_both.verdict is Verdict.NONE


async def test_a_claim_that_has_ended_makes_room_for_the_next(here: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "CALLBACK_CLAIMS_MAX", 1)
    await here.store.record([attempt()])
    here.store.broken = "gone"
    await here.claim()
    here.store.broken = ""
    for _ in range(3):
        assert (await here.claim()).verdict is Verdict.RIGHT


@pytest.mark.parametrize(
    ("verdict", "reason", "counted"),
    [
        (Verdict.RIGHT, Reason.CALLBACK_FORCE_YES, {"force-yes": 1}),
        (Verdict.RIGHT, Reason.CALLBACK_CAMPAIGN, {"campaign": 1}),
        (Verdict.RIGHT, Reason.CALLBACK_NOT_ACCEPTED, {"not-accepted": 1}),
        (Verdict.USED, Reason.CALLBACK_USED, {"used": 1}),
        (Verdict.USED, Reason.NO_DESTINATION, {"no-destination": 1}),
        (Verdict.NONE, Reason.ASSIGNED, {}),
    ],
)
async def test_a_callback_is_counted_by_what_became_of_it(
    here: Running, verdict: Verdict, reason: Reason, counted: dict[str, float]
) -> None:
    here.made.count(Claim(verdict), decided(reason))
    assert here.counted("callbacks") == counted


# --- attempts -------------------------------------------------------------------------------------------------------


async def test_what_was_seen_is_durable_before_its_witness_hears_so(here: Running) -> None:
    async with working(here.made):
        assert await here.made.see(sighting())
        other = SqliteCallbackStore(here.store.path)
        await other.open(make=False)
        assert await other.attempts(None, None, 10) == [attempt()]
        await other.close()


async def test_a_witness_waits_until_it_is_written(here: Running) -> None:
    here.store.held.clear()
    async with working(here.made):
        told = asyncio.ensure_future(here.made.see(sighting()))
        await here.store.asked.wait()
        assert not told.done()
        assert here.made.since(OUR, ANNA, NOW) == {}
        here.store.held.set()
        assert await told


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (sighting(campaign="nobodys"), "no such campaign is stored"),
        (sighting(number="desk"), "the number shown cannot be read"),
        (sighting(subscriber="anonymous"), "the subscriber's number cannot be read"),
    ],
)
async def test_what_is_no_attempt_is_ignored_and_not_told_again(here: Running, seen: Sighting, why: str) -> None:
    assert await here.made.see(seen)  # though nobody writes
    (entry,) = here.said("attempt_ignored")
    assert entry["why"].startswith(why)
    assert (entry["attempt"], entry["campaign"]) == ("1.1", seen.campaign)
    assert here.store.batches == []


async def test_what_comes_while_a_batch_is_written_is_the_next_batch(here: Running) -> None:
    here.store.held.clear()
    async with working(here.made):
        first = asyncio.ensure_future(here.made.see(sighting("1")))
        await here.store.asked.wait()
        others = [asyncio.ensure_future(here.made.see(sighting(name))) for name in ("2", "3", "4")]
        await asyncio.sleep(0)
        here.store.held.set()
        assert await asyncio.gather(first, *others) == [True] * 4
    assert here.store.batches == [["1"], ["2", "3", "4"]]


async def test_a_batch_has_its_bound(here: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "RECORD_BATCH_MAX", 2)
    told = [asyncio.ensure_future(here.made.see(sighting(str(place)))) for place in range(5)]
    await asyncio.sleep(0)
    async with working(here.made):
        assert await asyncio.gather(*told) == [True] * 5
    assert here.store.batches == [["0", "1"], ["2", "3"], ["4"]]


async def test_a_store_that_fails_is_told_of_and_the_next_attempt_is_written_again(here: Running) -> None:
    here.store.broken = "the disk is full"
    async with working(here.made):
        assert not await here.made.see(sighting())
        assert here.made.since(OUR, ANNA, NOW) == {}
        here.store.broken = ""
        assert await here.made.see(sighting())
    assert [(entry["error"], entry["attempts"]) for entry in here.said("attempts_not_recorded")] == [
        ("the disk is full", 1)
    ]
    assert set(here.made.since(OUR, ANNA, NOW)) == {"win-back"}
    assert here.counted("attempts") == {"missed": 1}


async def test_who_comes_to_a_full_queue_is_told_at_once_to_come_again(
    here: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "RECORD_QUEUE_MAX", 2)
    waiting = [asyncio.ensure_future(here.made.see(sighting(name))) for name in ("1", "2")]
    await asyncio.sleep(0)
    assert not await here.made.see(sighting("3"))
    (entry,) = here.said("attempts_not_recorded")
    assert entry["error"] == "too many wait to be written down"
    async with working(here.made):
        assert await asyncio.gather(*waiting) == [True, True]
        assert await here.made.see(sighting("3"))


async def test_a_witness_who_has_gone_takes_nobody_with_him(here: Running) -> None:
    here.store.held.clear()
    async with working(here.made):
        gone, stays = (asyncio.ensure_future(here.made.see(sighting(name))) for name in ("1", "2"))
        await here.store.asked.wait()
        gone.cancel()
        here.store.held.set()
        assert await stays
        assert await here.made.see(sighting("3"))
    assert gone.cancelled()
    assert here.counted("attempts") == {"missed": 3}


async def test_an_attempt_is_counted_and_said_once_however_many_tell_of_it(here: Running) -> None:
    async with working(here.made):
        await asyncio.gather(here.made.see(sighting()), here.made.see(sighting()))
        await here.made.see(sighting())
        await here.made.see(sighting("2", outcome=Outcome.FAILED))
    assert here.counted("attempts") == {"missed": 1, "failed": 1}
    assert [entry["attempt"] for entry in here.said("attempt")] == ["1.1", "2"]


@pytest.mark.parametrize(("masked", "subscriber"), [(False, ANNA), (True, "…23")])
async def test_the_subscriber_is_masked_in_the_log_where_that_is_set(
    store: Store, masked: bool, subscriber: str
) -> None:
    here = Running(store, mask_callers=masked)
    async with working(here.made):
        await here.made.see(sighting())
    (entry,) = here.said("attempt")
    assert (entry["subscriber"], entry["number"], entry["outcome"]) == (subscriber, OUR, "missed")
    assert (await here.store.missed())[0].subscriber == ANNA
    if masked:
        assert ANNA not in str(here.capture.entries)


# --- what is too old ------------------------------------------------------------------------------------------------


async def test_what_is_past_its_campaigns_window_is_forgotten_by_store_and_memory(here: Running) -> None:
    async with working(here.made):
        await here.made.see(sighting("1"))
        await here.made.see(sighting("2", campaign="survey"))
        await here.made.see(sighting("3", at=NOW + HOUR, subscriber=BORIS))
    await here.made.forget(OVER)
    assert {each.id for each in await here.store.missed()} == {"2", "3"}
    assert set(here.made.since(OUR, ANNA, NOW)) == {"survey"}
    assert set(here.made.since(OUR, BORIS, NOW)) == {"win-back"}
    await here.made.forget(OVER + 24 * HOUR)
    assert await here.store.missed() == []
    assert not here.made.knows(OUR, ANNA)
    assert [(entry["attempts"], entry["pairs"]) for entry in here.said("attempts_forgotten")] == [(1, 2), (2, 0)]
    await here.made.forget(OVER + 24 * HOUR)
    assert len(here.said("attempts_forgotten")) == 2


async def test_what_is_left_of_a_campaign_that_is_gone_does_not_stay_in_memory_for_ever(here: Running) -> None:
    async with working(here.made):
        await here.made.see(sighting())
    here.table = table_of(company())
    await here.made.forget(OVER)
    assert len(await here.store.missed()) == 1  # it may come back
    await here.made.forget(NOW + ATTEMPT_KEEP_SECONDS + 1)
    assert await here.store.missed() == []
    assert here.made._missed == {}


async def test_forgetting_goes_on_by_itself_and_outlives_a_failure(
    here: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "FORGET_SECONDS", 0.0)
    monkeypatch.setattr(time, "time", lambda: OVER)
    tries, forgotten = 0, asyncio.Event()
    forget = here.store.forget

    async def fails_first(since: Mapping[str, float], otherwise: float) -> int:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise StoreError("gone for a moment")
        gone = await forget(since, otherwise)
        forgotten.set()
        return gone

    monkeypatch.setattr(here.store, "forget", fails_first)
    await here.store.record([attempt()])
    async with working(here.made):
        await forgotten.wait()
    assert await here.store.missed() == []
    assert [entry["error"] for entry in here.said("attempts_not_forgotten")] == ["gone for a moment"]


# --- more pairs than memory holds -----------------------------------------------------------------------------------


@pytest.fixture
async def full(here: Running, monkeypatch: pytest.MonkeyPatch) -> Running:
    """Memory holds two pairs; the store has a third one."""
    monkeypatch.setattr(callbacks, "CALLBACK_PAIRS_MAX", 2)
    async with working(here.made):
        for place, subscriber in enumerate((ANNA, BORIS)):
            await here.made.see(sighting(str(place), subscriber=subscriber))
        assert not here.made.knows(OUR, VERA)
        await here.made.see(sighting("2", at=NOW + HOUR, subscriber=VERA))
    return here


async def test_beyond_the_cap_the_store_is_asked_for_everybody(full: Running) -> None:
    assert len(full.made._missed) == 2
    assert full.made.knows(OUR, VERA)
    everybody = full.made.since(OUR, VERA, NOW)
    assert everybody == {"win-back": NOW - 2 * HOUR, "survey": NOW - 24 * HOUR}  # an inbound campaign gives none
    assert full.made.since(ALSO_OURS, VERA, NOW) == everybody
    claim = await full.made.claim(OUR, VERA, "call", NOW + HOUR, everybody)
    assert claim.attempt is not None
    assert (claim.verdict, claim.attempt.id) == (Verdict.RIGHT, "2")
    assert (await full.made.claim(ALSO_OURS, VERA, "call", NOW + HOUR, everybody)).verdict is Verdict.NONE


async def test_a_known_pair_goes_on_being_followed_beyond_the_cap(full: Running) -> None:
    async with working(full.made):
        await full.made.see(sighting("3", at=NOW + 1, campaign="survey"))
    assert set(full.made._missed[OUR, ANNA]) == {"win-back", "survey"}


async def test_with_room_again_memory_knows_all_that_the_store_knows(full: Running) -> None:
    await full.made.forget(OVER)
    assert set(full.made.since(OUR, VERA, NOW)) == {"win-back"}
    assert full.made.since(OUR, ANNA, NOW) == {}


async def test_nobody_loses_a_right_while_memory_is_filled_again(full: Running) -> None:
    full.store.held.clear()
    full.store.asked.clear()
    async with asyncio.timeout(PATIENCE_SECONDS):
        forgetting = asyncio.ensure_future(full.made.forget(OVER))
        await full.store.asked.wait()
        assert full.made.knows(OUR, VERA)
        full.store.broken = "gone"
        full.store.held.set()
        with pytest.raises(StoreError, match="gone"):
            await forgetting
    assert full.made.knows(OUR, VERA)
    full.store.broken = ""
    await full.made.forget(OVER)
    assert full.made.knows(OUR, VERA)
    assert not full.made.knows(OUR, BORIS)


async def test_more_than_memory_holds_is_known_from_the_start(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "CALLBACK_PAIRS_MAX", 2)
    await store.record([attempt(str(place), subscriber=f"+44770090010{place}") for place in range(3)])
    started = Running(store)
    await started.made.load()
    assert set(started.made.since(OUR, "+447700900199", NOW)) == {"win-back", "survey"}
