"""Applying data to a store, all of it or nothing, as `ringway load` does."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from dialplan.dataset.changes import ChangeSet, Stored, prepare
from dialplan.dataset.problems import Problem
from dialplan.dataset.reader import RawRow
from dialplan.kinds.registry import RowKind
from router.store.api import Store


class Loaded(msgspec.Struct, frozen=True):
    """What a load has done: the store's version after it, how many rows it changed, and warnings about them."""

    version: int
    changed: int
    warnings: tuple[Problem, ...]


class Going(NamedTuple):
    """How many rows of a kind a replacement removes, of how many."""

    kind: RowKind
    rows: int
    of: int

    def __str__(self) -> str:
        """Both, and the kind."""
        return f"{self.rows} of {self.of} {self.kind}"


class NotSureError(Exception):
    """A replacement would remove more than half of a kind, and nobody has said that this is meant; the text says it."""


async def load(
    store: Store,
    rows: Iterable[RawRow],
    *,
    before: Iterable[Problem] = (),
    replace: bool = False,
    as_company: str | None = None,
    sure: bool = False,
    tell: Callable[[list[Going]], object] = lambda _: None,
) -> Loaded:
    """Validate rows against what is stored too, and apply them in one transaction.

    `before`: what was wrong with the files that they are from; `replace`, `as_company`: see
    `dialplan.dataset.changes.prepare`. What a replacement removes is told to `tell` first, in a thread of the store's.
    More than half of a kind goes only where one is `sure`, else NotSureError is raised.
    Raises DataProblems and StoreError too; nothing is changed then. Nor is it where a cancellation comes through.
    """
    warnings: tuple[Problem, ...] = ()

    def prepared(stored: Stored) -> ChangeSet:
        nonlocal warnings
        changes = prepare(rows, stored, replace=replace, as_company=as_company, before=before)
        warnings = changes.warnings
        going = _going(changes)
        if going:
            tell(going)
        most = [each for each in going if 2 * each.rows > each.of]
        if most and not sure:
            raise NotSureError(f"{', '.join(map(str, most))} would go; nothing was changed; add --yes if that is meant")
        return changes

    done = await store.commit(prepared, whole=replace)
    return Loaded(done.version, done.changed, warnings)


def _going(changes: ChangeSet) -> list[Going]:
    """What goes, of the kinds of which something goes."""
    removed = ((kind, sum(row is None for row in rows.values())) for kind, rows in changes.rows.items())
    return [Going(kind, count, changes.replaced[kind]) for kind, count in removed if count and kind in changes.replaced]
