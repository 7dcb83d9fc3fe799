"""Callbacks of a running router: what memory knows, what the store is asked, and what holds where it cannot say."""

import asyncio
import math
from collections.abc import Awaitable, Callable

import pytest

from dialplan.campaigns.attempts import Outcome
from dialplan.campaigns.callbacks import Claim, ClaimStatus
from dialplan.kinds.fields import Destination
from dialplan.routing.decide import Decision, Kind
from router.callbacks import service as callbacks
from router.callbacks.service import StoreDown
from tests.unit.router.rung import (
    ALSO_OURS,
    ANNA,
    BORIS,
    HOUR,
    NOW,
    OUR,
    PATIENCE_SECONDS,
    POOL,
    Running,
    Store,
    attempt,
    report,
    routes,
    until,
    working,
)


def decided(reason: str) -> Decision:
    return Decision(reason, Kind.CAMPAIGN, Destination("x"), None, (), "acme", OUR, ANNA, 1)


# --- what memory knows ----------------------------------------------------------------------------------------------


async def test_nobody_waits_where_nobody_was_rung(here: Running) -> None:
    assert not here.knows()
    assert here.since() == {}


async def test_a_missed_attempt_may_give_an_entitlement_to_its_own_pair_and_within_its_campaigns_window(
    here: Running,
) -> None:
    async with working(here.made):
        await here.made.report(report())
        await here.made.report(report("2", campaign="survey"))
    assert here.since() == {"win-back": NOW - 2 * HOUR, "survey": NOW - 24 * HOUR}
    assert here.knows()
    assert not here.knows(BORIS)
    assert not here.made.knows(ALSO_OURS, ANNA)
    here.table = routes(active=False)
    assert set(here.since()) == {"survey"}


async def test_a_number_that_another_company_has_now_gives_nothing_of_its_last_owner(here: Running) -> None:
    async with working(here.made):
        await here.made.report(report())
        await here.made.report(report("2", number=POOL))
        await here.made.report(report("3", number=POOL, campaign="theirs"))
    here.table.numbers[OUR] = here.table.numbers["+442079460003"]
    assert here.since() == {}
    assert set(here.since(number=POOL)) == {"win-back", "theirs"}


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.ANSWERED])
async def test_an_attempt_that_was_not_missed_gives_nothing_to_wait_for(here: Running, outcome: Outcome) -> None:
    async with working(here.made):
        await here.made.report(report(outcome=outcome))
    assert here.since() == {}


async def test_an_answer_is_known_too_so_that_it_ends_an_entitlement_where_the_store_cannot_say(store: Store) -> None:
    here = Running(store, "campaign")
    async with working(here.made):
        await here.made.report(report("1", at=NOW - 20))
        await here.made.report(report("2", at=NOW - 10, outcome=Outcome.ANSWERED))
        await here.made.report(report("3", at=NOW - 30, campaign="survey"))
    assert await here.claim("call-1") == Claim(ClaimStatus.NONE)
    store.broken = "gone"
    assert await here.claim("call-2") == Claim(ClaimStatus.NONE, declared=True)


async def test_an_old_attempt_that_is_told_late_does_not_hide_the_newer_one(here: Running) -> None:
    async with working(here.made):
        await here.made.report(report("new", at=NOW + 10))
        await here.made.report(report("old", at=NOW))
        await here.made.purge(NOW + 26 * HOUR + 5, math.inf)
    assert set(here.since()) == {"win-back"}


# --- claims ---------------------------------------------------------------------------------------------------------


async def test_the_store_gives_the_entitlement_and_gives_it_once(here: Running) -> None:
    await here.store.record([attempt()])
    assert await here.claim("call-1") == Claim(ClaimStatus.GRANTED, attempt())
    assert await here.claim("call-2") == Claim(ClaimStatus.CONSUMED, attempt())
    assert here.counted("callbacks") == {}


async def test_a_call_keeps_its_entitlement_though_the_attempt_turns_out_answered_and_the_router_starts_again(
    here: Running,
) -> None:
    async with working(here.made):
        await here.made.report(report())
        assert (await here.claim("call-1")).status is ClaimStatus.GRANTED
        await here.made.report(report(outcome=Outcome.ANSWERED))
    started = Running(here.store)
    await started.made.load()
    for each in (here, started):
        assert each.knows()
        assert set(each.since()) == {"win-back"}
        answered = attempt(outcome=Outcome.ANSWERED)
        assert await each.claim("call-1", each.since()) == Claim(ClaimStatus.GRANTED, answered, again=True)
        assert (await each.claim("call-2", each.since())).status is ClaimStatus.NONE


class Down:
    """The ways in which a store does not say what a callback gets."""

    @staticmethod
    async def broken(here: Running, _patch: pytest.MonkeyPatch) -> Claim:
        here.store.broken = "the disk is on fire"
        return await here.claim()

    @staticmethod
    async def slow(here: Running, _patch: pytest.MonkeyPatch) -> Claim:
        here.store.held.clear()
        return await here.claim()

    @staticmethod
    async def crowded(here: Running, patch: pytest.MonkeyPatch) -> Claim:
        patch.setattr(callbacks, "CALLBACK_CLAIMS_MAX", 1)
        here.store.held.clear()
        here.store.asked.clear()
        first = asyncio.ensure_future(here.claim("call-0", since={}))
        await here.store.asked.wait()
        second = await here.claim("call-1")
        assert here.store.claims == 1
        here.store.held.set()
        assert (await first).status is ClaimStatus.NONE
        return second

    @staticmethod
    async def away(here: Running, _patch: pytest.MonkeyPatch) -> Claim:
        """It is known to be, so nobody waits for it."""
        here.store.broken = "the disk is on fire"
        async with working(here.made):
            await until(lambda: here.said("callbacks_down"))
            claim = await here.claim()
        assert here.store.claims == 0
        return claim


