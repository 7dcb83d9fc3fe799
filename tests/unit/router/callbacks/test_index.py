"""What memory keeps of attempts, and that it never knows of too few."""

import pytest

from dialplan.campaigns.attempts import Outcome
from dialplan.campaigns.retention import Cutoffs
from dialplan.shards import SHARDS, finished
from router.callbacks import index
from router.callbacks.index import AttemptIndex
from tests.unit.router.rung import ALSO_OURS, ANNA, BORIS, NOW, OUR, VERA, attempt

MISSED, ANSWERED, FAILED = Outcome.MISSED, Outcome.ANSWERED, Outcome.FAILED


def test_of_nobody_nothing_is_known() -> None:
    memory = AttemptIndex()
    assert (memory.of(OUR, ANNA), memory.knows(OUR, ANNA), len(memory), memory.overflowing) == ({}, False, 0, False)


def test_of_each_campaign_the_newest_attempt_is_known_in_whatever_order_they_are_told() -> None:
    memory = AttemptIndex()
    new, old, survey = attempt("new", at=NOW + 10), attempt("old"), attempt("survey", campaign="survey")
    memory.remember([old, new, survey])
    assert memory.of(OUR, ANNA) == {"win-back": new, "survey": survey}
    memory.remember([old])
    assert memory.of(OUR, ANNA) == {"win-back": new, "survey": survey}


def test_pairs_are_told_apart() -> None:
    memory = AttemptIndex()
    memory.remember([attempt("1"), attempt("2", subscriber=BORIS), attempt("3", number=ALSO_OURS)])
    assert memory.of(OUR, BORIS) == {"win-back": attempt("2", subscriber=BORIS)}
    assert memory.of(ALSO_OURS, BORIS) == {}
    assert [memory.knows(OUR, ANNA), memory.knows(OUR, BORIS), memory.knows(ALSO_OURS, ANNA)] == [True] * 3
    assert not memory.knows(ALSO_OURS, BORIS)
    assert len(memory) == 3


@pytest.mark.parametrize("relevant", [False, True])
def test_what_never_reached_the_subscriber_does_not_matter(relevant: bool) -> None:
    memory = AttemptIndex()
    memory.remember([attempt(outcome=FAILED)], relevant=relevant)
    assert len(memory) == 0


def test_an_answer_matters_where_another_attempt_was_missed_before_or_where_the_store_says_so() -> None:
    memory = AttemptIndex()
    memory.remember([attempt(outcome=ANSWERED), attempt("2", subscriber=BORIS)])
    memory.remember([attempt("3", subscriber=BORIS, at=NOW + 1, outcome=ANSWERED)])
    memory.remember([attempt("4", subscriber=VERA, outcome=ANSWERED)], relevant=True)
    assert [memory.knows(OUR, each) for each in (ANNA, BORIS, VERA)] == [False, True, True]
    assert len(memory) == 2
    assert [each.outcome for each in memory.of(OUR, BORIS).values()] == [ANSWERED]


def test_an_outcome_that_turns_out_to_be_another_one_replaces_what_was_known() -> None:
    memory = AttemptIndex()
    memory.remember([attempt()])
    memory.remember([attempt(outcome=ANSWERED)])
    assert memory.of(OUR, ANNA)["win-back"].outcome is ANSWERED


def test_beyond_the_cap_it_says_so_and_goes_on_following_whom_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "CALLBACK_PAIRS_MAX", 2)
    memory = AttemptIndex()
    memory.remember([attempt("1"), attempt("2", subscriber=BORIS)])
    assert not memory.overflowing
    memory.remember([attempt("3", subscriber=VERA), attempt("4", campaign="survey")])
    assert (memory.overflowing, len(memory), memory.of(OUR, VERA)) == (True, 2, {})
    assert memory.knows(OUR, VERA)  # the store may
    assert memory.knows(ALSO_OURS, ANNA)
    assert set(memory.of(OUR, ANNA)) == {"win-back", "survey"}


def test_what_is_too_old_for_its_campaign_goes_and_a_pair_without_anything_goes_with_it() -> None:
    memory = AttemptIndex()
    memory.remember([attempt("1"), attempt("2", campaign="survey")])
    pair = (OUR, ANNA)
    finished(memory.purging(Cutoffs({"win-back": NOW, "survey": NOW - 1}, 0.0)))
    assert set(memory.of(*pair)) == {"win-back", "survey"}
    finished(memory.purging(Cutoffs({"win-back": NOW + 1, "survey": NOW - 1}, 0.0)))
    assert set(memory.of(*pair)) == {"survey"}
    finished(memory.purging(Cutoffs({"win-back": NOW + 1, "survey": NOW + 1}, 0.0)))
    assert (memory.knows(*pair), len(memory)) == (False, 0)
    finished(memory.purging(Cutoffs({}, 0.0)))


def test_what_is_left_of_a_campaign_that_is_gone_stays_until_a_moment_of_its_own() -> None:
    memory = AttemptIndex()
    memory.remember([attempt()])
    finished(memory.purging(Cutoffs({"survey": NOW + 1}, NOW)))
    assert len(memory) == 1
    finished(memory.purging(Cutoffs({"survey": NOW + 1}, NOW + 1)))
    assert len(memory) == 0


def test_an_answer_stays_for_as_long_as_there_is_a_window_in_which_it_may_end_an_entitlement() -> None:
    memory = AttemptIndex()
    memory.remember([attempt("old", at=NOW - 10, campaign="survey"), attempt(outcome=ANSWERED)], relevant=True)
    finished(memory.purging(Cutoffs({"win-back": NOW + 1, "survey": NOW - 20}, 0.0)))
    assert set(memory.of(OUR, ANNA)) == {"win-back", "survey"}
    finished(memory.purging(Cutoffs({"win-back": NOW + 1, "survey": NOW + 1}, 0.0)))
    assert len(memory) == 0


def test_a_memory_that_is_let_go_holds_nothing() -> None:
    memory = AttemptIndex()
    memory.remember([attempt("1"), attempt("2", subscriber=BORIS)])
    held = memory._shards
    finished(memory.leaving())
    assert (memory._shards, len(memory), len(held)) == ([], 0, SHARDS)


def test_of_a_subscriber_with_several_of_our_numbers_only_the_pairs_that_are_past_go() -> None:
    memory = AttemptIndex()
    memory.remember([attempt("1"), attempt("2", number=ALSO_OURS, at=NOW + 10), attempt("3", campaign="survey")])
    finished(memory.purging(Cutoffs({"win-back": NOW + 1, "survey": NOW + 1}, 0.0)))
    assert (memory.knows(OUR, ANNA), memory.knows(ALSO_OURS, ANNA), len(memory)) == (False, True, 1)


def test_what_is_remembered_while_it_is_purged_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "PURGE_PAIRS_AT_ONCE", 1)
    memory = AttemptIndex()
    subscribers = [f"+4477009001{place:02}" for place in range(20)]
    memory.remember([attempt(each, subscriber=each) for each in subscribers])
    for each, _ in zip(subscribers, memory.purging(Cutoffs({"win-back": NOW + 1}, 0.0)), strict=False):
        memory.remember([attempt(f"later {each}", subscriber=each, at=NOW + 5)])
    assert len(memory) == sum(memory.knows(OUR, each) for each in subscribers)
    assert all(memory.of(OUR, each)["win-back"].at == NOW + 5 for each in subscribers[:5])
