"""Applying data to a store, all of it or nothing, as `ringway load` does."""

from collections.abc import Iterable

import msgspec

from dialplan.dataset.changes import ChangeSet, Stored, prepare
from dialplan.dataset.problems import Problem
from dialplan.dataset.reader import RawRow
from router.store.api import Store


class Loaded(msgspec.Struct, frozen=True):
    """What a load has done: the store's version after it, how many rows it changed, and warnings about them."""

    version: int
    changed: int
    warnings: tuple[Problem, ...]


async def load(
    store: Store,
    rows: Iterable[RawRow],
    *,
    before: Iterable[Problem] = (),
    replace: bool = False,
    as_company: str | None = None,
) -> Loaded:
    """Validate rows against what is stored too, and apply them in one transaction.

    `before`: what was wrong with the files that they are from; `replace`, `as_company`: see
    `dialplan.dataset.changes.prepare`. Raises DataProblems and StoreError; nothing is changed then. Nor is it where a
    cancellation comes through.
    """
    warnings: tuple[Problem, ...] = ()

    def prepared(stored: Stored) -> ChangeSet:
        nonlocal warnings
        changes = prepare(rows, stored, replace=replace, as_company=as_company, before=before)
        warnings = changes.warnings
        return changes

    done = await store.commit(prepared)
    return Loaded(done.version, done.changed, warnings)
