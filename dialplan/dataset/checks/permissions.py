"""What the admin of a company may change. The platform owner may change everything.

Which fields stands with each kind: a field that nobody listed there is the platform owner's. So do locks.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from dialplan.dataset.data import ChangeSet, Data, Finding
from dialplan.dataset.later import is_unread, readable
from dialplan.dataset.problems import Fault
from dialplan.kinds.kind import ASK_OWNER
from dialplan.kinds.registry import Row, RowKind, kind_of
from dialplan.wording import Code

_NOT_ITS_OWN = Code("of-another-company", "it does not belong to company {company!q}", ASK_OWNER)
_OWNER_ADDS = Code("added-by-owner", "only the platform owner adds or removes these", ASK_OWNER)
_REMOVED_BY_REPLACE = Code(
    "removed-by-replace",
    "it would be removed, since the files lack it: {why}",
    "add it to the files, or load them without --replace",
)
_OWNERS_FIELD = Code("owners-field", "only the platform owner changes it", ASK_OWNER)


class _Unread:
    """A row of which nothing can be read: a call flow that may be locked, a company that may lead calls nowhere."""

    locked = True
    contexts = None


_UNREAD = _Unread()


def check(data: Data, changes: ChangeSet) -> Iterator[Finding]:
    """Everything among the changes that the admin may not do."""
    if data.company is None:
        return

    def get(kind: RowKind, key: str) -> Any:
        held = data.stored.get(kind, key)
        return _UNREAD if is_unread(held) else readable(held)

    for kind, rows in changes.rows.items():
        for key, after in rows.items():
            if isinstance(kind, int) or is_unread(before := data.stored.get(kind, key)) or is_unread(after):
                continue  # see the check `later_rows`
            lacking = after is None and key not in data.removed[kind]
            for field, fault in forbidden(data.company, readable(before), readable(after), get):
                told = _REMOVED_BY_REPLACE(why=fault) if lacking else fault
                yield Finding(data.place(kind, key), data.field(kind, key, field), told)


def forbidden(
    company: str, before: Row | None, after: Row | None, get: Callable[[RowKind, str], Any]
) -> Iterator[tuple[str, Fault]]:
    """Why the admin of `company` may not turn `before` into `after`: (field, fault) pairs, none where that is allowed.

    `before` is None for a new row, `after` for a removed one. `get` gives a row as it is stored.
    """
    for row in (before, after):
        if row is not None and kind_of(row).owner(row) != company:
            yield "", _NOT_ITS_OWN(company=company)
            return
    some = before or after
    if some is None:
        return
    kind = kind_of(some)
    if before is None or after is None:
        if not kind.added_by_company:
            yield "", _OWNER_ADDS()
    else:
        for field in msgspec.structs.fields(type(before)):
            if field.name not in kind.editable and getattr(before, field.name) != getattr(after, field.name):
                yield field.name, _OWNERS_FIELD()
    yield from kind.locks(before, after, get)
