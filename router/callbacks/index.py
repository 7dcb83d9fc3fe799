"""What memory knows of attempts: which pairs of number and subscriber were missed. All other calls cost nothing extra.

It may know of too many, since the store has the last word; of too few it must not know.
"""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from dialplan.campaigns.attempts import Attempt, Outcome
from dialplan.campaigns.retention import Cutoffs, is_past
from router.config.limits import CALLBACK_PAIRS_MAX

_Pair: TypeAlias = tuple[str, str]  # number and subscriber, E.164


class AttemptIndex:
    """The newest attempt of each campaign to each pair that has a missed one.

    `overflowing`: there are more pairs than fit.
    """

    def __init__(self) -> None:
        self._attempts: dict[_Pair, dict[str, Attempt]] = {}
        self.overflowing = False

    def __len__(self) -> int:
        """How many pairs."""
        return len(self._attempts)

    def of(self, number: str, subscriber: str) -> Mapping[str, Attempt]:
        """The newest attempt of each campaign to that pair."""
        return self._attempts.get((number, subscriber), {})

    def pairs(self) -> list[_Pair]:
        """All of them, as they are now."""
        return list(self._attempts)

    def remember(self, attempts: Iterable[Attempt], *, relevant: bool = False) -> None:
        """Take attempts in. Answered ones count where the pair was missed before, or where all are `relevant`."""
        for attempt in attempts:
            if attempt.outcome is Outcome.FAILED:
                continue
            pair = (attempt.number, attempt.subscriber)
            missed = self._attempts.get(pair)
            if missed is None:
                if attempt.outcome is not Outcome.MISSED and not relevant:
                    continue
                if len(self._attempts) >= CALLBACK_PAIRS_MAX:
                    self.overflowing = True
                    continue
                missed = self._attempts[pair] = {}
            known = missed.get(attempt.campaign)
            if known is None or known.at <= attempt.at:
                missed[attempt.campaign] = attempt

    def purge(self, pair: _Pair, cutoffs: Cutoffs) -> None:
        """Let go of the pair's attempts that are past."""
        attempts = self._attempts.get(pair, {})
        for campaign, attempt in list(attempts.items()):
            if is_past(attempt, cutoffs):
                del attempts[campaign]
        if not attempts:
            self._attempts.pop(pair, None)

    def release(self) -> None:
        """Let go of everything bit by bit: freeing a million pairs at once would hold up calls for 0.3 s."""
        while self._attempts:
            self._attempts.popitem()
