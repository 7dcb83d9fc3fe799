"""What one AGI request is answered: the decision from the table of this moment, as commands.

All that it needs is handed in; the server around it does the sockets. Only a callback that may have a right, and the
report of an attempt, wait for the store.
"""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, Protocol

import msgspec
import structlog

from dialplan.campaigns.attempts import AttemptReport
from dialplan.campaigns.callbacks import Claim, ClaimStatus
from dialplan.campaigns.caller_ids import Choice, Rotation, Shown, choice
from dialplan.campaigns.reports import read_report
from dialplan.kinds.fields import Destination
from dialplan.numbering.numbers import Bare
from dialplan.routing.decide import Call, Decision, Waiting, begin, untrusted
from dialplan.routing.steps.step import Numbered
from dialplan.routing.table import RoutingTable
from router.agi.messages import AgiRequest, mset
from router.agi.response import Answers, cleared_by, shown_command
from router.config.limits import DIALLED_LOG_MAX_CHARS, UNIQUE_ID_LOG_MAX_CHARS

# agi_callingpres, Q.931 octet 3a: bits 6 and 7 tell that the number may not be shown, or is not available.
_NOT_TO_BE_SHOWN = 0x60
_EPOCH_DIGITS = 10  # until the year 2286
_NO_ENTITLEMENT = Claim(ClaimStatus.NONE)
_NO_CALL = Call("", "", "", Bare.REFUSE)


class Reading(msgspec.Struct, frozen=True):
    """How numbers are read where the trunk says nothing else, and where a call goes that nothing takes."""

    region: str
    bare: Bare
    default: Destination


class Answer(NamedTuple):
    """What to send, command by command, and what it says: the decision, None where no call was to be routed."""

    commands: tuple[bytes, ...]
    call: Call
    decision: Decision | None
    attempt: str = ""  # the id of the attempt whose callback this is


class Callbacks(Protocol):
    """Who knows of attempts, and gives rights away; see router.callbacks.service."""

    def knows(self, number: str, subscriber: str) -> bool:
        """Whether there may be an attempt of that pair; where not, there is nothing to wait for."""
        ...

    def since(self, number: str, subscriber: str, entry: Numbered, began: float) -> Mapping[str, float]:
        """The campaigns whose attempts may give a callback that began then a right."""
        ...

    async def claim(
        self, number: str, subscriber: str, call_id: str, began: float, since: Mapping[str, float]
    ) -> Claim:
        """What a callback gets. Never raises."""
        ...

    def count(self, claim: Claim, decision: Decision) -> None:
        """Count what became of a callback."""
        ...

    async def see(self, report: AttemptReport) -> bool:
        """Write down what a witness saw; False where it has to be told again."""
        ...

    shared: bool  # whether routers take turns with each other in showing numbers

    async def turn(self, sequence_key: str) -> int | None:
        """One more than the last time, whichever router asked; None where that cannot be said. Never raises."""
        ...


class UnknownScriptError(Exception):
    """The path in agi://HOST/PATH is none that this router serves."""


