"""What memory knows of attempts: which pairs of number and subscriber were missed. All other calls cost nothing extra.

It may know of too many, since the store has the last word; of too few it must not know.
"""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from dialplan.campaigns.attempts import Attempt, Outcome
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

    def remember(self, attempts: Iterable[Attempt], *, mattering: bool = False) -> None:
        """Take attempts in. Answered ones count where the pair was missed before, or where they are `mattering`."""
        for attempt in attempts:
            if attempt.outcome is Outcome.FAILED:
                continue
            pair = (attempt.number, attempt.subscriber)
            missed = self._attempts.get(pair)
            if missed is None:
                if attempt.outcome is not Outcome.MISSED and not mattering:
                    continue
                if len(self._attempts) >= CALLBACK_PAIRS_MAX:
                    self.overflowing = True
                    continue
                missed = self._attempts[pair] = {}
            known = missed.get(attempt.campaign)
            if known is None or known.at <= attempt.at:
                missed[attempt.campaign] = attempt

    def purge(self, pair: _Pair, until: Mapping[str, float], otherwise: float) -> None:
        """Let go of the pair's attempts of each campaign before a moment, of any other one before `otherwise`.

        An answer stays as long as there is a campaign whose older attempt it may end.
        """
        missed = self._attempts.get(pair, {})
        longest = min(until.values(), default=otherwise)
        for campaign, attempt in list(missed.items()):
            moment = longest if attempt.outcome is Outcome.ANSWERED else until.get(campaign, otherwise)
            if attempt.at < moment:
                del missed[campaign]
        if not missed:
            self._attempts.pop(pair, None)

    def release(self) -> None:
        """Let go of everything bit by bit: freeing a million pairs at once would hold up calls for 0.3 s."""
        while self._attempts:
            self._attempts.popitem()
