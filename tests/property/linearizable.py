"""Whether what was seen of one pair's attempts and callbacks fits into one order: a small linearizability checker.

A history is what callers asked of several routers at once, when, and what they were told. It is linearizable if each
operation can be given one moment between its question and its answer, so that all of them, done one after the other
in that order, give those very answers. One that ended with an error, a timeout or a cancellation may have had its
effect at any moment since it was asked, or never.

The search is that of Wing and Gong, with Lowe's memory of what was tried: an operation may come next if none that is
left was answered before it was asked. What one after the other means is written here once more, and
shares nothing with `dialplan.campaigns.callbacks`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

CLOCKS_SECONDS = 5.0  # an attempt may end so long after the callback began: two clocks tell of them
_SAYS_MORE = ("failed", "missed", "answered")


class Word(NamedTuple):
    """A source's report of an attempt: `at` is its end in epoch seconds, `outcome` missed, answered or failed."""

    attempt: str
    campaign: str
    at: float
    outcome: str


class Callback(NamedTuple):
    """A call, which began then (epoch seconds), asks for its entitlement."""

    call: str
    began: float


class Answer(NamedTuple):
    """right, used or none; and the attempt that gives the entitlement, or gave it."""

    status: str
    attempt: str = ""


NONE = Answer("none")


class Seen(NamedTuple):
    """An operation as its caller saw it, by the caller's clock. `answered_at` infinite: it was not answered.

    `answer`: of a callback that was answered. `note`: for whoever reads the history.
    """

    what: Word | Callback
    asked_at: float
    answered_at: float = math.inf
    answer: Answer | None = None
    note: str = ""


class State(NamedTuple):
    """All that is known of the pair at one moment."""

    attempts: frozenset[Word] = frozenset()
    used_until: float = -math.inf  # attempts up to then have been called back
    told: frozenset[tuple[str, Answer]] = frozenset()  # what each call was told


class Finding(NamedTuple):
    """An order of all operations that explains what was seen, or the longest beginning of one."""

    fits: bool
    order: list[Seen]


def tell(state: State, word: Word) -> State:
    """A word about an attempt: the first one says when it was, the one that says most says what became of it."""
    known = next((each for each in state.attempts if each.attempt == word.attempt), None)
    if known is None:
        return state._replace(attempts=state.attempts | {word})
    outcome = max(known.outcome, word.outcome, key=_SAYS_MORE.index)
    return state._replace(attempts=state.attempts - {known} | {known._replace(outcome=outcome)})


def ask(state: State, callback: Callback, windows: Mapping[str, float]) -> tuple[State, Answer]:
    """A callback, where the active campaigns have these windows (seconds)."""
    call, began = callback
    for known, answer in state.told:
        if known == call:
            return state, answer
    reached = [each for each in state.attempts if each.outcome != "failed"]
    if not reached:
        return state, NONE  # there is nothing to remember of it: it may ask again
    ended = [each for each in reached if each.at <= began + CLOCKS_SECONDS]
    missed = [
        each
        for each in ended
        if each.outcome == "missed"
        and began - each.at <= windows.get(each.campaign, -math.inf)
        and not any(later.outcome == "answered" and later.at >= each.at for later in ended)
    ]
    newest = max(missed, key=lambda each: (each.at, each.attempt), default=None)
    if newest is None:
        answer = NONE
    elif newest.at <= state.used_until:
        answer = Answer("used", newest.attempt)
    else:
        answer = Answer("right", newest.attempt)
        state = state._replace(used_until=max(state.used_until, began, newest.at))
    return state._replace(told=state.told | {(call, answer)}), answer


def find_order(history: Sequence[Seen], windows: Mapping[str, float]) -> Finding:
    """Look for an order of `history` that explains its answers."""
    return _Search(history, windows).run()


class _Search:
    def __init__(self, history: Sequence[Seen], windows: Mapping[str, float]) -> None:
        self._history = sorted(history, key=lambda seen: seen.answered_at)
        self._windows = windows
        self._tried: set[tuple[frozenset[int], State]] = set()
        self._order: list[Seen] = []
        self._longest: list[Seen] = []

    def run(self) -> Finding:
        fits = self._go_on(frozenset(range(len(self._history))), State())
        return Finding(fits, self._order if fits else self._longest)

    def _go_on(self, left: frozenset[int], state: State) -> bool:
        """Whether there is an order of those that are left, from `state` on."""
        first_answered_at = min((self._history[place].answered_at for place in left), default=math.inf)
        if math.isinf(first_answered_at):
            return True  # nobody knows of the others whether they were done at all
        if (left, state) in self._tried:
            return False
        self._tried.add((left, state))
        for place in sorted(left):
            seen = self._history[place]
            if seen.asked_at > first_answered_at:
                continue
            after = self._after(state, seen)
            if after is None:
                continue
            self._order.append(seen)
            if len(self._order) > len(self._longest):
                self._longest = list(self._order)
            if self._go_on(left - {place}, after):
                return True
            self._order.pop()
        return False

    def _after(self, state: State, seen: Seen) -> State | None:
        """The state after it; None where it would have been told something else."""
        if isinstance(seen.what, Word):
            return tell(state, seen.what)
        after, answer = ask(state, seen.what, self._windows)
        return after if seen.answer in (None, answer) else None


def shown(history: Sequence[Seen]) -> str:
    """A history to read, a line for each operation in the order of the questions, in milliseconds from the first."""
    first = min((seen.asked_at for seen in history), default=0.0)
    return "\n".join(
        f"{1000 * (seen.asked_at - first):8.2f} {1000 * (seen.answered_at - first):8.2f} ms  {_what(seen)}"
        for seen in sorted(history, key=lambda seen: seen.asked_at)
    )


def _what(seen: Seen) -> str:
    if isinstance(seen.what, Word):
        told = f"{seen.what.attempt} of {seen.what.campaign} at {seen.what.at:.0f} was {seen.what.outcome}"
    else:
        got = "no answer" if seen.answer is None else " ".join(seen.answer).strip()
        told = f"{seen.what.call}, begun at {seen.what.began:.0f}, asks: {got}"
    return f"{told}  ({seen.note})" if seen.note else told
