"""What one AGI request is answered: the decision from the table of this moment, as commands.

Synchronous, with all it needs handed in; the server around it does the waiting and the sockets.
"""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from dialplan.decide import Call, Decision, Kind, Reason, decide
from dialplan.model import Destination
from dialplan.numbers import Bare
from dialplan.table import RoutingTable
from router.agi.answer import Answers, cleared_by
from router.agi.messages import AgiRequest

# agi_callingpres, Q.931 octet 3a: bits 6 and 7 tell that the number may not be shown, or is not available.
_NOT_TO_BE_SHOWN = 0x60
_NO_CALL = Call("", "", "", Bare.REFUSE)


class Reading(msgspec.Struct, frozen=True):
    """How numbers are read where the trunk says nothing else, and where a call goes that nothing takes."""

    region: str
    bare: Bare
    default: Destination


class Answer(NamedTuple):
    """What to send, command by command, and what it says."""

    commands: tuple[bytes, ...]
    call: Call
    decision: Decision


class UnknownScriptError(Exception):
    """The path in agi://HOST/PATH is none that this router serves."""


class RouteHandler:
    """Answers `agi://…/route`. `table` gives the current table; it is asked once a call."""

    def __init__(self, table: Callable[[], RoutingTable], reading: Reading) -> None:
        self._table = table
        self._reading = reading
        self._answers = Answers()

    def answer(self, request: AgiRequest, now: float) -> Answer:
        """Decide the call of `request` at `now` (epoch seconds). Raises UnknownScriptError."""
        if request.script != "route":
            raise UnknownScriptError(request.script)
        reading = self._reading
        call = Call(_dialled(request), _caller(request), _region(request) or reading.region, reading.bare)
        decision = decide(call, self._table(), now, reading.default)
        ahead, last = self._answers.commands(decision, with_names=request.query == "params")
        return Answer((*ahead, last), call, decision)

    def safe_answer(self, taken_back: Answer | None = None) -> Answer:
        """The platform's default with reason `error`: for a call whose data cannot be trusted.

        `taken_back` is an answer that was given before that was known; what it set is set to nothing.
        """
        decision = Decision(
            Reason.ERROR, Kind.DEFAULT, self._reading.default, None, (), "", "", "", self._table().version
        )
        ahead, last = self._answers.commands(decision, with_names=False)
        cleared = cleared_by(taken_back.decision) if taken_back is not None else ()
        return Answer((*cleared, *ahead, last), _NO_CALL, decision)


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
