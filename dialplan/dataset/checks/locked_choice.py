"""An admin who chooses a locked call flow for a number cannot take that back: said before."""

from collections.abc import Iterator

from dialplan.dataset.data import ChangeSet, Data, Finding
from dialplan.dataset.later import readable
from dialplan.kinds.number import Number, assigned_at
from dialplan.kinds.registry import KINDS, RowKind
from dialplan.wording import Code

_CHOSEN = Code(
    "locked-flow-chosen",
    "call flow {flow!q} is locked: only the platform owner can give the number another one later",
    "make sure that it is the right one",
)


def check(data: Data, changes: ChangeSet) -> Iterator[Finding]:
    """Warn of each locked flow that a number gets for a time for which it did not have it."""
    if data.company is None:
        return
    for key, held in changes.rows.get(RowKind.NUMBER, {}).items():
        row, before = readable(held), readable(data.stored.get(RowKind.NUMBER, key))
        if isinstance(row, Number):
            for field, flow_id in _chosen(before if isinstance(before, Number) else None, row):
                flow = data.get(RowKind.CALL_FLOW, flow_id)
                if flow is not None and flow.locked:
                    yield Finding(
                        data.place(RowKind.NUMBER, key),
                        data.field(RowKind.NUMBER, key, field),
                        _CHOSEN(flow=flow_id),
                        refuses=False,
                    )


def _chosen(before: Number | None, after: Number) -> Iterator[tuple[str, str]]:
    """Flows that the number has at a moment at which it did not have them, each once, and the field that names it."""
    fields = {
        each.key: each.field
        for each in reversed([*KINDS[RowKind.NUMBER].references(after)])
        if each.kind is RowKind.CALL_FLOW
    }
    updates = (*after.updates, *(before.updates if before is not None else ()))
    for at in (None, *sorted({update.at for update in updates})):
        flow_id, _ = assigned_at(after, at)
        had = assigned_at(before, at)[0] if before is not None else None
        if flow_id in fields and flow_id != had:
            yield fields.pop(flow_id), flow_id
