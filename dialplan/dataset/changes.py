"""Rows -> a consistent change of the stored set, or every problem with its place.

The one gate to the store: `ringway check`, `ringway load` and whatever edits later go through `prepare`. It reads
each row by itself, then checks what rows say about each other, against the new rows and the stored ones together. A
removal is a change as any other.
"""

from collections.abc import Iterable

from dialplan.dataset.checks import CHECKS, EDIT_CHECKS
from dialplan.dataset.data import ChangeSet, Data, NothingStored, Stored
from dialplan.dataset.follow import Follow, unseen
from dialplan.dataset.problems import DataProblems, Problem
from dialplan.dataset.reader import AnyRawRow
from dialplan.kinds.registry import RowKind

__all__ = ["ChangeSet", "NothingStored", "Stored", "prepare"]


def prepare(
    raw_rows: Iterable[AnyRawRow],
    stored: Stored,
    *,
    removals: Iterable[tuple[RowKind, str]] = (),
    replace: bool = False,
    as_company: str | None = None,
    before: Iterable[Problem] = (),
    follow: Follow = unseen,
) -> ChangeSet:
    """Check rows against each other and against what is stored; return what has to change, and no more than that.

    A row replaces the stored one with its id or number; with `replace` the rows are the whole set afterwards.
    `removals` are kinds and keys of rows to be removed. `as_company` checks besides that the admin of that company may
    do all of it. `before`: problems that were found already, to be told with the others. `follow` sees the long passes.

    Raises DataProblems with everything that is wrong.
    """
    before = list(before)
    file_unread = any(not each.entry for each in before)
    data = Data(stored, replaces=replace, company=as_company, file_unread=file_unread, follow=follow)
    data.problems.extend(before)
    data.read(raw_rows)
    data.check_admin()
    data.remove(removals)
    for check in CHECKS:
        data.problems.extend(finding.problem() for finding in check(data))
    changes = data.changes()
    warnings: list[Problem] = []
    if data.problems:
        data.more |= as_company is not None
    else:
        for edit_check in EDIT_CHECKS:
            for finding in edit_check(data, changes):
                (data.problems if finding.refuses else warnings).append(finding.problem())
    if data.problems:
        raise DataProblems(data.problems, more=data.more)
    changes.warnings = tuple(warnings)
    return changes
