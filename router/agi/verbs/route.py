"""`route`: where a call to one of our numbers goes.

agi://HOST/route[,DID[,CALLER[,REGION]]]; without arguments the dialled number is agi_extension, or agi_dnid where that
is `s`, and the caller agi_callerid. With `?params` the response names the parameters and has a digest, for a dialplan
that caches routes.
"""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from dialplan.campaigns.callbacks import Claim, ClaimStatus
from dialplan.routing.decide import Call, Decision, Waiting, begin, untrusted
from dialplan.routing.steps.step import Numbered
from dialplan.routing.table import RoutingTable
from router.agi.messages import AgiRequest
from router.agi.response import RouteCommands, cleared_by
from router.agi.usual import UsualCalls
from router.agi.verbs.verb import Response, Usual

# agi_callingpres, Q.931 octet 3a: bits 6 and 7 tell that the number may not be shown, or is not available.
_NOT_TO_BE_SHOWN = 0x60
_EPOCH_DIGITS = 10  # until the year 2286
_NO_ENTITLEMENT = Claim(ClaimStatus.NONE)


class Entitlements(Protocol):
    """Who knows of attempts, and gives callback entitlements away; see router.callbacks."""

    def knows(self, number: str, subscriber: str) -> bool:
        """Whether there may be an attempt of that pair; where not, there is nothing to wait for."""
        ...

    def since(self, number: str, subscriber: str, entry: Numbered, began: float) -> Mapping[str, float]:
        """The campaigns whose attempts may entitle a callback that began then."""
        ...

    async def claim(
        self, number: str, subscriber: str, call_id: str, began: float, since: Mapping[str, float]
    ) -> Claim:
        """What a callback gets. Never raises."""
        ...

    def count(self, claim: Claim, decision: Decision) -> None:
        """Count what became of a callback."""
        ...


class RouteVerb:
    """Decides calls. `table` gives the current table; it is asked once a call, and once more after a wait."""

    name = "route"
    decides = True

    def __init__(self, table: Callable[[], RoutingTable], usual: Usual, entitlements: Entitlements) -> None:
        self._table = table
        self._usual = usual
        self._entitlements = entitlements
        self._commands = RouteCommands()

    def answer(self, request: AgiRequest, now: float) -> Response | Awaitable[Response]:
        """The decision; awaited where the caller may be entitled to a callback."""
        usual, table = self._usual, self._table()
        call = Call(_dialled(request), _caller(request), _region(request) or usual.region, usual.bare)
        made = begin(call, table, now, usual.default, self._entitlements.knows)
        if isinstance(made, Decision):
            return self._response(request, call, made)
        began = _began(request, now)
        since = self._entitlements.since(made.need.number, made.need.subscriber, made.need.entry, began)
        if not since:
            return self._response(request, call, made.resume(_NO_ENTITLEMENT, table))
        return self._called_back(request, call, made, began, since)

    async def _called_back(
        self, request: AgiRequest, call: Call, waiting: Waiting, began: float, since: Mapping[str, float]
    ) -> Response:
        # Without an id no call is the same as another one.
        call_id = request.unique_id or uuid.uuid4().hex
        claim = await self._entitlements.claim(waiting.need.number, waiting.need.subscriber, call_id, began, since)
        final = waiting.resume(claim, self._table())
        self._entitlements.count(claim, final)
        return self._response(request, call, final, claim.attempt.id if claim.attempt is not None else "")

    def in_short(self) -> UsualCalls:
        """The short way of its usual calls."""
        return UsualCalls(self._table, self, self._usual, self._commands, self._entitlements.knows)

    def _response(self, request: AgiRequest, call: Call, decision: Decision, attempt: str = "") -> Response:
        ahead, last = self._commands.of(decision, with_names=request.query == "params")
        return Response((*ahead, last), self, call, decision, attempt)

    def fallback(self) -> Response:
        """The platform's default with reason `error`."""
        decision = untrusted(self._usual.default, self._table().version)
        ahead, last = self._commands.of(decision, with_names=False)
        return Response((*ahead, last), None, decision=decision)

    def revocation(self, given: Response) -> tuple[bytes, ...]:
        """Its status, parameters, their names, the digest and what is next; the fallback sets all the rest anew."""
        return cleared_by(given.decision) if given.decision is not None else ()


def _began(request: AgiRequest, now: float) -> float:
    """When the call began, epoch seconds: Asterisk's unique id says it, `1790000000.12`, or `name-1790000000.12`."""
    seconds = request.unique_id.rpartition("-")[2].partition(".")[0]
    if len(seconds) == _EPOCH_DIGITS and seconds.isascii() and seconds.isdigit():
        return min(now, float(seconds))
    return now


def _dialled(request: AgiRequest) -> str:
    if request.arguments and request.arguments[0]:
        return request.arguments[0]
    return request.extension if request.extension != "s" else request.dnid


def _caller(request: AgiRequest) -> str:
    presentation = request.calling_presentation
    if presentation not in ("0", "") and presentation.isdecimal() and int(presentation[:9]) & _NOT_TO_BE_SHOWN:
        return ""
    if len(request.arguments) > 1 and request.arguments[1]:
        return request.arguments[1]
    return request.caller_id


def _region(request: AgiRequest) -> str:
    return request.arguments[2].upper() if len(request.arguments) > 2 else ""  # noqa: PLR2004 - the third argument
