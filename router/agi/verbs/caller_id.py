"""`caller-id`: which of our numbers an outbound call shows.

agi://HOST/caller-id,CAMPAIGN,SUBSCRIBER, before an outbound Dial. With `?destination` the response says where an
answered call goes, too.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from dialplan.campaigns.caller_ids import CallerIdCandidates, CallerIdReason, CallerIdResult, RoundRobin, candidates
from dialplan.kinds.campaign import Campaign
from dialplan.routing.table import RoutingTable
from router.agi.messages import AgiRequest, mset, pair
from router.agi.verbs.verb import Response
from router.config.limits import DIALLED_LOG_MAX_CHARS, UNIQUE_ID_LOG_MAX_CHARS

# What `command` sets: always, and where an answered call goes; last the one that is trusted.
_SHOWN = ("SHOW_NUMBER", "SHOW_KIND", "SHOW_REASON")
_PLACE = ("SHOW_CONTEXT", "SHOW_EXTEN", "SHOW_PRIORITY")
_STATUS = "SHOW_STATUS"
# By reason: at NONE nobody is rung, at NODATA the dialplan asks its next router.
_NOTHING_SHOWN = {CallerIdReason.NO_DATA: "NODATA"}


class SharedOrder(Protocol):
    """The round-robin order of routers that share a store; see router.callbacks."""

    shared: bool  # whether they do

    async def next_index(self, sequence_key: str) -> int | None:
        """One more than the last time, whichever router asked; None where that cannot be said. Never raises."""
        ...


class CallerIdVerb:
    """Gives each outbound call of a campaign its caller ID, round-robin."""

    name = "caller-id"
    decides = False

    def __init__(
        self,
        table: Callable[[], RoutingTable],
        order: SharedOrder,
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._table = table
        self._order = order
        self._log = log
        self._own = RoundRobin()

    def answer(self, request: AgiRequest, now: float) -> Response | Awaitable[Response]:
        """The number; awaited where routers share one order."""
        del now
        table = self._table()
        found = candidates(request.arguments[0] if request.arguments else "", table)
        if isinstance(found, CallerIdResult):
            return self._response(request, found)
        if self._order.shared:
            return self._next_of_all(request, found)
        return self._response(request, self._own.next(found, table))

    async def _next_of_all(self, request: AgiRequest, found: CallerIdCandidates) -> Response:
        """The next one of all routers; where that cannot be said, this router's own."""
        index = await self._order.next_index(found.sequence_key)
        result = found.at(index) if index is not None else self._own.next(found, self._table())
        return self._response(request, result)

    def _response(self, request: AgiRequest, result: CallerIdResult) -> Response:
        campaign_id = request.arguments[0] if request.arguments else ""
        campaign = self._table().campaigns.get(campaign_id) if request.query == "destination" else None
        self._log.info(
            "caller_id",
            unique_id=request.unique_id[:UNIQUE_ID_LOG_MAX_CHARS],
            campaign=campaign_id[:DIALLED_LOG_MAX_CHARS],
            number=result.number or "",
            reason=result.reason,
        )
        return Response((command(result, campaign),), self)

    def revocation(self, given: Response) -> tuple[bytes, ...]:
        """All that `command` may have set, first that there is a number."""
        del given
        return (mset([f"{name}=" for name in (_STATUS, *_SHOWN, *_PLACE)]),)


def command(result: CallerIdResult, campaign: Campaign | None) -> bytes:
    """The command that tells Asterisk; with `campaign`, where an answered call goes as well."""
    shown = (result.number or "", result.kind or "", str(result.reason))
    pairs = list(map(pair, _SHOWN, shown))
    if campaign is not None:
        destination = campaign.destination
        pairs += map(pair, _PLACE, (destination.context, destination.exten, str(destination.priority)))
    status = "OK" if result.number is not None else _NOTHING_SHOWN.get(result.reason, "NONE")
    return mset([*pairs, f"{_STATUS}={status}"])
