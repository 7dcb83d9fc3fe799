"""What every store of attempts promises. One that is new goes into the list in conftest and has to pass as it is."""

import asyncio
import math
import random

import pytest

from dialplan.campaigns.attempts import Attempt, Heard, Outcome
from dialplan.campaigns.callbacks import CLOCKS_APART_SECONDS, Claim, ClaimStatus, History, claim_of
from dialplan.campaigns.retention import Cutoffs, Relevant, is_past, stays_with_missed
from router.config import limits
from router.store.api import CallbackStore, Recorded, Use, place_of
from router.store.redis import callbacks as redis_callbacks
from router.store.sqlite import callbacks as sqlite_callbacks
from tests.unit.router.store.attempts import ALSO_OURS, ANNA, BORIS, OUR, SINCE, attempt, ids
from tests.unit.router.store.conftest import PATIENCE_SECONDS, CallbackOpener

A_THIRD = "+442079460002"
MISSED, ANSWERED, FAILED = Outcome.MISSED, Outcome.ANSWERED, Outcome.FAILED
GRANTED, CONSUMED, NONE = ClaimStatus.GRANTED, ClaimStatus.CONSUMED, ClaimStatus.NONE


# --- attempts -------------------------------------------------------------------------------------------------------


async def test_an_attempt_counts_once(callback_store: CallbackStore) -> None:
    assert await callback_store.record([attempt(), attempt()]) == [
        Recorded(attempt(), Heard.NEW),
        Recorded(attempt(), Heard.KNOWN),
    ]
    assert await callback_store.record([attempt(at=101.0)]) == [Recorded(attempt(), Heard.KNOWN)]
    assert await callback_store.attempts(None, None, 10) == [attempt()]


@pytest.mark.parametrize(
    ("first", "second", "stands"),
    [
        (MISSED, ANSWERED, ANSWERED),
        (ANSWERED, MISSED, ANSWERED),
        (FAILED, MISSED, MISSED),
        (MISSED, FAILED, MISSED),
        (FAILED, ANSWERED, ANSWERED),
    ],
)
async def test_of_two_words_the_outcome_that_says_more_stands_and_the_moment_that_came_first(
    callback_store: CallbackStore, first: Outcome, second: Outcome, stands: Outcome
) -> None:
    await callback_store.record([attempt(at=100.0, outcome=first)])
    known = attempt(at=100.0, outcome=stands)
    heard = Heard.MORE if stands is second else Heard.KNOWN
    assert await callback_store.record([attempt(at=130.0, outcome=second)]) == [Recorded(known, heard)]
    assert await callback_store.attempts(None, None, 10) == [known]


async def test_one_channel_that_calls_two_subscribers_makes_two_attempts(callback_store: CallbackStore) -> None:
    """Its id is the same for both, and for two numbers shown."""
    several = [attempt(), attempt(subscriber=BORIS), attempt(number=ALSO_OURS)]
    assert [heard for _, heard in await callback_store.record(several)] == [Heard.NEW] * 3
    answered = attempt(subscriber=BORIS, outcome=ANSWERED)
    assert await callback_store.record([answered]) == [Recorded(answered, Heard.MORE)]
    assert (await callback_store.claim(OUR, ANNA, "call", 150.0, SINCE)).status is GRANTED
    assert (await callback_store.claim(OUR, BORIS, "call", 150.0, SINCE)).status is NONE
    assert (await callback_store.claim(ALSO_OURS, ANNA, "call", 150.0, SINCE)).status is GRANTED


async def test_attempts_are_listed_newest_first(callback_store: CallbackStore) -> None:
    await callback_store.record(
        [attempt("1"), attempt("2", at=120.0, subscriber=BORIS), attempt("3", at=90.0, number=ALSO_OURS)]
    )
    assert await ids(callback_store) == ["2", "1", "3"]
    assert [each.id for each in await callback_store.attempts(None, None, 2)] == ["2", "1"]
    assert await ids(callback_store, OUR) == ["2", "1"]
    assert await ids(callback_store, None, ANNA) == ["1", "3"]
    assert await ids(callback_store, OUR, BORIS) == ["2"]
    assert await ids(callback_store, ALSO_OURS, BORIS) == []


