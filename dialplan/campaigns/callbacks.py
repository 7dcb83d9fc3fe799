"""The entitlement that a missed attempt gives to a callback.

A subscriber whom a campaign rang, showing one of our numbers, and who did not answer, may ring that number back. The
newest attempt to the subscriber that showed the number gives the *callback entitlement*, if it was missed, is younger
than its campaign's callback window and has not been called back since, and its campaign is active.

Pure: who keeps the attempts, and who makes sure that an entitlement is consumed once, is handed in.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum

import msgspec

from dialplan.campaigns.attempts import Attempt, Outcome
from dialplan.dataset import times
from dialplan.kinds.campaign import Campaign, Direction
from dialplan.wording import Code, Message, Trace

_HOUR_SECONDS = 3600.0
_ATTEMPT = Code("attempt", "{made}, campaign {campaign!q}, {at}, {attempt}")
_ATTEMPT_REJECTED = Code("attempt-rejected", "{made}, campaign {campaign!q}, {at}, {attempt}: {why}")
_ANSWERED = Code("attempt-answered", "it was answered")
_FAILED = Code("attempt-failed", "it never reached the subscriber")
_NOT_STORED = Code("attempt-of-no-campaign", "campaign {campaign!q} is not stored")
_NOT_ACTIVE = Code("attempt-of-inactive-campaign", "campaign {campaign!q} is not active")
_INBOUND = Code("attempt-of-inbound-campaign", "campaign {campaign!q} is inbound, and calls nobody")
_ANOTHERS = Code("attempt-of-another-company", "campaign {campaign!q} is of company {company!q}, and the number is not")
_TOO_OLD = Code("attempt-too-old", "the callback window of campaign {campaign!q} is over")
_ANSWERED_LATER = Code("attempt-answered-later", "a later attempt was answered")
_TOO_LATE = Code("attempt-too-late", "it ended after this call had begun")
_CALLED_BACK = Code("attempt-called-back", "it has been called back since")
_REPLACED = Code("attempt-replaced", "a newer attempt replaces it")

CLOCKS_APART_SECONDS = 5.0  # how far Asterisk's clock and the router's may differ at no loss


class ClaimStatus(StrEnum):
    """What a callback got from the history of its pair. Stores keep these values: never rename one."""

    GRANTED = "right"  # the entitlement was there, and is this call's now
    CONSUMED = "used"  # an earlier callback has consumed it
    NONE = "none"  # no attempt gives one


class Claim(msgspec.Struct, frozen=True):
    """The answer to a callback that asks for its entitlement.

    `attempt`: the one that gives it, or gave it. `declared`: the store could not say, the installation's own rule did.
    `again`: the same call had asked before.
    """

    status: ClaimStatus
    attempt: Attempt | None = None
    declared: bool = False
    again: bool = False


class History(msgspec.Struct, frozen=True):
    """All that is known of a number and a subscriber: the attempts, and up to when the newest callback consumed."""

    attempts: tuple[Attempt, ...] = ()
    used_at: float | None = None


def earliest(
    names: Iterable[str], campaigns: Mapping[str, Campaign], company: str | None, now: float
) -> dict[str, float]:
    """Those of the campaigns `names` whose attempts may entitle a callback at `now` to a number of `company`.

    Each with the oldest moment that still counts. A number that has changed hands gives nothing of its last owner;
    one of the pool (None) belongs to nobody.
    """
    since: dict[str, float] = {}
    for name in names:
        if entitling_fault(name, campaigns, company) is None:
            since[name] = now - campaigns[name].callback_window_hours * _HOUR_SECONDS
    return since


def entitling_fault(name: str, campaigns: Mapping[str, Campaign], company: str | None) -> Message | None:
    """Why attempts of the campaign `name` entitle nobody to a number of `company`; None where they may."""
    campaign = campaigns.get(name)
    if campaign is None:
        return _NOT_STORED(campaign=name)
    if campaign.direction is not Direction.OUTBOUND:
        return _INBOUND(campaign=name)
    if not campaign.active:
        return _NOT_ACTIVE(campaign=name)
    if company not in (None, campaign.company):
        return _ANOTHERS(campaign=name, company=campaign.company)
    return None


def claim_of(
    history: History,
    since: Mapping[str, float],
    trace: Trace | None = None,
    *,
    began: float = math.inf,
    left_out: Callable[[str], Message | None] = lambda _: None,
) -> Claim:
    """What a callback that `began` then (epoch seconds) gets from `history`. `since` comes from `earliest`.

    `left_out` tells a trace why a campaign is not in `since`.

    An attempt that ended when the call had begun already is none that it calls back, nor does its answer matter.
    Attempts that were called back, or that were followed by an answered one, give nothing any more. Where several are
    left, of several campaigns, the newest wins.
    """
    until = began + CLOCKS_APART_SECONDS
    answers = [each.at for each in history.attempts if each.outcome is Outcome.ANSWERED and each.at <= until]
    answered_at = max(answers, default=None)
    consumed: Attempt | None = None
    entitling: Attempt | None = None
    for attempt in sorted(history.attempts, key=lambda each: (each.at, each.id), reverse=True):
        why_not = _why_not(attempt, since, answered_at, left_out)
        if why_not is None and attempt.at > until:
            why_not = _TOO_LATE()
        if why_not is None and history.used_at is not None and attempt.at <= history.used_at:
            why_not = _CALLED_BACK()
            consumed = consumed or attempt
        if why_not is None and entitling is not None:
            why_not = _REPLACED()
        if why_not is None:
            entitling = attempt
        if trace is not None:
            _tell(trace, attempt, why_not)
    if entitling is not None:
        return Claim(ClaimStatus.GRANTED, entitling)
    return Claim(ClaimStatus.CONSUMED, consumed) if consumed is not None else Claim(ClaimStatus.NONE)


def _tell(trace: Trace, attempt: Attempt, why_not: Message | None) -> None:
    what = {
        "made": str(attempt.outcome),
        "campaign": attempt.campaign,
        "at": times.shown_at(attempt.at),
        "attempt": attempt.id,
    }
    if why_not is None:
        trace.step("attempt", "gives the entitlement", _ATTEMPT(**what))
    else:
        trace.step("attempt", "rejected", _ATTEMPT_REJECTED(**what, why=why_not))


def _why_not(
    attempt: Attempt,
    since: Mapping[str, float],
    answered_at: float | None,
    left_out: Callable[[str], Message | None],
) -> Message | None:
    if attempt.outcome is Outcome.ANSWERED:
        return _ANSWERED()
    if attempt.outcome is Outcome.FAILED:
        return _FAILED()
    if attempt.campaign not in since:
        return left_out(attempt.campaign) or _NOT_STORED(campaign=attempt.campaign)
    if attempt.at < since[attempt.campaign]:
        return _TOO_OLD(campaign=attempt.campaign)
    if answered_at is not None and attempt.at <= answered_at:
        return _ANSWERED_LATER()
    return None


def consumed_until(claim: Claim, began: float) -> float | None:
    """Up to when a callback that `began` then consumes the entitlements of its pair; None where it consumes none."""
    if claim.status is not ClaimStatus.GRANTED or claim.attempt is None:
        return None
    return max(began, claim.attempt.at)
