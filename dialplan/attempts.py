"""Attempts of outbound campaigns: one call to a subscriber, showing one of our numbers, and what became of it.

Two witnesses tell of them, the manager interface and the dialplan's hangup handler. What they saw is judged here, by
the same rule for both, and their words for the numbers are read here.
"""

from enum import StrEnum

import msgspec

from dialplan.numbers import Bare, Unreadable, normalise
from dialplan.table import RoutingTable

# Q.850 causes of a call that came to the subscriber and was not taken: user busy, no user responding, no answer from
# user (alerted), call rejected.
_REACHED_CAUSES = frozenset({17, 18, 19, 21})


class Outcome(StrEnum):
    """What became of an attempt. Stable: metrics and data carry these words."""

    MISSED = "missed"
    ANSWERED = "answered"
    FAILED = "failed"  # it never reached the subscriber


def outcome_of(*, answered: bool, rang: bool, cause: int) -> Outcome:
    """The verdict on an attempt, all of its legs together.

    `rang`: ringing or early media was heard on one of them. `cause`: the hangup cause (Q.850), 0 where unknown. What
    Asterisk calls NOANSWER does not tell: it says so of a 404 and of a 603 as well.
    """
    if answered:
        return Outcome.ANSWERED
    return Outcome.MISSED if rang or cause in _REACHED_CAUSES else Outcome.FAILED


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """One outbound call of a campaign to a subscriber, showing one of our numbers, when it is over.

    `id` names the call: both witnesses of an attempt give it the same. `at` is its end, in epoch seconds UTC.
    """

    id: str
    campaign: str
    number: str  # shown, E.164
    subscriber: str  # E.164
    at: float
    outcome: Outcome


class Sighting(msgspec.Struct, frozen=True):
    """An attempt as a witness tells of it: numbers as they were written."""

    id: str
    campaign: str
    number: str  # shown
    subscriber: str
    at: float  # its end, epoch seconds UTC
    outcome: Outcome


def read_attempt(sighting: Sighting, table: RoutingTable, region: str, bare: Bare) -> Attempt | str:
    """The attempt in what a witness saw, or why there is none in it.

    National numbers are read in the region of the campaign's company, with `region` where that is not known.
    """
    campaign = table.campaigns.get(sighting.campaign)
    if campaign is None:
        return "no such campaign is stored"
    company = table.companies.get(campaign.company)
    home = company.region if company is not None else region
    number = normalise(sighting.number, home, bare)
    if isinstance(number, Unreadable):
        return f"the number shown cannot be read: {number.text}"
    subscriber = normalise(sighting.subscriber, home, bare)
    if isinstance(subscriber, Unreadable):
        return f"the subscriber's number cannot be read: {subscriber.text}"
    return Attempt(sighting.id, sighting.campaign, number, subscriber, sighting.at, sighting.outcome)
