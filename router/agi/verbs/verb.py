"""What an AGI verb is, and the responses to requests."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import NamedTuple, Protocol

from dialplan.numbering.numbers import Bare
from dialplan.routing.decide import Call, Decision
from router.agi.messages import AgiRequest

NO_CALL = Call("", "", "", Bare.REFUSE)


class Response(NamedTuple):
    """What to send, command by command, and what it says: the decision, None where no call was to be routed.

    `verb`: whose response it is; None: nobody's, since the request could not be trusted.
    """

    commands: tuple[bytes, ...]
    verb: Verb | None = None
    call: Call = NO_CALL
    decision: Decision | None = None
    attempt: str = ""  # the id of the attempt whose callback this is


class Verb(Protocol):
    """One script that Asterisk may ask for; `name` is its path in agi://HOST/NAME. Each is timed by its name.

    `decides`: whether its response is the decision of a call.
    """

    name: str
    decides: bool

    def answer(self, request: AgiRequest, now: float) -> Response | Awaitable[Response]:
        """The response to `request` at `now` (epoch seconds): at once, unless the store has to be asked."""
        ...

    def revocation(self, given: Response) -> tuple[bytes, ...]:
        """The commands that empty what a response of this verb has set, when its request turns out to be forged.

        The first one empties the variable that is trusted. What else the fallback sets anew may be left out.
        """
        ...
