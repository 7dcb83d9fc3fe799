"""Calls to what is no number, or none of ours."""

from dialplan.kinds.kind import RowKind
from dialplan.numbering.numbers import Unreadable
from dialplan.routing.steps.step import ClaimNeed, Situation, Step
from dialplan.routing.target import Cache
from dialplan.wording import Code

BAD_NUMBER, UNKNOWN_NUMBER = "bad-number", "unknown-number"
NO_DATA = "no-data"  # no data set has ever been read: nothing can be said of any number

_NO_DATA = Code("no-data", "nothing has been loaded yet")
_UNKNOWN = Code("number-unknown", "no such number is stored")
_UNREAD = Code("number-unread", "it is stored, and cannot be read by this version")
_OF_COMPANY = Code("number-of-company", "belongs to company {company!q}")
_OF_POOL = Code("number-of-pool", "belongs to the pool")


class LookupStep(Step):
    """Ends calls to what the table does not have."""

    name = "lookup"
    reasons = (BAD_NUMBER, UNKNOWN_NUMBER, NO_DATA)
    everywhere = True

    def resolve(self, call: Situation, known: object | None) -> ClaimNeed | None:
        """Look at how the number was read, and at its entry."""
        del known
        if not call.routes.version:
            call.tell("number", "no data", _NO_DATA())
            call.end(NO_DATA, Cache.NO)
        elif isinstance(call.number, Unreadable):
            call.end(BAD_NUMBER, Cache.NO)
        elif call.entry is None and (RowKind.NUMBER, call.number) in call.routes.left_out:
            call.tell("number", "unread", _UNREAD())
            call.end(UNKNOWN_NUMBER, Cache.NO)
        elif call.entry is None:
            call.tell("number", "unknown", _UNKNOWN())
            call.end(UNKNOWN_NUMBER, Cache.DROP)
        elif call.trace is not None:
            company = call.entry.company
            owner = _OF_COMPANY(company=company) if company else _OF_POOL()
            call.tell("number", "active" if call.entry.active else "disabled", owner)
        return None