class Handler:
    """Answers `agi://…/route`, `caller-id` and `attempt`. `table` gives the current table; it is asked once a call.

    An answer comes at once, unless the store has to be asked: then it is awaited.
    """

    def __init__(
        self,
        table: Callable[[], RoutingTable],
        reading: Reading,
        callbacks: Callbacks,
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._table = table
        self._reading = reading
        self._callbacks = callbacks
        self._log = log
        self._answers = Answers()
        self._rotation = Rotation()
        self._scripts: dict[str, Callable[[AgiRequest, float], Answer | Awaitable[Answer]]] = {
            "route": self._route,
            "caller-id": self._caller_id,
            "attempt": self._attempt,
        }

    def answer(self, request: AgiRequest, now: float) -> Answer | Awaitable[Answer]:
        """Answer `request` at `now` (epoch seconds). Raises UnknownScriptError."""
        script = self._scripts.get(request.script)
        if script is None:
            raise UnknownScriptError(request.script)
        return script(request, now)

    def _route(self, request: AgiRequest, now: float) -> Answer | Awaitable[Answer]:
        reading = self._reading
        call = Call(_dialled(request), _caller(request), _region(request) or reading.region, reading.bare)
        table = self._table()
        made = begin(call, table, now, reading.default, self._callbacks.knows)
        if isinstance(made, Decision):
            return self._answer(request, call, made)
        began = _began(request, now)
        since = self._callbacks.since(made.need.number, made.need.subscriber, made.need.entry, began)
        if not since:
            return self._answer(request, call, made.resume(_NO_ENTITLEMENT, table))
        return self._called_back(request, call, made, began, since)

    async def _called_back(
        self,
        request: AgiRequest,
        call: Call,
        waiting: Waiting,
        began: float,
        since: Mapping[str, float],
    ) -> Answer:
        # Without an id no call is the same as another one.
        call_id = request.unique_id or uuid.uuid4().hex
        claim = await self._callbacks.claim(waiting.need.number, waiting.need.subscriber, call_id, began, since)
        final = waiting.resume(claim, self._table())
        self._callbacks.count(claim, final)
        return self._answer(request, call, final, claim)

    def _answer(self, request: AgiRequest, call: Call, decision: Decision, claim: Claim | None = None) -> Answer:
        ahead, last = self._answers.commands(decision, with_names=request.query == "params")
        attempt = claim.attempt.id if claim is not None and claim.attempt is not None else ""
        return Answer((*ahead, last), call, decision, attempt)

    def _caller_id(self, request: AgiRequest, _now: float) -> Answer | Awaitable[Answer]:
        table = self._table()
        chosen = choice(request.arguments[0] if request.arguments else "", table)
        if isinstance(chosen, Shown):
            return self._shown(request, chosen)
        if self._callbacks.shared:
            return self._next_of_all(request, chosen)
        return self._shown(request, self._rotation.show(chosen, table))

    async def _next_of_all(self, request: AgiRequest, chosen: Choice) -> Answer:
        """The turn that all routers share; without it, this router's own."""
        place = await self._callbacks.turn(chosen.sequence_key)
        shown = chosen.turn(place) if place is not None else self._rotation.show(chosen, self._table())
        return self._shown(request, shown)

    def _shown(self, request: AgiRequest, shown: Shown) -> Answer:
        campaign_id = request.arguments[0] if request.arguments else ""
        campaign = self._table().campaigns.get(campaign_id) if request.query == "destination" else None
        self._log.info(
            "caller_id",
            unique_id=request.unique_id[:UNIQUE_ID_LOG_MAX_CHARS],
            campaign=campaign_id[:DIALLED_LOG_MAX_CHARS],
            number=shown.number or "",
            reason=shown.why,
        )
        return Answer((shown_command(shown, campaign),), _NO_CALL, None)

    def _attempt(self, request: AgiRequest, _now: float) -> Answer | Awaitable[Answer]:
        report = read_report(request.arguments)
        if report is None:
            self._log.warning("attempt_ignored", why="the report cannot be read", arguments=len(request.arguments))
            return _REFUSED
        return self._recorded(report)

    async def _recorded(self, report: AttemptReport) -> Answer:
        return _TAKEN if await self._callbacks.see(report) else _LATER

    def fallback_response(self, revoked: Answer | None = None) -> Answer:
        """The platform's default with reason `error`: for a call whose data cannot be trusted.

        `revoked` is an answer that was given before that was known; what it set is set to nothing.
        """
        decision = untrusted(self._reading.default, self._table().version)
        ahead, last = self._answers.commands(decision, with_names=False)
        cleared: tuple[bytes, ...] = ()
        if revoked is not None:
            given = revoked.decision
            cleared = cleared_by(given) if given is not None else (mset(["SHOW_NUMBER=", "SHOW_STATUS="]),)
        return Answer((*cleared, *ahead, last), _NO_CALL, decision)


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


_TAKEN, _LATER, _REFUSED = (
    Answer((mset([f"ATTEMPT_STATUS={status}"]),), _NO_CALL, None) for status in ("OK", "LATER", "REFUSED")
)
