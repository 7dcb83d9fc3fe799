"""The callback entitlement that a missed attempt gives, and the three rules for it.

A subscriber whom a campaign rang, showing one of our numbers, and who did not answer, may ring that number back. The
*entitlement* is the newest attempt to that subscriber that showed the number, was missed, is younger than its
campaign's callback window, has not been called back since, and whose campaign is active.

Pure: who keeps the attempts, and who makes sure that an entitlement is consumed once, is handed in.
"""

import math
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Protocol

import msgspec

from dialplan.campaigns.attempts import Attempt, Outcome
from dialplan.kinds.campaign import Campaign, Direction
from dialplan.kinds.number import CallbackRule
from dialplan.routing.decide import Decision, Kind, Reason
from dialplan.routing.table import Entry, RoutingTable

_HOUR_SECONDS = 3600.0
CLOCKS_APART_SECONDS = (
    5.0  # how far the clocks of Asterisk and router may differ before a callback loses its entitlement
)


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
    """What is known of a number and a subscriber: the attempts, and when a callback last consumed an entitlement."""

    attempts: tuple[Attempt, ...] = ()
    used_at: float | None = None


class CallbackTrace(Protocol):
    """Is told what a history gives, and why; `dialplan.routing.explain` has one that puts it into words."""

    def attempt(self, attempt: Attempt, why_not: str) -> None:
        """An attempt that was looked at, newest first; `why_not` is empty for the one that gives the entitlement."""
        ...


def rule_of(entry: Entry) -> CallbackRule:
    """The rule of a number. A callback to a pool number follows the campaign."""
    return entry.callback_rule if entry.company is not None else CallbackRule.AS_IN_CAMPAIGN


def earliest(campaigns: Iterable[str], table: RoutingTable, entry: Entry, now: float) -> dict[str, float]:
    """Those of `campaigns` whose attempts may give an entitlement to a callback of the number `entry` at `now`.

    Each with the oldest moment that still counts. A number that has changed hands gives nothing of its last owner.
    """
    since: dict[str, float] = {}
    for name in campaigns:
        campaign = table.campaigns.get(name)
        if campaign is None or not campaign.active or campaign.direction is not Direction.OUTBOUND:
            continue
        if entry.company in (None, campaign.company):
            since[name] = now - campaign.callback_window_hours * _HOUR_SECONDS
    return since


def claim_of(
    history: History, since: Mapping[str, float], trace: CallbackTrace | None = None, *, began: float = math.inf
) -> Claim:
    """What a callback that `began` then (epoch seconds) gets from `history`. `since` comes from `earliest`.

    An attempt that ended when the call had begun already is none that it calls back, nor does its answer matter.
    Attempts that were called back, or that were followed by an answered one, give nothing any more. Where several are
    left, of several campaigns, the newest wins.
    """
    until = began + CLOCKS_APART_SECONDS
    answers = [each.at for each in history.attempts if each.outcome is Outcome.ANSWERED and each.at <= until]
    answered_at = max(answers, default=None)
    used: Attempt | None = None
    entitlement: Attempt | None = None
    for attempt in sorted(history.attempts, key=lambda each: (each.at, each.id), reverse=True):
        why_not = _why_not(attempt, since, answered_at)
        if not why_not and attempt.at > until:
            why_not = "it ended after this call had begun"
        if not why_not and history.used_at is not None and attempt.at <= history.used_at:
            why_not = "it has been called back since"
            used = used or attempt
        if not why_not and entitlement is not None:
            why_not = "a newer attempt replaces it"
        if not why_not:
            entitlement = attempt
        if trace is not None:
            trace.attempt(attempt, why_not)
    if entitlement is not None:
        return Claim(ClaimStatus.GRANTED, entitlement)
    return Claim(ClaimStatus.CONSUMED, used) if used is not None else Claim(ClaimStatus.NONE)


def _why_not(attempt: Attempt, since: Mapping[str, float], answered_at: float | None) -> str:
    if attempt.outcome is Outcome.ANSWERED:
        return "it was answered"
    if attempt.outcome is Outcome.FAILED:
        return "it never reached the subscriber"
    if attempt.campaign not in since:
        return f'campaign "{attempt.campaign}" is not an active one of the number\'s company'
    if attempt.at < since[attempt.campaign]:
        return f'the callback window of campaign "{attempt.campaign}" is over'
    if answered_at is not None and attempt.at <= answered_at:
        return "a later attempt was answered"
    return ""


def consumed_until(claim: Claim, began: float) -> float | None:
    """Up to when a callback that `began` then consumes the entitlements of its pair; None where it consumes none."""
    if claim.status is not ClaimStatus.GRANTED or claim.attempt is None:
        return None
    return max(began, claim.attempt.at)


def may_claim(entry: Entry, decision: Decision) -> bool:
    """Whether a callback rule can change `decision`, which was made for `entry` without one."""
    return entry.active and bool(decision.caller) and rule_of(entry) is not CallbackRule.FORCE_NO


def called_back(decision: Decision, entry: Entry, claim: Claim, table: RoutingTable) -> Decision:
    """The decision for a callback with `claim`; `decision` is the one that the number's own assignment gives."""
    if claim.attempt is None:
        return decision
    if claim.status is ClaimStatus.CONSUMED:
        return _own(decision, Reason.CALLBACK_USED)
    campaign = table.campaigns.get(claim.attempt.campaign)
    if campaign is None:  # removed since
        return decision
    if rule_of(entry) is CallbackRule.FORCE_YES:
        return _to_campaign(decision, campaign, Reason.CALLBACK_FORCE_YES)
    if campaign.accept_incoming:
        return _to_campaign(decision, campaign, Reason.CALLBACK_CAMPAIGN)
    return _own(decision, Reason.CALLBACK_NOT_ACCEPTED)


def _own(decision: Decision, reason: Reason) -> Decision:
    """The number's own decision; the callback's reason stands unless another step had to find a default."""
    if decision.kind is Kind.DEFAULT:
        return decision
    return msgspec.structs.replace(decision, reason=reason)


def _to_campaign(decision: Decision, campaign: Campaign, reason: Reason) -> Decision:
    return msgspec.structs.replace(
        decision,
        reason=reason,
        kind=Kind.CAMPAIGN,
        destination=campaign.destination,
        target=campaign,
        values=(),
        company=campaign.company,
    )
