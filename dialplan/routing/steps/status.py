"""Calls to disabled numbers."""

from dialplan.kinds.number import Number, Status
from dialplan.routing.steps.step import ClaimNeed, Situation, Step
from dialplan.routing.target import Cache, Targets

DISABLED = "disabled"


class StatusStep(Step):
    """Ends calls to a disabled number."""

    name = "status"
    reasons = (DISABLED,)

    def compile(self, row: Number, targets: Targets) -> object | None:
        """True for a disabled number."""
        del targets
        return True if row.status is Status.DISABLED else None

    def resolve(self, call: Situation, known: object | None) -> ClaimNeed | None:
        """End it."""
        del known
        call.end(DISABLED, Cache.DROP)
        return None
