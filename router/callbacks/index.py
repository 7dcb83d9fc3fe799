"""What memory knows of attempts: which pairs of number and subscriber were missed. All other calls cost nothing extra.

It may know of too many, since the store has the last word; of too few it must not know.
"""

from collections.abc import Iterable, Mapping

from dialplan.campaigns.attempts import Attempt, Outcome
from dialplan.campaigns.retention import Cutoffs, is_past
from dialplan.shards import SHARD_MASK, Shards, Steps, let_go
from router.config.limits import CALLBACK_PAIRS_MAX, PURGE_PAIRS_AT_ONCE


class AttemptIndex:
    """The newest attempt of each campaign to each pair that has a missed one.

    `shards[hash(subscriber) & SHARD_MASK]` has those of a subscriber: `knows`, which each call asks, is one look there.
    `overflowing`: there are more pairs than fit.
    """

    def __init__(self) -> None:
        self._attempts: Shards[tuple[Attempt, ...]] = Shards()
        self._pairs = 0
        self.shards = self._attempts.dicts
        self.overflowing = False

    def __len__(self) -> int:
        """How many pairs."""
        return self._pairs

    def knows(self, number: str, subscriber: str) -> bool:
        """Whether there may be an attempt of that pair."""
        attempts = self.shards[hash(subscriber) & SHARD_MASK].get(subscriber)
        if attempts is None:  # as for most callers
            return self.overflowing
        return self.overflowing or any(each.number == number for each in attempts)

    def of(self, number: str, subscriber: str) -> Mapping[str, Attempt]:
        """The newest attempt of each campaign to that pair."""
        return {each.campaign: each for each in self._attempts.get(subscriber, ()) if each.number == number}

    def remember(self, attempts: Iterable[Attempt], *, relevant: bool = False) -> None:
        """Take attempts in. Answered ones count where the pair was missed before, or where all are `relevant`."""
        for attempt in attempts:
            if attempt.outcome is Outcome.FAILED:
                continue
            others = self._attempts.get(attempt.subscriber, ())
            of_pair = [each for each in others if each.number == attempt.number]
            if not of_pair:
                if attempt.outcome is not Outcome.MISSED and not relevant:
                    continue
                if self._pairs >= CALLBACK_PAIRS_MAX:
                    self.overflowing = True
                    continue
                self._pairs += 1
            known = next((each for each in of_pair if each.campaign == attempt.campaign), None)
            if known is None:
                self._attempts[attempt.subscriber] = (*others, attempt)
            elif known.at <= attempt.at:
                self._attempts[attempt.subscriber] = tuple(attempt if each is known else each for each in others)

    def purging(self, cutoffs: Cutoffs) -> Steps[None]:
        """Let go of the attempts that are past, in steps; what comes in between stays."""
        looked_at = 0
        for shard in self.shards:
            looked_at += len(shard)
            if looked_at >= PURGE_PAIRS_AT_ONCE:
                looked_at = 0
                yield
            for subscriber, attempts in list(shard.items()):
                left = tuple(each for each in attempts if not is_past(each, cutoffs))
                if len(left) == len(attempts):
                    continue
                self._pairs -= len({each.number for each in attempts}) - len({each.number for each in left})
                if left:
                    shard[subscriber] = left
                else:
                    del shard[subscriber]

    def leaving(self) -> Steps[None]:
        """Let go of everything, in steps. Nobody may use it afterwards."""
        pieces = [[shard] for shard in self.shards]
        self._attempts, self.shards, self._pairs = Shards([]), [], 0
        return let_go(pieces)
