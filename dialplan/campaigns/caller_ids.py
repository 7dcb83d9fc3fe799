"""Which of our numbers an outbound call shows.

A campaign of an identified company shows the numbers that it reserved, in turn; any other one those of the pool, which
all campaigns share, in turn too. A disabled number is never shown: nobody could ring it back.
"""

import bisect
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from dialplan.kinds.campaign import Campaign, Direction
from dialplan.kinds.number import NumberKind
from dialplan.routing.table import RoutingTable


class Why(StrEnum):
    """Why this number, or none, is shown. Stable: the dialplan's SHOW_REASON."""

    RESERVED = "campaign-number"
    POOL = "campaign-without-number"
    NOT_IDENTIFIED = "company-not-identified"
    DISABLED = "campaign-numbers-disabled"
    UNKNOWN_CAMPAIGN = "unknown-campaign"
    NOT_OUTBOUND = "campaign-not-outbound"
    INACTIVE = "campaign-not-active"
    EMPTY_POOL = "empty-pool"
    ERROR = "error"


class Shown(msgspec.Struct, frozen=True, gc=False):
    """The number that a call shows, E.164; None, with the reason, where none can be shown."""

    number: str | None
    kind: NumberKind | None
    why: Why


class Choice(msgspec.Struct, frozen=True, gc=False):
    """The numbers that a call may show, in order.

    `sequence_key` names the list whose turns go through them: a campaign's id, or "" for the pool.
    """

    numbers: Sequence[str]
    sequence_key: str
    kind: NumberKind
    why: Why

    def turn(self, place: int) -> Shown:
        """The number of that turn."""
        return Shown(self.numbers[place % len(self.numbers)], self.kind, self.why)


def choice(campaign_id: str, table: RoutingTable) -> Choice | Shown:
    """What the next call of a campaign may show; a Shown without a number where there is nothing."""
    campaign = table.campaigns.get(campaign_id)
    if campaign is None:
        return Shown(None, None, Why.UNKNOWN_CAMPAIGN)
    if campaign.direction is not Direction.OUTBOUND:
        return Shown(None, None, Why.NOT_OUTBOUND)
    if not campaign.active:
        return Shown(None, None, Why.INACTIVE)
    reserved, why = _reserved(campaign, table)
    if reserved:
        return Choice(reserved, campaign.id, NumberKind.RESERVED, why)
    if table.pool:
        return Choice(table.pool, "", NumberKind.POOL, why)
    return Shown(None, None, Why.EMPTY_POOL)


class Rotation:
    """Whose turn it is in one router: remembers the number last shown, of each campaign and of the pool.

    A list may change between two calls: the turn goes to the next number in order behind the last one. One decision is
    made in one turn of the event loop, so that calls at the same time get different numbers.
    """

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def show(self, chosen: Choice, table: RoutingTable) -> Shown:
        """The number for the next call: the one behind the last shown, in order; the first one after the end."""
        if len(self._last) > len(table.campaigns) + 1:
            for gone in [key for key in self._last if key and key not in table.campaigns]:
                del self._last[gone]
        last = self._last.get(chosen.sequence_key)
        at = bisect.bisect_right(chosen.numbers, last) if last is not None else 0
        shown = chosen.turn(at)
        self._last[chosen.sequence_key] = shown.number or ""
        return shown


def _reserved(campaign: Campaign, table: RoutingTable) -> tuple[list[str], Why]:
    """The campaign's own numbers that may be shown now, in order; and why, where there is none."""
    if not campaign.caller_ids:
        return [], Why.POOL
    company = table.companies.get(campaign.company)
    if company is None or not company.identified:
        return [], Why.NOT_IDENTIFIED
    entries = ((number, table.numbers.get(number)) for number in campaign.caller_ids)
    active = sorted(number for number, entry in entries if entry is not None and entry.active)
    return active, Why.RESERVED if active else Why.DISABLED
