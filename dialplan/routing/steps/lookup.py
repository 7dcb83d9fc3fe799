"""Calls to what is no number, or none of ours."""

from dialplan.numbering.numbers import Unreadable
from dialplan.routing.steps.step import ClaimNeed, Situation, Step
from dialplan.wording import Code

BAD_NUMBER, UNKNOWN_NUMBER = "bad-number", "unknown-number"

_UNKNOWN = Code("number-unknown", "no such number is stored")
_OF_COMPANY = Code("number-of-company", "belongs to company {company!q}")
_OF_POOL = Code("number-of-pool", "belongs to the pool")


class LookupStep(Step):
    """Ends calls to what the table does not have."""

    name = "lookup"
    reasons = (BAD_NUMBER, UNKNOWN_NUMBER)
    everywhere = True

    def resolve(self, call: Situation, known: object | None) -> ClaimNeed | None:
        """Look at how the number was read, and at its entry."""
        del known
        if isinstance(call.number, Unreadable):
            call.end(BAD_NUMBER)
        elif call.entry is None:
            call.tell("number", "unknown", _UNKNOWN())
            call.end(UNKNOWN_NUMBER)
        elif call.trace is not None:
            company = call.entry.company
            owner = _OF_COMPANY(company=company) if company else _OF_POOL()
            call.tell("number", "active" if call.entry.active else "disabled", owner)
        return None
