"""What a company admin may change (S1, S7). The platform owner may change everything.

The seed's rule for locked call flows: an admin cannot change which flow a number has while that flow is locked, but
can change the parameters; where it is not locked, both. Locks, the number inventory and who owns what are the
platform owner's.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from typing import TypeAlias

from dialplan.dataset import times
from dialplan.dataset.problems import Fault
from dialplan.kinds.call_flow import CallFlow
from dialplan.kinds.campaign import Campaign
from dialplan.kinds.company import Company
from dialplan.kinds.number import Number, assignments
from dialplan.kinds.registry import Row

FlowOf: TypeAlias = Callable[[str], CallFlow | None]

_OWNERS_FIELDS: dict[type, tuple[str, ...]] = {
    Company: ("id", "region", "identified"),
    CallFlow: ("company", "locked"),
    Campaign: ("company",),
    Number: ("number", "kind", "company", "line_type", "city"),
}
_ASK = "ask the platform owner"


def forbidden(company: str, before: Row | None, after: Row | None, flow_of: FlowOf) -> Iterator[tuple[str, Fault]]:
    """Why the admin of `company` may not turn `before` into `after`: (field, fault) pairs, none where he may.

    `before` is None for a new row, `after` for a removed one. `flow_of` gives a call flow as it is stored.
    """
    for row in (before, after):
        if row is not None and _owner(row) != company:
            yield "", Fault(f'it does not belong to company "{company}"', _ASK)
            return
    if before is None or after is None:
        changed = after or before
        if isinstance(changed, Company | Number):
            yield "", Fault("only the platform owner adds or removes these", _ASK)
        elif isinstance(changed, CallFlow) and changed.locked:
            yield "locked", Fault("only the platform owner has locked call flows made or removed", _ASK)
        return
    for field in _OWNERS_FIELDS[type(before)]:
        if getattr(before, field) != getattr(after, field):
            yield field, Fault("only the platform owner changes it", _ASK)
    if isinstance(before, CallFlow) and before.locked and before != after:
        yield "", Fault("the call flow is locked", _ASK)
    if isinstance(before, Number) and isinstance(after, Number):
        yield from _locked_flow(before, after, flow_of)


def _owner(row: Row) -> str | None:
    return row.id if isinstance(row, Company) else row.company


def _locked_flow(before: Number, after: Number, flow_of: FlowOf) -> Iterator[tuple[str, Fault]]:
    """Compare both timelines: wherever the flow so far is locked, it has to stay."""
    for at in (None, *sorted({update.at for number in (before, after) for update in number.updates})):
        old, new = _assigned(before, at), _assigned(after, at)
        if old == new or not _is_locked(old[0], flow_of):
            continue
        field = "call_flow" if at is None else f"updates[{times.shown(at)}].call_flow"
        yield field, Fault(f'call flow "{old[0]}" is locked: which flow the number has cannot change', _ASK)
        return


def _is_locked(flow_id: str | None, flow_of: FlowOf) -> bool:
    flow = flow_of(flow_id) if flow_id is not None else None
    return flow is not None and flow.locked


def _assigned(number: Number, at: dt.datetime | None) -> tuple[str | None, str | None]:
    """Which flow or inbound campaign `number` has at a moment; None: before its first update."""
    current = 0
    for place, update in enumerate(number.updates, start=1):
        if at is not None and update.at <= at:
            current = place
    assignment = assignments(number)[current]
    return assignment.call_flow, assignment.inbound_campaign