async def test_of_attempts_at_one_moment_the_later_name_is_listed_first(callback_store: CallbackStore) -> None:
    """So that pages show them in one order, whatever the order of their writing: by their numbers, then by the id."""
    await callback_store.record(
        [attempt("2"), attempt("3", subscriber=BORIS), attempt("1", number=ALSO_OURS), attempt("4")]
    )
    assert await ids(callback_store) == ["1", "3", "4", "2"]
    assert [each.id for each in await callback_store.attempts(None, None, 2)] == ["1", "3"]
    assert await ids(callback_store, None, ANNA) == ["1", "4", "2"]
    assert await ids(callback_store, OUR, ANNA) == ["4", "2"]


async def test_a_page_begins_behind_the_place_of_the_one_before_it(callback_store: CallbackStore) -> None:
    """Also where the attempt of that place has gone meanwhile, and others have come before it."""
    told = [attempt(str(place), at=100.0 + place // 3) for place in range(9)]
    await callback_store.record(told)
    after = place_of(told[4])
    assert [each.id for each in await callback_store.attempts(None, ANNA, 3, after=after)] == ["3", "2", "1"]
    await callback_store.record([attempt("new", at=200.0)])
    assert [each.id for each in await callback_store.attempts(OUR, None, 3, after=after)] == ["3", "2", "1"]
    gone = after._replace(id="4 has gone")
    found = await callback_store.attempts(None, None, 3, campaign="win-back", after=gone)
    assert [each.id for each in found] == ["4", "3", "2"]


async def test_attempts_of_a_campaign_are_listed(callback_store: CallbackStore) -> None:
    survey = attempt("2", at=120.0, campaign="survey")
    await callback_store.record([attempt("1"), survey, attempt("3", at=130.0, subscriber=BORIS)])
    for number, subscriber in ((None, None), (OUR, None), (None, ANNA), (OUR, ANNA)):
        assert await callback_store.attempts(number, subscriber, 10, campaign="survey") == [survey]
    assert await callback_store.attempts(None, BORIS, 10, campaign="survey") == []
    assert await callback_store.purge(Cutoffs({"survey": 1_000.0}, -1.0)) == 1
    assert await callback_store.attempts(None, None, 10, campaign="survey") == []


# --- claims ---------------------------------------------------------------------------------------------------------


async def test_an_entitlement_is_given_once_and_the_same_call_gets_it_again(callback_store: CallbackStore) -> None:
    await callback_store.record([attempt()])
    assert await callback_store.claim(OUR, ANNA, "call-1", 150.0, SINCE) == Claim(GRANTED, attempt())
    assert await callback_store.claim(OUR, ANNA, "call-2", 151.0, SINCE) == Claim(CONSUMED, attempt())
    assert await callback_store.claim(OUR, ANNA, "call-1", 152.0, SINCE) == Claim(GRANTED, attempt(), again=True)
    assert await callback_store.claim(OUR, ANNA, "call-2", 153.0, {}) == Claim(CONSUMED, attempt(), again=True)


async def test_a_call_without_an_entitlement_stays_without_it(callback_store: CallbackStore) -> None:
    await callback_store.record([attempt("answered", at=110.0, outcome=ANSWERED)])
    assert await callback_store.claim(OUR, ANNA, "call-1", 170.0, SINCE) == Claim(NONE)
    await callback_store.record([attempt("told late", at=160.0)])
    assert await callback_store.claim(OUR, ANNA, "call-1", 170.0, SINCE) == Claim(NONE, again=True)
    late = attempt("told late", at=160.0)
    assert await callback_store.claim(OUR, ANNA, "call-2", 171.0, SINCE) == Claim(GRANTED, late)


@pytest.mark.parametrize("failed", [[], [attempt("failed", outcome=FAILED)]])
async def test_a_call_of_somebody_whom_no_campaign_reached_may_ask_again(
    callback_store: CallbackStore, failed: list[Attempt]
) -> None:
    """It has no answer that would have to stand."""
    await callback_store.record(failed)
    for _ in range(2):
        assert await callback_store.claim(OUR, ANNA, "call-1", 170.0, SINCE) == Claim(NONE)
    await callback_store.record([attempt()])
    assert await callback_store.claim(OUR, ANNA, "call-1", 170.0, SINCE) == Claim(GRANTED, attempt())


async def test_pairs_do_not_touch_each_other(callback_store: CallbackStore) -> None:
    await callback_store.record([attempt("1"), attempt("2", number=ALSO_OURS), attempt("3", subscriber=BORIS)])
    for name, (number, subscriber) in {"1": (OUR, ANNA), "2": (ALSO_OURS, ANNA), "3": (OUR, BORIS)}.items():
        claim = await callback_store.claim(number, subscriber, "the same call id", 150.0, SINCE)
        assert claim.attempt is not None
        assert (claim.status, claim.attempt.id) == (GRANTED, name)
    assert (await callback_store.claim(ALSO_OURS, BORIS, "c", 150.0, SINCE)).status is NONE


async def test_an_attempt_that_ended_later_is_for_a_later_call(callback_store: CallbackStore) -> None:
    """The subscriber is busy, being on this very call: asked again, it gets what it got before."""
    later = attempt("2", at=160.0)
    await callback_store.record([attempt("1"), later])
    assert await callback_store.claim(OUR, ANNA, "call-1", 150.0, SINCE) == Claim(GRANTED, attempt("1"))
    assert await callback_store.claim(OUR, ANNA, "call-1", 150.0, SINCE) == Claim(GRANTED, attempt("1"), again=True)
    assert await callback_store.claim(OUR, ANNA, "call-2", 151.0, SINCE) == Claim(CONSUMED, attempt("1"))
    assert await callback_store.claim(OUR, ANNA, "call-3", 170.0, SINCE) == Claim(GRANTED, later)
    assert await callback_store.claim(OUR, ANNA, "call-4", 171.0, SINCE) == Claim(CONSUMED, later)


async def test_an_attempt_dated_by_a_clock_that_is_ahead_is_called_back_once(callback_store: CallbackStore) -> None:
    ahead = attempt(at=150.0 + CLOCKS_APART_SECONDS)
    await callback_store.record([ahead])
    assert await callback_store.claim(OUR, ANNA, "call-1", 150.0, SINCE) == Claim(GRANTED, ahead)
    assert await callback_store.claim(OUR, ANNA, "call-2", 152.0, SINCE) == Claim(CONSUMED, ahead)
    assert await callback_store.claim(OUR, ANNA, "call-3", 190.0, SINCE) == Claim(CONSUMED, ahead)


async def test_what_turns_out_to_be_answered_is_the_entitlement_of_the_call_that_had_it_and_of_no_other(
    callback_store: CallbackStore,
) -> None:
    await callback_store.record([attempt()])
    await callback_store.claim(OUR, ANNA, "call-1", 150.0, SINCE)
    await callback_store.record([attempt(outcome=ANSWERED)])
    answered = attempt(outcome=ANSWERED)
    assert await callback_store.claim(OUR, ANNA, "call-1", 150.0, SINCE) == Claim(GRANTED, answered, again=True)
    assert await callback_store.claim(OUR, ANNA, "call-2", 151.0, SINCE) == Claim(NONE)


async def test_any_number_of_failed_attempts_leaves_the_missed_one_its_entitlement(
    callback_store: CallbackStore,
) -> None:
    dialled = range(limits.HISTORY_ATTEMPTS_MAX + 1)
    await callback_store.record([attempt(f"f{place}", at=110.0 + place / 1000, outcome=FAILED) for place in dialled])
    await callback_store.record([attempt()])
    assert await callback_store.claim(OUR, ANNA, "call", 150.0, SINCE) == Claim(GRANTED, attempt())


async def test_of_200_callbacks_at_once_one_has_the_entitlement(callback_store: CallbackStore) -> None:
    await callback_store.record([attempt()])
    asked = (callback_store.claim(OUR, ANNA, f"call-{place}", 150.0, SINCE) for place in range(200))
    claims = await asyncio.gather(*asked)
    assert sorted(claim.status for claim in claims) == [GRANTED, *[CONSUMED] * 199]


async def test_of_callbacks_at_two_routers_in_the_same_instant_one_has_the_entitlement(
    callback_store: CallbackStore, another_callback_store: CallbackOpener
) -> None:
    """200 instants, each with an entitlement of its own: both routers have looked before either has written."""
    stores = [callback_store, await another_callback_store()]
    callers = [f"+4477009{place:05}" for place in range(200)]
    await callback_store.record([attempt(subscriber=caller) for caller in callers])
    for caller in callers:
        claims = await asyncio.gather(
            *(store.claim(OUR, caller, f"call-{place}", 150.0, SINCE) for place, store in enumerate(stores))
        )
        assert sorted(claim.status for claim in claims) == [GRANTED, CONSUMED], caller


async def test_a_robot_that_rings_on_takes_no_other_callback_its_answer(
    callback_store: CallbackStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many answers are remembered is counted by pair."""
    for module in (sqlite_callbacks, redis_callbacks):
        monkeypatch.setattr(module, "CALLBACK_PAIR_CLAIMS_MAX", 2)
    await callback_store.record([attempt(), attempt(subscriber=BORIS), attempt(number=ALSO_OURS)])
    for place in range(5):
        await callback_store.claim(OUR, ANNA, f"call-{place}", 150.0, SINCE)
    for number, subscriber in ((OUR, BORIS), (ALSO_OURS, ANNA)):
        for call, again in (("1", False), ("2", False), ("2", True)):
            assert (await callback_store.claim(number, subscriber, call, 150.0, SINCE)).again is again


@pytest.mark.parametrize("moments", [(100.0, 101.0, 102.0), (100.0, 100.0, 100.0)], ids=["apart", "together"])
async def test_a_callback_looks_at_the_newest_attempts_of_its_pair_and_no_further(
    callback_store: CallbackStore, monkeypatch: pytest.MonkeyPatch, moments: tuple[float, ...]
) -> None:
    """However often somebody was rung, a callback is answered in the same time."""
    for module in (sqlite_callbacks, redis_callbacks):
        monkeypatch.setattr(module, "HISTORY_ATTEMPTS_MAX", 2)
    campaigns = ("survey", "win-back", "win-back")
    written = [attempt(str(place), at, campaign=campaigns[place]) for place, at in enumerate(moments)]
    await callback_store.record(written)
    assert [each.id for each in (await callback_store.history(OUR, ANNA, 150.0)).attempts] == ["2", "1"]
    assert await callback_store.claim(OUR, ANNA, "call-1", 150.0, {"survey": 0.0}) == Claim(NONE)
    assert await callback_store.claim(OUR, ANNA, "call-2", 150.0, SINCE) == Claim(GRANTED, written[2])


async def test_a_call_that_asks_again_has_its_attempt_however_many_came_meanwhile(
    callback_store: CallbackStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (sqlite_callbacks, redis_callbacks):
        monkeypatch.setattr(module, "HISTORY_ATTEMPTS_MAX", 2)
    await callback_store.record([attempt("1")])
    await callback_store.claim(OUR, ANNA, "call-1", 150.0, SINCE)
    await callback_store.record([attempt(name, at=160.0) for name in ("2", "3", "4")])
    assert await callback_store.claim(OUR, ANNA, "call-1", 150.0, SINCE) == Claim(GRANTED, attempt("1"), again=True)


# --- what was known then --------------------------------------------------------------------------------------------


async def test_a_history_is_shown_and_consumes_nothing(callback_store: CallbackStore) -> None:
    known = [attempt("1"), attempt("2", at=120.0), attempt("3", at=110.0, outcome=FAILED)]
    await callback_store.record(known)
    for _ in range(2):
        history = await callback_store.history(OUR, ANNA, 140.0)
        assert (sorted(history.attempts, key=lambda each: each.id), history.used_at) == (known, None)
    await callback_store.claim(OUR, ANNA, "call-1", 150.0, SINCE)
    assert (await callback_store.history(OUR, ANNA, 160.0)).used_at == 150.0
    assert await callback_store.history(OUR, BORIS, 160.0) == History()


async def test_a_history_ends_where_a_call_of_that_moment_would_have_looked_no_further(
    callback_store: CallbackStore,
) -> None:
    ahead, later = attempt("2", at=125.0), attempt("3", at=125.1)
    await callback_store.record([attempt("1"), ahead, later])
    await callback_store.claim(OUR, ANNA, "call-1", 110.0, SINCE)
    await callback_store.claim(OUR, ANNA, "call-2", 150.0, SINCE)
    assert await callback_store.history(OUR, ANNA, 120.0) == History((ahead, attempt("1")), 110.0)
    assert await callback_store.history(OUR, ANNA, 110.0) == History((attempt("1"),), None)


async def test_a_history_says_when_an_entitlement_was_used_last_among_calls_in_vain(
    callback_store: CallbackStore,
) -> None:
    await callback_store.record([attempt()])
    for place, began in enumerate((150.0, 151.0, 152.0)):
        await callback_store.claim(OUR, ANNA, f"call-{place}", began, SINCE)
    await callback_store.record([attempt("2", at=160.0)])
    await callback_store.claim(OUR, ANNA, "call-3", 170.0, SINCE)
    assert (await callback_store.history(OUR, ANNA, 165.0)).used_at == 150.0
    assert (await callback_store.history(OUR, ANNA, 180.0)).used_at == 170.0


async def test_the_calls_that_consumed_entitlements_are_named_in_their_order(callback_store: CallbackStore) -> None:
    await callback_store.record([attempt("1", at=100), attempt("1", at=100, subscriber=BORIS)])
    await callback_store.claim(OUR, ANNA, "c:first {1}", 150, SINCE)
    await callback_store.claim(OUR, ANNA, "in vain", 160, SINCE)
    await callback_store.claim(OUR, BORIS, "Boris's", 155, SINCE)
    await callback_store.record([attempt("2", at=204)])
    await callback_store.claim(OUR, ANNA, "a second one", 200, SINCE)
    assert await callback_store.uses(OUR, ANNA, 1000) == [Use("c:first {1}", 150, 150), Use("a second one", 200, 204)]
    assert await callback_store.uses(OUR, ANNA, 200) == [Use("c:first {1}", 150, 150)]
    assert await callback_store.uses(OUR, ANNA, 150) == await callback_store.uses(ALSO_OURS, ANNA, 1000) == []


async def test_any_number_of_failed_attempts_leaves_the_missed_one_in_its_history(
    callback_store: CallbackStore,
) -> None:
    dialled = range(limits.HISTORY_ATTEMPTS_MAX + 1)
    await callback_store.record([attempt(f"f{place}", at=110.0 + place / 1000, outcome=FAILED) for place in dialled])
    await callback_store.record([attempt()])
    history = await callback_store.history(OUR, ANNA, 150.0)
    assert claim_of(history, SINCE, began=150.0) == Claim(GRANTED, attempt())


async def test_of_failed_attempts_a_history_shows_the_newest_until_then(
    callback_store: CallbackStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (sqlite_callbacks, redis_callbacks):
        monkeypatch.setattr(module, "HISTORY_ATTEMPTS_MAX", 2)
    moments = (100.0, 110.0, 125.0, 125.1)  # the last one is ahead of any clock of that time
    await callback_store.record([attempt(str(at), at=at, outcome=FAILED) for at in moments])
    history = await callback_store.history(OUR, ANNA, 120.0)
    assert [each.at for each in history.attempts] == [125.0, 110.0]


# --- changes --------------------------------------------------------------------------------------------------------


async def test_what_is_read_as_a_whole_is_what_may_matter_to_a_callback(callback_store: CallbackStore) -> None:
    await callback_store.record(
        [
            attempt("missed", at=100.0),
            attempt("answered later", at=110.0, outcome=ANSWERED),
            attempt("failed", at=120.0, outcome=FAILED),
            attempt("answered", outcome=ANSWERED, subscriber=BORIS),
            attempt("answered, and missed at another number", outcome=ANSWERED, number=A_THIRD),
            attempt("gave an entitlement", number=ALSO_OURS),
        ]
    )
    await callback_store.claim(ALSO_OURS, ANNA, "call-1", 150.0, SINCE)
    await callback_store.record([attempt("gave an entitlement", number=ALSO_OURS, outcome=ANSWERED)])
    changes = await callback_store.changes("", 0)
    assert changes.full
    assert {each.id for each in changes.attempts} == {"missed", "answered later", "gave an entitlement"}


async def test_news_is_what_was_written_down_since_by_whomever(
    callback_store: CallbackStore, another_callback_store: CallbackOpener
) -> None:
    await callback_store.record([attempt("old")])
    cursor = (await callback_store.changes("", 0)).cursor
    other = await another_callback_store()
    await other.record([attempt("1"), attempt("2", outcome=FAILED), attempt("old", outcome=ANSWERED)])
    await callback_store.record([attempt("3", subscriber=BORIS)])
    for store in (callback_store, other):
        changes = await store.changes(cursor, 0)
        assert (changes.full, {each.id: each.outcome for each in changes.attempts}) == (
            False,
            {"1": MISSED, "2": FAILED, "old": ANSWERED, "3": MISSED},
        )
        assert (await store.changes(changes.cursor, 0)).attempts == []


async def test_what_was_known_already_is_no_change(callback_store: CallbackStore) -> None:
    await callback_store.record([attempt()])
    cursor = (await callback_store.changes("", 0)).cursor
    await callback_store.record([attempt(), attempt(outcome=FAILED)])
    assert await callback_store.changes(cursor, 0) == (cursor, False, [])


@pytest.mark.parametrize("cursor", ["of another history", "a-b-c:9", ":"])
async def test_a_cursor_that_means_nothing_here_gets_everything(callback_store: CallbackStore, cursor: str) -> None:
    await callback_store.record([attempt()])
    changes = await callback_store.changes(cursor, 0)
    assert (changes.full, changes.attempts) == (True, [attempt()])


@pytest.mark.parametrize("rest", ["", ":", ":soon", ":-1"])
async def test_the_beginning_of_a_cursor_alone_gets_everything(callback_store: CallbackStore, rest: str) -> None:
    await callback_store.record([attempt()])
    epoch = (await callback_store.changes("", 0)).cursor.partition(":")[0]
    changes = await callback_store.changes(f"{epoch}{rest}", 0)
    assert (changes.full, changes.attempts) == (True, [attempt()])


async def test_who_waits_for_changes_hears_when_another_router_has_written_some(
    callback_store: CallbackStore, another_callback_store: CallbackOpener
) -> None:
    cursor = (await callback_store.changes("", 0)).cursor
    waiting = asyncio.create_task(callback_store.changes(cursor, PATIENCE_SECONDS))
    await (await another_callback_store()).record([attempt()])
    assert (await waiting).attempts == [attempt()]


async def test_who_starts_with_a_store_that_has_nothing_is_told_so_at_once(callback_store: CallbackStore) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        changes = await callback_store.changes("", math.inf)
    assert (changes.full, changes.attempts) == (True, [])


async def test_who_is_far_behind_hears_of_all_of_it(callback_store: CallbackStore) -> None:
    """In several pieces, or all at once."""
    cursor = (await callback_store.changes("", 0)).cursor
    written = [attempt(str(place)) for place in range(2 * limits.ATTEMPT_CHANGES_MAX + 1)]
    await callback_store.record(written)
    heard: set[str] = set()
    while (changes := await callback_store.changes(cursor, 0)).attempts:
        assert changes.cursor != cursor
        cursor = changes.cursor
        heard |= {each.id for each in changes.attempts}
    assert heard == {each.id for each in written}


# --- purging --------------------------------------------------------------------------------------------------------


async def test_what_is_past_its_window_is_purged_with_its_claims(callback_store: CallbackStore) -> None:
    await callback_store.record(
        [attempt("1"), attempt("2", campaign="survey", subscriber=BORIS), attempt("3", at=900.0)]
    )
    await callback_store.claim(OUR, BORIS, "call-1", 150.0, SINCE)
    assert await callback_store.purge(Cutoffs({"win-back": 100.0, "survey": 101.0}, 0.0)) == 1
    assert await ids(callback_store) == ["3", "1"]
    assert await callback_store.claim(OUR, BORIS, "call-1", 160.0, SINCE) == Claim(NONE)
    assert await callback_store.purge(Cutoffs({}, 900.0)) == 1
    assert await ids(callback_store) == ["3"]


async def test_a_claim_stays_for_as_long_as_its_pair_has_an_attempt(callback_store: CallbackStore) -> None:
    await callback_store.record([attempt("1", at=100.0), attempt("2", at=140.0, campaign="survey")])
    await callback_store.claim(OUR, ANNA, "call-1", 150.0, SINCE)
    assert await callback_store.purge(Cutoffs({"win-back": 120.0, "survey": 0.0}, 0.0)) == 1
    assert (await callback_store.claim(OUR, ANNA, "call-2", 160.0, SINCE)).status is CONSUMED
    assert (await callback_store.claim(OUR, ANNA, "call-1", 150.0, SINCE)).status is GRANTED


@pytest.mark.parametrize(
    ("outcome", "moments"),
    [
        (MISSED, Cutoffs({"win-back": 900.0}, 0.0)),
        (ANSWERED, Cutoffs({"win-back": 900.0}, 0.0)),
        (MISSED, Cutoffs({}, 900.0)),
        (ANSWERED, Cutoffs({}, 900.0)),
    ],
    ids=["missed", "answered", "old and missed", "old and answered"],
)
async def test_a_young_claim_goes_with_the_last_attempt_of_its_pair(
    callback_store: CallbackStore, outcome: Outcome, moments: Cutoffs
) -> None:
    await callback_store.record([attempt(outcome=outcome)])
    told = await callback_store.claim(OUR, ANNA, "call-1", 950.0, SINCE)
    assert (await callback_store.claim(OUR, ANNA, "call-1", 950.0, SINCE)).again
    assert await callback_store.purge(moments) == 1
    assert await callback_store.claim(OUR, ANNA, "call-1", 950.0, SINCE) == Claim(NONE)
    await callback_store.record([attempt(outcome=outcome)])
    assert await callback_store.claim(OUR, ANNA, "call-2", 950.0, SINCE) == told, "nothing of it is consumed"


async def test_a_claim_stays_beside_a_missed_and_a_failed_attempt(callback_store: CallbackStore) -> None:
    """As many of the one as of the other, and then the failed one alone."""
    await callback_store.record(
        [
            attempt("1", at=100.0, campaign="survey"),
            attempt("2", at=140.0),
            attempt("3", at=141.0, campaign="last", outcome=FAILED),
        ]
    )
    await callback_store.claim(OUR, ANNA, "call-1", 150.0, SINCE)
    assert await callback_store.purge(Cutoffs({"survey": 120.0, "win-back": 0.0, "last": 0.0}, 0.0)) == 1
    assert await callback_store.claim(OUR, ANNA, "call-2", 160.0, SINCE) == Claim(CONSUMED, attempt("2", at=140.0))
    assert await callback_store.purge(Cutoffs({"win-back": 141.0, "last": 0.0}, 0.0)) == 1
    assert (await callback_store.history(OUR, ANNA, 160.0)).used_at == 150.0


async def test_an_answer_ends_the_rights_of_campaigns_with_a_longer_window_for_as_long(
    callback_store: CallbackStore,
) -> None:
    await callback_store.record([attempt("1"), attempt("2", at=110.0, campaign="survey", outcome=ANSWERED)])
    assert await callback_store.purge(Cutoffs({"win-back": 50.0, "survey": 900.0}, 0.0)) == 0
    assert (await callback_store.claim(OUR, ANNA, "call-1", 950.0, SINCE)).status is NONE
    assert await callback_store.purge(Cutoffs({"win-back": 901.0, "survey": 900.0}, 0.0)) == 2


async def test_an_answer_stays_for_as_long_as_its_pair_has_a_missed_attempt_of_any_campaign(
    callback_store: CallbackStore,
) -> None:
    """Also of one that was removed, and may come back."""
    await callback_store.record([attempt("1", campaign="removed"), attempt("2", at=110.0, outcome=ANSWERED)])
    assert await callback_store.purge(Cutoffs({"win-back": 900.0}, 0.0)) == 0
    assert (await callback_store.claim(OUR, ANNA, "call-1", 950.0, {"removed": 0.0})).status is NONE
    # The answer goes with the missed attempt, or the next time.
    assert sum([await callback_store.purge(Cutoffs({"win-back": 900.0}, 101.0)) for _ in range(2)]) == 2


async def test_an_answer_does_not_stay_for_what_was_missed_at_another_number_or_by_somebody_else(
    callback_store: CallbackStore,
) -> None:
    missed = attempt("1", campaign="removed")
    answers = [attempt("2", number=ALSO_OURS, outcome=ANSWERED), attempt("3", subscriber=BORIS, outcome=ANSWERED)]
    await callback_store.record([missed, *answers])
    assert await callback_store.purge(Cutoffs({"win-back": 900.0}, 0.0)) == 2
    assert await callback_store.attempts(None, None, 10) == [missed]


async def test_more_than_goes_in_one_step_is_purged_all_the_same(callback_store: CallbackStore) -> None:
    old = [attempt(str(place), subscriber=f"+4477009{place:05}") for place in range(2 * limits.PURGE_ROWS_AT_ONCE)]
    await callback_store.record([*old, attempt("new", at=900.0)])
    assert await callback_store.purge(Cutoffs({"win-back": 500.0}, 0.0)) == len(old)
    assert await ids(callback_store) == ["new"]


# --- the rules, which one store has in SQL --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
async def test_what_is_kept_and_what_is_told_is_what_the_rules_say(callback_store: CallbackStore, seed: int) -> None:
    draw = random.Random(seed)
    written = [
        attempt(
            str(name),
            at=float(draw.randint(0, 60)),
            outcome=draw.choice(list(Outcome)),
            campaign=draw.choice(("win-back", "survey", "gone")),
            subscriber=f"+44770090010{draw.randint(0, 9)}",
        )
        for name in range(60)
    ]
    await callback_store.record(written)
    expected = Relevant()
    for each in written:
        expected.add(each.id, each)
    told = (await callback_store.changes("", 0)).attempts
    assert sorted(each.id for each in told) == sorted(each.id for page in expected.pages(()) for each in page)

    moments = Cutoffs({"win-back": 40.0, "survey": 20.0}, 10.0)
    staying = [each for each in written if not is_past(each, moments)]
    pairs = {each.subscriber for each in staying if each.outcome is MISSED}
    staying += [
        each
        for each in written
        if is_past(each, moments) and stays_with_missed(each, moments) and each.subscriber in pairs
    ]
    # Twice: an answer may wait for the next time, where its pair's last missed one goes in the same step.
    gone = sum([await callback_store.purge(moments) for _ in range(2)])
    left = await callback_store.attempts(None, None, 100)
    assert {each.id for each in left} == {each.id for each in staying}
    assert gone == len(written) - len(staying)


# --- opening and closing --------------------------------------------------------------------------------------------


async def test_everything_outlives_the_router(
    callback_store: CallbackStore, another_callback_store: CallbackOpener
) -> None:
    await callback_store.record([attempt("1"), attempt("2", subscriber=BORIS)])
    await callback_store.claim(OUR, ANNA, "call-1", 150.0, SINCE)
    cursor = (await callback_store.changes("", 0)).cursor
    await callback_store.close()
    again = await another_callback_store()
    assert (await again.changes(cursor, 0)).attempts == []
    assert {each.id for each in (await again.changes("", 0)).attempts} == {"1", "2"}
    assert (await again.claim(OUR, ANNA, "call-2", 160.0, SINCE)).status is CONSUMED
    assert (await again.claim(OUR, ANNA, "call-1", 160.0, SINCE)).status is GRANTED
    assert (await again.claim(OUR, BORIS, "call-3", 160.0, SINCE)).status is GRANTED


async def test_a_store_that_is_there_can_be_opened_for_a_look(
    callback_store: CallbackStore, another_callback_store: CallbackOpener
) -> None:
    await callback_store.record([attempt()])
    again = await another_callback_store()
    await again.open(make=False)
    assert await ids(again) == ["1.1"]


async def test_the_same_word_told_at_two_stores_at_once_is_news_once(
    callback_store: CallbackStore, another_callback_store: CallbackOpener
) -> None:
    other = await another_callback_store()
    for place in range(20):
        word = [attempt(f"{place}")]
        told = await asyncio.gather(callback_store.record(word), other.record(word))
        assert sorted(each.heard for (each,) in told) == [Heard.KNOWN, Heard.NEW]


async def test_nothing_waits_in_front_of_the_store_itself(callback_store: CallbackStore) -> None:
    await callback_store.record([attempt()])
    assert (callback_store.pending_count, await callback_store.pending()) == (0, [])


async def test_closing_what_is_closed_is_nothing(another_callback_store: CallbackOpener) -> None:
    store = await another_callback_store()
    await store.record([attempt()])
    await store.close()
    await store.close()


async def test_by_which_moment_was_purged_is_known_to_every_router(another_callback_store: CallbackOpener) -> None:
    one, two = await another_callback_store(), await another_callback_store()
    assert await one.purged_at() is None
    for moment in (1_700_000_000.25, 1_600_000_000.0):
        await one.note_purge(moment)
        assert await two.purged_at() == moment
