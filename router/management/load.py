"""Applying data to a store, all of it or nothing, as `ringway load` does."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from dialplan.dataset.changes import ChangeSet, Stored, prepare
from dialplan.dataset.data import Lost
from dialplan.dataset.follow import Follow, unseen
from dialplan.dataset.later import AnyKind, kind_word
from dialplan.dataset.problems import Problem
from dialplan.dataset.reader import AnyRawRow
from dialplan.kinds.registry import KINDS
from dialplan.wording import quote
from router.store.api import Store

_NAMED_MAX = 3  # in one message


class Loaded(msgspec.Struct, frozen=True):
    """What a load has done: the store's version after it, how many rows it changed, and warnings about them."""

    version: int
    changed: int
    warnings: tuple[Problem, ...]


class Going(NamedTuple):
    """How many rows of a kind a replacement removes, of how many."""

    kind: AnyKind
    rows: int
    of: int

    def __str__(self) -> str:
        """Both, and the kind."""
        return f"{self.rows} of {self.of} {kind_word(self.kind)}"


class LostContent(NamedTuple):
    """What a replacement takes away that a later version has written and this one does not know."""

    rows: tuple[Lost, ...]

    def __str__(self) -> str:
        """The first rows, and how many more there are."""
        named = ", ".join(map(_named, self.rows[:_NAMED_MAX]))
        more = f" and {len(self.rows) - _NAMED_MAX} more" if len(self.rows) > _NAMED_MAX else ""
        return f"what a later version has written: {named}{more}"


def _named(lost: Lost) -> str:
    word = f"a row of kind {lost.kind}," if isinstance(lost.kind, int) else KINDS[lost.kind].word
    return f"{word} {quote(lost.key)}" + (f" ({', '.join(lost.fields)})" if lost.fields else "")


class NotSureError(Exception):
    """A replacement would take more than may be meant, and nobody has said that it is; the text says what."""


async def load(
    store: Store,
    rows: Iterable[AnyRawRow],
    *,
    before: Iterable[Problem] = (),
    replace: bool = False,
    as_company: str | None = None,
    sure: bool = False,
    tell: Callable[[list[Going | LostContent]], object] = lambda _: None,
    follow: Follow = unseen,
) -> Loaded:
    """Validate rows against what is stored too, and apply them in one transaction.

    `before`: what was wrong with the files that they are from; `replace`, `as_company`, `follow`: see
    `dialplan.dataset.changes.prepare`. What a replacement removes is told to `tell` first, in a thread of the store's.
    More than half of a kind goes only where one is `sure`, and so does what a later version has written, else
    NotSureError is raised.
    Raises DataProblems and StoreError too; nothing is changed then. Nor is it where a cancellation comes through.
    """
    warnings: tuple[Problem, ...] = ()

    def prepared(stored: Stored) -> ChangeSet:
        nonlocal warnings
        changes = prepare(rows, stored, replace=replace, as_company=as_company, before=before, follow=follow)
        warnings = changes.warnings
        going = _going(changes)
        if going:
            tell(going)
        most = [each for each in going if isinstance(each, LostContent) or 2 * each.rows > each.of]
        if most and not sure:
            raise NotSureError(f"{', '.join(map(str, most))} would go; nothing was changed; add --yes if that is meant")
        return changes

    done = await store.commit(prepared, whole=replace)
    return Loaded(done.version, done.changed, warnings)


def _going(changes: ChangeSet) -> list[Going | LostContent]:
    """What goes, of the kinds of which something goes."""
    removed = ((kind, sum(row is None for row in rows.values())) for kind, rows in changes.rows.items())
    rows = [Going(kind, count, changes.replaced[kind]) for kind, count in removed if count and kind in changes.replaced]
    return [*rows, LostContent(changes.lost)] if changes.lost else [*rows]
