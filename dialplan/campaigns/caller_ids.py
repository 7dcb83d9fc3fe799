"""Which of our numbers an outbound call shows.

A campaign of an identified company shows the numbers that it reserved, round-robin; any other one those of the pool,
which all campaigns share, round-robin too. A disabled number is never shown: nobody could ring it back.
"""

import bisect
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from dialplan.kinds.campaign import Campaign, Direction
from dialplan.kinds.number import NumberKind
from dialplan.routing.table import RoutingTable


class CallerIdReason(StrEnum):
    """Why this number, or none, is shown. Stable: the dialplan's SHOW_REASON."""

    RESERVED = "campaign-number"
    POOL = "campaign-without-number"
    NOT_IDENTIFIED = "company-not-identified"
    DISABLED = "campaign-numbers-disabled"
    UNKNOWN_CAMPAIGN = "unknown-campaign"
    NOT_OUTBOUND = "campaign-not-outbound"
    INACTIVE = "campaign-not-active"
    EMPTY_POOL = "empty-pool"
    NO_DATA = "no-data"
    ERROR = "error"


class CallerIdResult(msgspec.Struct, frozen=True, gc=False):
    """The number that a call shows, E.164; None, with the reason, where none can be shown."""

    number: str | None
    kind: NumberKind | None
    reason: CallerIdReason


class CallerIdCandidates(msgspec.Struct, frozen=True, gc=False):
    """The numbers that a call may show, in order.

    `sequence_key` names the list whose turns go through them: a campaign's id, or "" for the pool.
    """

    numbers: Sequence[str]
    sequence_key: str
    kind: NumberKind
    reason: CallerIdReason

    def at(self, index: int) -> CallerIdResult:
        """The number at that place, counted on from the end to the beginning."""
        return CallerIdResult(self.numbers[index % len(self.numbers)], self.kind, self.reason)


def candidates(campaign_id: str, table: RoutingTable) -> CallerIdCandidates | CallerIdResult:
    """What the next call of a campaign may show; a CallerIdResult without a number where there is nothing."""
    if not table.version:
        return CallerIdResult(None, None, CallerIdReason.NO_DATA)
    campaign = table.campaigns.get(campaign_id)
    if campaign is None:
        return CallerIdResult(None, None, CallerIdReason.UNKNOWN_CAMPAIGN)
    if campaign.direction is not Direction.OUTBOUND:
        return CallerIdResult(None, None, CallerIdReason.NOT_OUTBOUND)
    if not campaign.active:
        return CallerIdResult(None, None, CallerIdReason.INACTIVE)
    reserved, why = _reserved(campaign, table)
    if reserved:
        return CallerIdCandidates(reserved, campaign.id, NumberKind.RESERVED, why)
    if table.pool:
        return CallerIdCandidates(table.pool, "", NumberKind.POOL, why)
    return CallerIdResult(None, None, CallerIdReason.EMPTY_POOL)


class RoundRobin:
    """Which number comes next in one router: remembers the number last shown, of each campaign and of the pool.

    A list may change between two calls: next is the number in order behind the last one. One decision is
    made in one turn of the event loop, so that calls at the same time get different numbers.
    """

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def next(self, chosen: CallerIdCandidates, table: RoutingTable) -> CallerIdResult:
        """The number for the next call: the one behind the last shown, in order; the first one after the end."""
        if len(self._last) > len(table.campaigns) + 1:
            for gone in [key for key in self._last if key and key not in table.campaigns]:
                del self._last[gone]
        last = self._last.get(chosen.sequence_key)
        place = bisect.bisect_right(chosen.numbers, last) if last is not None else 0
        shown = chosen.at(place)
        self._last[chosen.sequence_key] = shown.number or ""
        return shown


def _reserved(campaign: Campaign, table: RoutingTable) -> tuple[list[str], CallerIdReason]:
    """The campaign's own numbers that may be shown now, in order; and why, where there is none."""
    if not campaign.caller_ids:
        return [], CallerIdReason.POOL
    company = table.companies.get(campaign.company)
    if company is None or not company.identified:
        return [], CallerIdReason.NOT_IDENTIFIED
    active = table.showable.get(campaign.id)
    if active is None:
        entries = ((number, table.find(number)) for number in campaign.caller_ids)
        active = sorted(number for number, entry in entries if entry is not None and entry.active)
        table.showable[campaign.id] = active
    return active, CallerIdReason.RESERVED if active else CallerIdReason.DISABLED
