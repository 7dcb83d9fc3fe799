"""Which attempts may still matter to a callback, and until when each is kept.

Every store, and a router's memory, go by these rules.
"""

from collections.abc import Container, Iterator, Mapping

from dialplan.campaigns.attempts import Attempt, Outcome
from dialplan.kinds.campaign import Campaign
from dialplan.shards import Shards, Steps, let_go

_HOUR_SECONDS = 3600.0


class Cutoffs:
    """Moments (epoch seconds) before which attempts are past.

    `campaigns`: of each campaign; an attempt of it that was not answered is past when it ended before. `oldest`: of
    attempts whose campaign is gone; nothing is kept that ended before it. `answered`: of answered attempts. Such a one
    ends older entitlements, those of campaigns with a longer window too, so that it is past when all of them are.
    `latest`: nothing that ended later is past.
    """

    def __init__(self, campaigns: Mapping[str, float], oldest: float) -> None:
        self.campaigns = campaigns
        self.oldest = oldest
        self.answered = max(oldest, min(campaigns.values(), default=oldest))
        self.latest = max(oldest, max(campaigns.values(), default=oldest))

    def earlier(self, seconds: float) -> "Cutoffs":
        """The same, all of them so many seconds earlier."""
        return Cutoffs({name: moment - seconds for name, moment in self.campaigns.items()}, self.oldest - seconds)


def cutoffs(campaigns: Mapping[str, Campaign], now: float, margin_seconds: float, keep_seconds: float) -> Cutoffs:
    """What is past at `now` (epoch seconds): `margin_seconds` after its campaign's callback window is over.

    A call may ask again for as long as it lasts, and gets the same answer: hence the margin. Nothing is kept longer
    than `keep_seconds`.
    """
    over = now - margin_seconds
    moments = {name: over - campaign.callback_window_hours * _HOUR_SECONDS for name, campaign in campaigns.items()}
    return Cutoffs(moments, now - keep_seconds)


def believed(now: float, last: float, passed_seconds: float, pace: float) -> float:
    """By which moment to purge at `now` (epoch seconds), where the purge before went by `last`.

    A clock may be wrong, and what is deleted is gone when it is right again. So a purge goes on by no more than
    `pace` times the seconds that have passed since the last one. A pace above 1 catches up with the clock after a stop.
    """
    return min(now, last + passed_seconds * pace)


def is_past(attempt: Attempt, moments: Cutoffs) -> bool:
    """Whether an attempt is past its moment. An answered one may have to stay all the same, see `stays_with_missed`."""
    if attempt.outcome is Outcome.ANSWERED:
        return attempt.at < moments.answered
    return attempt.at < max(moments.oldest, moments.campaigns.get(attempt.campaign, moments.oldest))


def stays_with_missed(attempt: Attempt, moments: Cutoffs) -> bool:
    """Whether an attempt that is past stays while its pair has a missed one: an answer, unless it is too old for all.

    Without the answer the missed one would give an entitlement again.
    """
    return attempt.outcome is Outcome.ANSWERED and attempt.at >= moments.oldest


class Relevant:
    """Finds the attempts that may matter to a callback among all that there are, a million without a long moment.

    Beside the missed ones these are the answered ones of the same pairs, and those that gave an entitlement before they
    turned out to be answered. One that never came to its subscriber does not matter.
    """

    def __init__(self) -> None:
        self._missed: Shards[Attempt] = Shards()
        self._answered: Shards[Attempt] = Shards()
        self._pairs: Shards[None] = Shards()

    def add(self, name: str, attempt: Attempt) -> None:
        """Take one in; the last word under its `name` stands."""
        if attempt.outcome is Outcome.MISSED:
            self._missed[name] = attempt
            self._pairs[f"{attempt.number} {attempt.subscriber}"] = None
        elif attempt.outcome is Outcome.ANSWERED:
            self._answered[name] = attempt

    def pages(self, entitled: Container[str]) -> Iterator[list[Attempt]]:
        """Those that may matter, in short pages. `entitled`: the names of those that gave an entitlement."""
        for missed, answered in zip(self._missed.dicts, self._answered.dicts, strict=True):
            page = list(missed.values())
            for name, attempt in answered.items():
                if f"{attempt.number} {attempt.subscriber}" in self._pairs or name in entitled:
                    page.append(attempt)
            if page:
                yield page

    def leaving(self) -> Steps[None]:
        """Let go of everything, in steps. Nobody may use it afterwards."""
        pieces = [[shard] for section in (self._missed, self._answered, self._pairs) for shard in section.dicts]
        self._missed, self._answered, self._pairs = Shards([]), Shards([]), Shards([])
        return let_go(pieces)
