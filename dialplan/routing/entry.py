"""A number as the call path needs it."""

import msgspec

from dialplan.kinds.number import CallbackRule
from dialplan.routing.target import Target


class Entry(msgspec.Struct, frozen=True, gc=False, eq=False):
    """What the table holds of a number. Most equal ones are one object.

    `steps`: what steps have made of its row, by their names. It is empty for the usual number, which goes to its `base`
    at once: a call to it runs no list of steps. Compared by identity: decisions are remembered by their entries.
    """

    company: str | None  # None: it belongs to the pool
    active: bool
    base: Target | None
    callback_rule: CallbackRule = CallbackRule.AS_IN_CAMPAIGN
    steps: tuple[tuple[str, object], ...] = ()
