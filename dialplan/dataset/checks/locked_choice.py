"""An admin who chooses a locked call flow for a number cannot take that back: said before."""

from collections.abc import Iterator

from dialplan.dataset.data import ChangeSet, Data, Finding
from dialplan.kinds.registry import KINDS, RowKind
from dialplan.wording import Code

_CHOSEN = Code(
    "locked-flow-chosen",
    "call flow {flow!q} is locked: only the platform owner can give the number another one later",
    "make sure that it is the right one",
)


def check(data: Data, changes: ChangeSet) -> Iterator[Finding]:
    """Warn of each locked flow that a number has not had before."""
    if data.company is None:
        return
    kind = KINDS[RowKind.NUMBER]
    for key, row in changes.rows.get(RowKind.NUMBER, {}).items():
        before = data.stored.get(RowKind.NUMBER, key)
        had = {each.key for each in kind.references(before)} if before is not None else set()
        for each in kind.references(row) if row is not None else ():
            if each.kind is not RowKind.CALL_FLOW or each.key in had:
                continue
            flow = data.get(RowKind.CALL_FLOW, each.key)
            if flow is not None and flow.locked:
                field = data.field(RowKind.NUMBER, key, each.field)
                yield Finding(data.place(RowKind.NUMBER, key), field, _CHOSEN(flow=each.key), refuses=False)
