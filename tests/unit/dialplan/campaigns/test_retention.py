"""Which attempts are past, which stay all the same, and which matter to a callback."""

import math

import pytest

from dialplan.campaigns.attempts import Attempt, Outcome
from dialplan.campaigns.retention import Cutoffs, Relevant, believed, cutoffs, is_past, stays_with_missed
from dialplan.shards import SHARDS
from tests.samples import campaign, company
from tests.tables import table_of

MISSED, ANSWERED, FAILED = Outcome.MISSED, Outcome.ANSWERED, Outcome.FAILED
HOUR, DAY = 3600.0, 86_400.0
MOMENTS = Cutoffs({"win-back": 100.0, "survey": 50.0}, 10.0)


def attempt(name: str, at: float, outcome: Outcome = MISSED, of: str = "win-back", subscriber: str = "+44") -> Attempt:
    return Attempt(name, of, "+442079460000", subscriber, at, outcome)


def test_an_attempt_is_past_when_its_campaigns_window_and_the_margin_are_over() -> None:
    table = table_of(
        company(identified=True),
        campaign("win-back", direction="outbound", callback_window_hours=2),
        campaign("survey", direction="outbound", callback_window_hours=24),
    )
    moments = cutoffs(table.campaigns, 100 * DAY, DAY, 90 * DAY)
    assert moments.campaigns == {"win-back": 99 * DAY - 2 * HOUR, "survey": 98 * DAY}
    assert (moments.oldest, moments.answered, moments.latest) == (10 * DAY, 98 * DAY, 99 * DAY - 2 * HOUR)


def test_without_campaigns_all_have_one_moment() -> None:
    moments = cutoffs({}, 100 * DAY, DAY, 90 * DAY)
    assert (moments.oldest, moments.answered, moments.latest) == (10 * DAY, 10 * DAY, 10 * DAY)


def test_a_clock_that_is_ahead_moves_all_moments() -> None:
    moments = MOMENTS.earlier(5.0)
    assert moments.campaigns == {"win-back": 95.0, "survey": 45.0}
    assert (moments.oldest, moments.answered, moments.latest) == (5.0, 45.0, 95.0)


@pytest.mark.parametrize("outcome", [MISSED, FAILED])
@pytest.mark.parametrize(("of", "moment"), [("win-back", 100.0), ("survey", 50.0), ("gone", 10.0)])
def test_what_was_not_answered_goes_by_its_own_campaign(outcome: Outcome, of: str, moment: float) -> None:
    assert not is_past(attempt("1", moment, outcome, of), MOMENTS)
    assert is_past(attempt("1", math.nextafter(moment, 0.0), outcome, of), MOMENTS)
    assert not stays_with_missed(attempt("1", moment, outcome, of), MOMENTS)


@pytest.mark.parametrize("of", ["win-back", "survey", "gone"])
def test_an_answer_goes_by_the_longest_window_and_stays_with_a_missed_one(of: str) -> None:
    assert not is_past(attempt("1", 50.0, ANSWERED, of), MOMENTS)
    assert is_past(attempt("1", 49.0, ANSWERED, of), MOMENTS)
    assert stays_with_missed(attempt("1", 10.0, ANSWERED, of), MOMENTS)
    assert not stays_with_missed(attempt("1", 9.0, ANSWERED, of), MOMENTS)


def test_nothing_is_kept_beyond_the_oldest_moment_whatever_the_window_is() -> None:
    moments = Cutoffs({"win-back": 5.0}, 10.0)
    for outcome in Outcome:
        assert is_past(attempt("1", 9.0, outcome), moments)
        assert not stays_with_missed(attempt("1", 9.0, outcome), moments)
        assert not is_past(attempt("1", 10.0, outcome), moments)


def test_missed_ones_matter_and_answered_ones_of_their_pairs_or_that_gave_an_entitlement() -> None:
    found = Relevant()
    for each in (
        attempt("2", 2.0, ANSWERED, of="survey"),
        attempt("1", 1.0),
        attempt("3", 3.0, ANSWERED, subscriber="+45"),
        attempt("4", 4.0, ANSWERED, subscriber="+46"),
        attempt("5", 5.0, FAILED),
    ):
        found.add(f"name of {each.id}", each)
    assert {each.id for page in found.pages({"name of 4"}) for each in page} == {"1", "2", "4"}


def test_the_last_word_under_a_name_matters() -> None:
    found = Relevant()
    found.add("one", attempt("1", 1.0))
    found.add("one", attempt("1", 2.0))
    assert [each.at for page in found.pages(()) for each in page] == [2.0]


def test_what_was_found_is_let_go_of_in_steps() -> None:
    found = Relevant()
    found.add("one", attempt("1", 1.0))
    found.add("two", attempt("2", 2.0, ANSWERED))
    assert sum(1 for _ in found.leaving()) >= 3 * (SHARDS - 1)
    assert list(found.pages(())) == []


def test_a_purge_goes_by_the_clock_as_far_as_time_has_passed() -> None:
    assert believed(now=1_000.0, last=900.0, passed_seconds=100.0, pace=1.25) == 1_000.0
    assert believed(now=9_000.0, last=900.0, passed_seconds=100.0, pace=1.25) == 1_025.0
    assert believed(now=500.0, last=900.0, passed_seconds=100.0, pace=1.25) == 500.0
