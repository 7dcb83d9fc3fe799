"""Stored rows that this version does not understand whole: what is not known of them is the platform owner's."""

from collections.abc import Iterator

from dialplan.dataset.data import ChangeSet, Data, Finding, same
from dialplan.dataset.later import Held, LaterRow, is_unread, over, readable
from dialplan.kinds.kind import ASK_OWNER
from dialplan.wording import Code

_REPLACED = Code(
    "unread-row-replaced",
    "this version cannot read the stored row ({why}), which is replaced",
    "make sure that this is meant: a later version has written it",
)
_OWNERS = Code("unread-is-the-owners", "this version cannot read all of it", ASK_OWNER)


def check(data: Data, changes: ChangeSet) -> Iterator[Finding]:
    """Warn where a row is replaced of which nothing can be read; what is not known no admin of a company changes."""
    for kind, rows in changes.rows.items():
        for key, after in rows.items():
            before = None if isinstance(kind, int) else data.stored.get(kind, key)
            if data.company is not None:
                if isinstance(kind, int) or _changes_unknown(before, after):
                    yield Finding(data.place(kind, key), "", _OWNERS())
            elif isinstance(before, LaterRow) and before.row is None and after is not None and not is_unread(after):
                yield Finding(data.place(kind, key), "", _REPLACED(why=before.why), refuses=False)


def _changes_unknown(before: Held | None, after: Held | None) -> bool:
    """Whether more changes than what can be read. What is inside of an item that goes may go with it."""
    if not isinstance(before, LaterRow) and not isinstance(after, LaterRow):
        return False
    if is_unread(before) or is_unread(after):
        return True
    row = readable(after)
    return row is not None and not same(over(before, row, None), after)