Way = Callable[[Running, pytest.MonkeyPatch], Awaitable[Claim]]
WAYS: list[tuple[Way, float, str]] = [
    (Down.broken, PATIENCE_SECONDS, "the disk is on fire"),
    (Down.slow, 0.01, "no answer within 0.01 s"),
    (Down.crowded, PATIENCE_SECONDS, "too many callbacks wait for the store already"),
    (Down.away, PATIENCE_SECONDS, "the store is away"),
]


@pytest.mark.parametrize(("way", "seconds", "why"), WAYS, ids=["broken", "slow", "crowded", "away"])
@pytest.mark.parametrize("declared", ["own-flow", "campaign"])
async def test_where_the_store_cannot_say_the_declared_policy_holds(
    store: Store, monkeypatch: pytest.MonkeyPatch, way: Way, seconds: float, why: str, declared: StoreDown
) -> None:
    here = Running(store, declared, claim_seconds=seconds)
    async with working(here.made):
        await here.made.report(report())
    claim = await way(here, monkeypatch)
    verdict, gives = (ClaimStatus.NONE, None) if declared == "own-flow" else (ClaimStatus.GRANTED, attempt())
    assert claim == Claim(verdict, gives, declared=True)
    (entry,) = here.said("claim_failed")
    assert (entry["error"], entry["number"], entry["declared"]) == (why, OUR, declared)
    here.made.count(claim, decided("callback-campaign"))
    assert here.counted("callbacks") == {"store-down": 1}


@pytest.mark.parametrize("declared", ["own-flow", "campaign"])
async def test_a_call_that_was_answered_without_the_store_gets_that_answer_again(
    store: Store, declared: StoreDown
) -> None:
    """Also when the store is back, or another attempt has come meanwhile: the same call goes the same way."""
    here = Running(store, declared)
    async with working(here.made):
        await here.made.report(report())
        store.broken = "gone"
        first = await here.claim("call-1")
        store.broken = ""
        await here.made.report(report("2", at=NOW + 1))
        asked = store.claims
        assert await here.claim("call-1") == Claim(first.status, first.attempt, declared=True, again=True)
        assert store.claims == asked
        assert await here.claim("call-2") == Claim(ClaimStatus.GRANTED, attempt("2", at=NOW + 1))
    assert here.counted("callbacks") == {"store-down": 1}


async def test_answers_without_the_store_are_remembered_up_to_a_bound(
    here: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "CALLBACK_DECLARED_MAX", 2)
    here.store.broken = "gone"
    assert [(await here.claim(f"call-{place}")).again for place in (1, 2, 3, 3, 2, 1)] == [False] * 3 + [
        True,
        True,
        False,
    ]


async def test_the_campaign_of_a_callback_without_a_store_is_the_one_that_memory_knows(store: Store) -> None:
    here = Running(store, "campaign")
    async with working(here.made):
        await here.made.report(report("1"))
        await here.made.report(report("2", at=NOW - 1, campaign="survey"))
    store.broken = "gone"
    assert (await here.claim("call-1")).attempt == attempt("1")
    assert (await here.claim("call-2", {"survey": 0.0})).attempt == attempt("2", at=NOW - 1, campaign="survey")
    assert (await here.claim("call-3", {"survey": NOW})).status is ClaimStatus.NONE
    assert (await here.made.claim(OUR, BORIS, "call-4", NOW, {"survey": 0.0})).status is ClaimStatus.NONE
    both = {"win-back": 0.0, "survey": 0.0}
    began_before_both = await here.made.claim(OUR, ANNA, "call-5", NOW - 60, both)
    assert began_before_both.status is ClaimStatus.NONE


async def test_a_claim_that_has_ended_makes_room_for_one_other(here: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "CALLBACK_CLAIMS_MAX", 1)
    await here.store.record([attempt()])
    here.store.broken = "gone"
    await here.claim("call-0")
    here.store.broken = ""
    for _ in range(3):
        assert (await here.claim("call-1")).status is ClaimStatus.GRANTED
    here.store.held.clear()
    here.store.asked.clear()
    waiting = asyncio.ensure_future(here.claim("call-2"))
    await here.store.asked.wait()
    assert (await here.claim("call-3")).declared
    here.store.held.set()
    assert not (await waiting).declared


@pytest.mark.parametrize(
    ("verdict", "reason", "counted"),
    [
        (ClaimStatus.GRANTED, "callback-force-yes", {"force-yes": 1}),
        (ClaimStatus.GRANTED, "callback-campaign", {"campaign": 1}),
        (ClaimStatus.GRANTED, "callback-not-accepted", {"not-accepted": 1}),
        (ClaimStatus.GRANTED, "assigned", {"no-destination": 1}),  # its campaign was removed while it waited
        (ClaimStatus.CONSUMED, "callback-used", {"used": 1}),
        (ClaimStatus.CONSUMED, "no-destination", {"no-destination": 1}),
        (ClaimStatus.NONE, "assigned", {}),
    ],
)
async def test_a_callback_is_counted_once_by_what_became_of_it(
    here: Running, verdict: ClaimStatus, reason: str, counted: dict[str, float]
) -> None:
    here.made.count(Claim(verdict), decided(reason))
    here.made.count(Claim(verdict, again=True), decided(reason))
    assert here.counted("callbacks") == counted
