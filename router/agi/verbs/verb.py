"""What an AGI verb is, and the responses to requests."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from dialplan.kinds.fields import Destination
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


class Usual(msgspec.Struct, frozen=True):
    """How numbers are read where the trunk says nothing else, and where a call goes that nothing takes."""

    region: str
    bare: Bare
    default: Destination


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


class UnknownVerbError(Exception):
    """The path in agi://HOST/PATH is none that this router serves."""


class Verbs(Protocol):
    """All verbs: what a call asks for responses; see `router.agi.verbs.dispatcher`."""

    @property
    def names(self) -> Sequence[str]:
        """The verbs that there are."""

    def answer(self, request: AgiRequest, now: float) -> Response | Awaitable[Response]:
        """Answer a request; it is awaited where a store has to be asked. Raises UnknownVerbError."""
        ...

    def fallback_response(self, revoked: Response | None = None) -> Response:
        """Answer a call whose data cannot be trusted, after the response `revoked` if there was one."""
        ...

    def failed_response(self, request: AgiRequest) -> Response:
        """Answer a request whose verb has failed."""
        ...
