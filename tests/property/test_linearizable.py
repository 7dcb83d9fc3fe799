"""The checker accepts what can have been, and refuses the rest; by small histories, and by trying out all orders."""

import itertools
import math
import random

import pytest

from tests.property.linearizable import NONE, Answer, Callback, Seen, State, Word, ask, find_order, shown, tell

HOUR = 3600.0
WINDOWS = {"win-back": 24 * HOUR, "survey": HOUR}
MISSED = Word("a-1", "win-back", 0.0, "missed")
RIGHT, USED = Answer("right", "a-1"), Answer("used", "a-1")


def told(asked_at: float, answered_at: float, word: Word = MISSED) -> Seen:
    return Seen(word, asked_at, answered_at)


def asked(call: str, asked_at: float, answered_at: float, answer: Answer | None, began: float = 10.0) -> Seen:
    return Seen(Callback(call, began), asked_at, answered_at, answer)


def fits(*history: Seen) -> bool:
    """The checker's finding, which is the same in whatever order the history is written down."""
    found = {find_order(each, WINDOWS).fits for each in (history, history[::-1])}
    assert len(found) == 1
    return found.pop()


# --- the rule, one after the other ------------------------------------------------------------------------------------


def answers(*operations: Word | Callback) -> list[Answer]:
    state, found = State(), []
    for each in operations:
        if isinstance(each, Word):
            state = tell(state, each)
        else:
            state, answer = ask(state, each, WINDOWS)
            found.append(answer)
    return found


def test_the_first_callback_has_the_entitlement_and_the_second_has_not() -> None:
    assert answers(MISSED, Callback("c-1", 10), Callback("c-2", 20)) == [RIGHT, USED]


def test_the_same_call_is_told_the_same() -> None:
    first, second = Callback("c-1", 10), Callback("c-2", 20)
    assert answers(MISSED, first, second, first, second) == [RIGHT, USED, RIGHT, USED]


def test_nobody_whom_no_campaign_reached_has_an_entitlement_and_nothing_is_remembered_of_it() -> None:
    call = Callback("c-1", 10)
    assert answers(call, MISSED._replace(outcome="failed"), call, MISSED, call) == [NONE, NONE, RIGHT]


def test_a_newer_missed_attempt_replaces_the_entitlement_and_the_older_one_is_consumed_with_it() -> None:
    newer = Word("a-2", "survey", 5.0, "missed")
    assert answers(MISSED, newer, Callback("c-1", 10), Callback("c-2", 20)) == [
        Answer("right", "a-2"),
        Answer("used", "a-2"),
    ]


def test_an_attempt_after_a_callback_gives_an_entitlement_again() -> None:
    newer = Word("a-2", "survey", 15.0, "missed")
    found = answers(MISSED, Callback("c-1", 10), newer, Callback("c-2", 20), Callback("c-3", 20))
    assert found == [RIGHT, Answer("right", "a-2"), Answer("used", "a-2")]


@pytest.mark.parametrize(("at", "answer"), [(-1.0, RIGHT), (0.0, NONE), (1.0, NONE), (15.0, NONE), (15.1, RIGHT)])
def test_a_later_answer_ends_the_entitlement_unless_it_came_after_the_call_had_begun(at: float, answer: Answer) -> None:
    assert answers(MISSED, Word("a-2", "survey", at, "answered"), Callback("c-1", 10)) == [answer]


def test_failed_attempts_end_no_entitlement() -> None:
    assert answers(MISSED, Word("a-2", "survey", 5.0, "failed"), Callback("c-1", 10)) == [RIGHT]


@pytest.mark.parametrize(("began", "answer"), [(HOUR, Answer("right", "a-1")), (HOUR + 1, NONE)])
def test_an_entitlement_lasts_as_long_as_its_campaigns_window(began: float, answer: Answer) -> None:
    assert answers(MISSED._replace(campaign="survey"), Callback("c-1", began)) == [answer]


def test_a_campaign_that_is_not_active_gives_no_entitlement() -> None:
    assert answers(MISSED._replace(campaign="over"), Callback("c-1", 10)) == [NONE]


@pytest.mark.parametrize(("at", "answer"), [(15.0, RIGHT), (15.1, NONE)])
def test_clocks_may_differ_by_so_much(at: float, answer: Answer) -> None:
    assert answers(MISSED._replace(at=at), Callback("c-1", 10)) == [answer]


