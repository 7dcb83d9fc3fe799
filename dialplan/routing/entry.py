"""A number as the call path needs it."""

import msgspec

from dialplan.kinds.number import Assignment, CallbackRule, Number, Status
from dialplan.routing.steps import COMPILING
from dialplan.routing.target import Target, Targets


class Entry(msgspec.Struct, frozen=True, gc=False, eq=False):
    """What the table holds of a number.

    `steps`: what steps have made of its row, by their names. It is empty for the usual number, which goes to its `base`
    at once: a call to it runs no list of steps. Compared by identity: decisions are remembered by their entries.
    """

    company: str | None  # None: it belongs to the pool
    active: bool
    base: Target | None
    callback_rule: CallbackRule = CallbackRule.AS_IN_CAMPAIGN
    steps: tuple[tuple[str, object], ...] = ()


def compiled(row: Number, targets: Targets) -> Entry:
    """The entry of a row; `targets` makes its targets."""
    base = targets.of(Assignment(row.call_flow, row.inbound_campaign, row.parameters))
    steps: tuple[tuple[str, object], ...] = ()
    for step in COMPILING:
        made = step.compile(row, targets)
        if made is not None:
            steps = (*steps, (step.name, made))
    return Entry(row.company, row.status is Status.ACTIVE, base, row.callback_rule, steps)
