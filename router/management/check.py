"""Checking a data set that stands alone, as `ringway check` does."""

from collections.abc import Iterable

import msgspec

from dialplan.dataset.changes import NothingStored, prepare
from dialplan.dataset.follow import Follow, unseen
from dialplan.dataset.problems import Problem
from dialplan.dataset.reader import AnyRawRow
from dialplan.kinds.registry import RowKind


class Checked(msgspec.Struct, frozen=True):
    """A data set without problems: how many rows of each kind it has, and warnings about it."""

    rows: dict[str, int]
    warnings: tuple[Problem, ...]


def check(rows: Iterable[AnyRawRow], before: Iterable[Problem], follow: Follow = unseen) -> Checked:
    """Validate rows as a set of their own. `before`: what was wrong with the files that they are from.

    `follow` sees the long passes. Raises DataProblems with everything that is wrong.
    """
    changes = prepare(rows, NothingStored(), before=before, follow=follow)
    return Checked({kind: len(changes.rows.get(kind, {})) for kind in RowKind}, changes.warnings)