def test_the_word_that_says_most_stands_and_the_moment_that_came_first() -> None:
    words = [MISSED, MISSED._replace(at=3.0, outcome="answered"), MISSED._replace(at=4.0)]
    for order, at in zip(itertools.permutations(words), (0.0, 0.0, 3.0, 3.0, 4.0, 4.0), strict=True):
        state = State()
        for word in order:
            state = tell(state, word)
        assert state.attempts == {MISSED._replace(at=at, outcome="answered")}


# --- histories --------------------------------------------------------------------------------------------------------


def test_nothing_fits() -> None:
    assert fits()


def test_callbacks_at_once_may_have_the_entitlement_in_either_order() -> None:
    assert fits(told(0, 1), asked("c-1", 2, 5, USED), asked("c-2", 3, 4, RIGHT))
    assert fits(told(0, 1), asked("c-1", 2, 5, RIGHT), asked("c-2", 3, 4, USED))


def test_an_entitlement_used_twice_is_refused() -> None:
    assert not fits(told(0, 1), asked("c-1", 2, 5, RIGHT), asked("c-2", 3, 4, RIGHT))


def test_an_entitlement_that_nobody_gets_is_refused() -> None:
    assert not fits(told(0, 1), asked("c-1", 2, 5, USED), asked("c-2", 3, 4, USED))


def test_an_acknowledged_attempt_that_is_lost_is_refused() -> None:
    assert not fits(told(0, 1), asked("c-1", 2, 3, NONE))


def test_an_attempt_and_a_callback_at_once_may_come_in_either_order() -> None:
    assert fits(told(0, 4), asked("c-1", 2, 3, NONE))
    assert fits(told(0, 4), asked("c-1", 2, 3, RIGHT))


def test_the_second_of_two_callbacks_has_no_entitlement_that_the_first_one_should_have_had() -> None:
    assert not fits(told(0, 1), asked("c-1", 2, 3, USED), asked("c-2", 4, 5, RIGHT))


def test_an_answer_that_changes_when_the_same_call_asks_again_is_refused() -> None:
    history = [told(0, 1), asked("c-1", 2, 3, RIGHT), asked("c-2", 4, 5, USED)]
    assert fits(*history, asked("c-1", 6, 7, RIGHT), asked("c-2", 6, 7, USED))
    assert not fits(*history, asked("c-1", 6, 7, USED))
    assert not fits(*history, asked("c-2", 6, 7, RIGHT))
    assert not fits(*history, asked("c-1", 6, 7, NONE))


def test_the_entitlement_of_another_attempt_is_refused() -> None:
    newer = told(0, 1, Word("a-2", "survey", 5.0, "missed"))
    assert fits(told(0, 1), newer, asked("c-1", 2, 3, Answer("right", "a-2")))
    assert not fits(told(0, 1), newer, asked("c-1", 2, 3, RIGHT))


def test_a_word_that_was_not_answered_may_count_at_once_or_late_or_never() -> None:
    lost = told(0, math.inf)
    assert fits(lost, asked("c-1", 2, 3, RIGHT))
    assert fits(lost, asked("c-1", 2, 3, NONE), asked("c-2", 4, 5, RIGHT), asked("c-3", 6, 7, USED))
    assert fits(lost, asked("c-1", 2, 3, NONE), asked("c-2", 4, 5, NONE))
    assert not fits(lost, asked("c-1", 2, 3, RIGHT), asked("c-2", 4, 5, NONE))


def test_a_word_counts_before_it_is_told_in_no_history() -> None:
    assert not fits(asked("c-1", 0, 1, RIGHT), told(2, math.inf))
    assert not fits(asked("c-1", 0, 1, RIGHT), told(2, 3))


def test_a_callback_that_was_not_answered_may_have_consumed_the_entitlement() -> None:
    lost = asked("c-1", 2, math.inf, None)
    assert fits(told(0, 1), lost, asked("c-2", 4, 5, USED))
    assert fits(told(0, 1), lost, asked("c-2", 4, 5, RIGHT))
    assert not fits(told(0, 1), lost, asked("c-2", 4, 5, NONE))


