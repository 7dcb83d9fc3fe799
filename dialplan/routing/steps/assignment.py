"""The assignment in force: the newest scheduled update that is due, else the base one."""

from typing import TypeAlias, cast

from dialplan.dataset import times
from dialplan.kinds.number import Number, assignments
from dialplan.routing.steps.fallback import default_flow
from dialplan.routing.steps.step import ClaimNeed, Following, Numbered, Situation, Step
from dialplan.routing.target import Cache, Kind, Target, Targets, named
from dialplan.wording import Code

ASSIGNED, SCHEDULED = "assigned", "scheduled"

# How far ahead an answer names what follows, for a router that is away at that moment: twice what Asterisk's copy of an
# answer is good for by default (RINGWAY_STALE_SECONDS).
FOLLOWING_SECONDS = 48 * 3600.0

# (epoch seconds UTC, what holds from then on), in order.
Updates: TypeAlias = tuple[tuple[float, Target | None], ...]

_BASE = Code("assignment-base", "{target}: the base assignment")
_BASE_REPLACED = Code("assignment-base-replaced", "{target}: the base assignment, replaced by the update of {at}")
_NOT_DUE = Code("assignment-not-due", "{target}: not due before {at}")
_OUTDATED = Code("assignment-outdated", "{target}: of {at}, a newer update is due")
_SINCE = Code("assignment-since", "{target}: since {at}")


class AssignmentStep(Step):
    """Sends a call where its number is assigned to at this moment. The switch is exact to the call, without a timer."""

    name = "assignment"
    reasons = (ASSIGNED, SCHEDULED)
    everywhere = True

    def compile(self, row: Number, targets: Targets) -> Updates | None:
        """The updates of a number; None where it has none."""
        if not row.updates:
            return None
        moments = [update.at.timestamp() for update in row.updates]
        return tuple(zip(moments, map(targets.of, assignments(row)[1:]), strict=True))

    def resolve(self, call: Situation, known: object | None) -> ClaimNeed | None:
        """Lead the call there."""
        updates = cast("Updates", known or ())
        if call.entry is None:
            return None
        if call.trace is not None:
            _tell(call, call.entry, updates)
        call.lead(*in_force(call.entry.base, updates, call.now))
        if updates and updates[-1][0] > call.now:
            _tell_of_next(call, updates)
        return None


def in_force(base: Target | None, updates: Updates, now: float) -> tuple[str, Target | None]:
    """The reason and the target at `now`: of the newest update that is due, else of the base assignment."""
    for at, target in reversed(updates):
        if at <= now:
            return SCHEDULED, target
    return ASSIGNED, base


def _tell_of_next(call: Situation, updates: Updates) -> None:
    """Until when the route holds that is in force, and what follows, where that is soon."""
    ahead = [(int(at), target) for at, target in updates if at > call.now]
    (call.until, target), later = ahead[0], ahead[1:]
    if call.until - call.now >= FOLLOWING_SECONDS:
        return
    until = later[0][0] if later else None
    row = target.row(call.routes) if target is not None else None
    if target is not None and row is None and target.is_left_out(call.routes):
        call.cache = Cache.NO  # a router that can read it may have said more
    if target is not None and row is not None:
        call.following = Following(target.kind, row.destination, row, target.values, until)
        return
    flow = default_flow(call.routes, call.company)
    destination = flow.destination if flow is not None else call.default
    call.following = Following(Kind.DEFAULT, destination, flow, (), until)


def _tell(call: Situation, entry: Numbered, updates: Updates) -> None:
    """Every candidate: the one in force, and why the others are not."""
    due = [at for at, _ in updates if at <= call.now]
    base = named(entry.base)
    if due:
        call.tell("assignment", "rejected", _BASE_REPLACED(target=base, at=times.shown_at(due[0])))
    else:
        call.tell("assignment", "in force", _BASE(target=base))
    for at, target in updates:
        if at > call.now:
            call.tell("assignment", "rejected", _NOT_DUE(target=named(target), at=times.shown_at(at)))
        elif at < due[-1]:
            call.tell("assignment", "rejected", _OUTDATED(target=named(target), at=times.shown_at(at)))
        else:
            call.tell("assignment", "in force", _SINCE(target=named(target), at=times.shown_at(at)))
