"""What memory knows of attempts: which pairs of number and subscriber were missed. All other calls cost nothing extra.

It may know of too many, since the store has the last word; of too few it must not know.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import msgspec

from dialplan.campaigns.attempts import Attempt, Outcome
from dialplan.campaigns.retention import Cutoffs, is_past
from dialplan.shards import SHARD_MASK, Shards, Steps, let_go
from router.config.limits import CALLBACK_PAIRS_MAX, PURGE_PAIRS_AT_ONCE


class _Several(msgspec.Struct, frozen=True, gc=False):
    """Attempts of one subscriber. Most have one, which stands by itself.

    Neither is for the garbage collector, which would hold up calls while it looks through a million of them.
    """

    attempts: tuple[Attempt, ...]


_Known: TypeAlias = Attempt | _Several


class AttemptIndex:
    """The newest attempt of each campaign to each pair that has a missed one.

    `overflowing`: there are more pairs than fit.
    """

    def __init__(self) -> None:
        self._known: Shards[_Known] = Shards()  # by subscriber
        self._shards = self._known.dicts
        self._pairs = 0
        self.overflowing = False

    def __len__(self) -> int:
        """How many pairs."""
        return self._pairs

    def knows(self, number: str, subscriber: str) -> bool:
        """Whether there may be an attempt of that pair."""
        known = self._shards[hash(subscriber) & SHARD_MASK].get(subscriber)
        if known is None:  # as for most callers
            return self.overflowing
        return self.overflowing or any(each.number == number for each in _all(known))

    def of(self, number: str, subscriber: str) -> Mapping[str, Attempt]:
        """The newest attempt of each campaign to that pair."""
        return {each.campaign: each for each in self._of(subscriber) if each.number == number}

    def _of(self, subscriber: str) -> tuple[Attempt, ...]:
        known = self._known.get(subscriber)
        return () if known is None else _all(known)

    def remember(self, attempts: Iterable[Attempt], *, relevant: bool = False) -> None:
        """Take attempts in. Answered ones count where the pair was missed before, or where all are `relevant`."""
        for attempt in attempts:
            if attempt.outcome is Outcome.FAILED:
                continue
            known = self._of(attempt.subscriber)
            of_pair = [each for each in known if each.number == attempt.number]
            if not of_pair:
                if attempt.outcome is not Outcome.MISSED and not relevant:
                    continue
                if self._pairs >= CALLBACK_PAIRS_MAX:
                    self.overflowing = True
                    continue
                self._pairs += 1
            before = next((each for each in of_pair if each.campaign == attempt.campaign), None)
            if before is None:
                self._known[attempt.subscriber] = _lean([*known, attempt])
            elif before.at <= attempt.at:
                self._known[attempt.subscriber] = _lean([attempt if each is before else each for each in known])

    def purging(self, cutoffs: Cutoffs) -> Steps[None]:
        """Let go of the attempts that are past, in steps; what comes in between stays."""
        looked_at = 0
        for shard in self._shards:
            for subscriber, known in list(shard.items()):
                looked_at += 1
                if looked_at % PURGE_PAIRS_AT_ONCE == 0:
                    yield
                left = [each for each in _all(known) if not is_past(each, cutoffs)]
                if len(left) == len(_all(known)) or shard.get(subscriber) is not known:  # another one came in between
                    continue
                self._pairs -= len({each.number for each in _all(known)}) - len({each.number for each in left})
                if left:
                    shard[subscriber] = _lean(left)
                else:
                    del shard[subscriber]

    def leaving(self) -> Steps[None]:
        """Let go of everything, in steps. Nobody may use it afterwards."""
        pieces = [[shard] for shard in self._shards]
        self._known, self._shards, self._pairs = Shards([]), [], 0
        return let_go(pieces)


def _all(known: _Known) -> tuple[Attempt, ...]:
    return known.attempts if isinstance(known, _Several) else (known,)


def _lean(attempts: Sequence[Attempt]) -> _Known:
    return attempts[0] if len(attempts) == 1 else _Several(tuple(attempts))