def test_a_call_that_was_not_answered_and_asks_again_tells_what_became_of_the_entitlement() -> None:
    lost = asked("c-1", 2, math.inf, None)
    assert fits(told(0, 1), lost, asked("c-2", 4, 5, USED), asked("c-1", 6, 7, RIGHT))
    assert fits(told(0, 1), lost, asked("c-2", 4, 5, RIGHT), asked("c-1", 6, 7, USED))
    assert not fits(told(0, 1), lost, asked("c-2", 4, 5, USED), asked("c-1", 6, 7, USED))
    assert not fits(told(0, 1), lost, asked("c-2", 4, 5, RIGHT), asked("c-1", 6, 7, RIGHT))


def test_an_answer_that_comes_between_two_callbacks_ends_the_entitlement_once_and_for_all() -> None:
    answer = told(2, 9, MISSED._replace(outcome="answered"))
    assert fits(told(0, 1), answer, asked("c-1", 3, 4, RIGHT), asked("c-2", 5, 6, NONE))
    assert not fits(told(0, 1), answer, asked("c-1", 3, 4, NONE), asked("c-2", 5, 6, RIGHT))


def test_the_order_that_was_found_is_told_and_else_the_longest_beginning() -> None:
    good = [asked("c-1", 2, 5, USED), asked("c-2", 3, 4, RIGHT), told(0, 1)]
    assert find_order(good, WINDOWS) == (True, good[::-1])
    bad = [asked("c-1", 2, 3, NONE), told(0, 1)]
    assert find_order(bad, WINDOWS) == (False, [told(0, 1)])


def test_a_history_can_be_read() -> None:
    history = [asked("c-1", 1.002, math.inf, None), told(1.0, 1.001), asked("c-2", 1.003, 1.004, RIGHT)]
    assert shown([history[0]._replace(note="router 1"), *history[1:]]).splitlines() == [
        "    0.00     1.00 ms  a-1 of win-back at 0 was missed",
        "    2.00      inf ms  c-1, begun at 10, asks: no answer  (router 1)",
        "    3.00     4.00 ms  c-2, begun at 10, asks: right a-1",
    ]


# --- against all orders -----------------------------------------------------------------------------------------------


def explains(order: tuple[Seen, ...]) -> bool:
    """Whether operations that are done one after the other in this order are answered so, and at their time."""
    state = State()
    for place, seen in enumerate(order):
        if any(later.answered_at < seen.asked_at for later in order[place:]):
            return False
        if isinstance(seen.what, Word):
            state = tell(state, seen.what)
            continue
        state, answer = ask(state, seen.what, WINDOWS)
        if seen.answer not in (None, answer):
            return False
    return True


def fits_by_trying(history: list[Seen]) -> bool:
    """The same as the checker by its definition: any order of all that was answered and of some of the others."""
    answered = [seen for seen in history if not math.isinf(seen.answered_at)]
    lost = [seen for seen in history if math.isinf(seen.answered_at)]
    done = (
        some for count in range(len(lost) + 1) for some in itertools.combinations(lost, count)
    )  # of those that nobody knows of
    return any(explains(order) for some in done for order in itertools.permutations([*answered, *some]))


def drawn(draw: random.Random) -> list[Seen]:
    """A small history whose answers are right by and large."""
    history: list[Seen] = []
    for _ in range(draw.randint(1, 5)):
        start = draw.randint(0, 12)
        end = math.inf if draw.random() < 0.2 else start + draw.randint(0, 6)
        if draw.random() < 0.4:
            name = draw.choice(("a-1", "a-2"))
            outcome = draw.choice(("missed", "missed", "answered", "failed"))
            history.append(told(start, end, Word(name, "win-back", draw.choice((0.0, 8.0)), outcome)))
        else:
            given = Answer(draw.choice(("right", "used")), draw.choice(("a-1", "a-1", "a-2")))
            answer = None if math.isinf(end) else draw.choice((given, given, NONE))
            history.append(asked(draw.choice(("c-1", "c-2")), start, end, answer))
    return history


def test_it_finds_what_trying_out_all_orders_finds() -> None:
    draw = random.Random(1)
    found = []
    for _ in range(4_000):
        history = drawn(draw)
        found.append(fits(*history))
        assert found[-1] == fits_by_trying(history), shown(history)
    assert 400 < sum(found) < 3_600  # there was something of either kind
