"""One change by hand, as `ringway edit` and `ringway remove` make it: through the same gate as a load."""

from collections.abc import Callable, Sequence

import msgspec

from dialplan.dataset.changes import ChangeSet, Stored, prepare
from dialplan.dataset.dumped import dumped
from dialplan.dataset.edits import Edit, FieldChange, changed_fields, edited
from dialplan.dataset.later import AnyKind, Fields, Held
from dialplan.dataset.problems import DataProblems, Place, Problem, problem
from dialplan.dataset.reader import RawRow
from dialplan.kinds.fields import NO_HOME
from dialplan.kinds.registry import KINDS, RowKind
from dialplan.wording import Code, quote
from router.store.api import Store

_GIVEN = "given"
_NOT_THERE = Code("nothing-to-edit", "there is no such {word}", "correct the {key}, or say --new to make it")
_THERE = Code("new-and-there", "there is such a {word} already", "leave --new out to change it")


class RowChange(msgspec.Struct, frozen=True):
    """What becomes of one row: `before` and `after` are as a data file has it, None where it is not there."""

    kind: AnyKind
    key: str
    before: Fields | None
    after: Fields | None

    @property
    def fields(self) -> list[FieldChange]:
        """What differs."""
        return changed_fields(self.before, self.after)


class Edited(msgspec.Struct, frozen=True):
    """What a change by hand has done: the store's version after it, the rows that changed, and warnings about them.

    A preview has done nothing: `rows` are those that would change, and the version is that of now.
    """

    version: int
    rows: tuple[RowChange, ...]
    warnings: tuple[Problem, ...]


async def edit(
    store: Store,
    kind: RowKind,
    key: str,
    edits: Sequence[Edit],
    *,
    new: bool = False,
    as_company: str | None = None,
    preview: bool = False,
) -> Edited:
    """Change fields of one row, which has to be there, or with `new` must not be.

    `key` is as somebody writes it: an id, or a number with its + in front.
    Raises DataProblems and StoreError; nothing is changed then.
    """
    its = KINDS[kind]
    name = its.read_key(key, NO_HOME)
    place = Place(_GIVEN, f"{its.word} {quote(key)}")

    def prepared(stored: Stored) -> ChangeSet:
        held = stored.get(kind, name) if its.is_key(name) else None
        if (held is None) is not new:
            fault = _THERE(word=its.word) if new else _NOT_THERE(word=its.word, key=its.key)
            raise DataProblems([problem(place, "", fault)])
        values = {its.key: key} if held is None else dumped(held)
        return prepare([RawRow(kind, place, edited(values, its.struct, edits))], stored, as_company=as_company)

    return await _made(store, prepared, preview=preview)


async def remove(
    store: Store, kind: RowKind, keys: Sequence[str], *, as_company: str | None = None, preview: bool = False
) -> Edited:
    """Remove rows, all of them or none. `keys` are as above.

    Raises DataProblems and StoreError; nothing is changed then.
    """
    removals = [(kind, key) for key in keys]
    return await _made(
        store, lambda stored: prepare([], stored, removals=removals, as_company=as_company), preview=preview
    )


async def _made(store: Store, prepared: Callable[[Stored], ChangeSet], *, preview: bool) -> Edited:
    rows: tuple[RowChange, ...] = ()
    warnings: tuple[Problem, ...] = ()

    def noted(stored: Stored) -> ChangeSet:
        nonlocal rows, warnings
        changes = prepared(stored)
        warnings = changes.warnings
        rows = tuple(
            _change(stored, kind, key, after)
            for kind, of_kind in changes.rows.items()
            for key, after in of_kind.items()
        )
        return ChangeSet({}) if preview else changes

    done = await store.commit(noted)
    return Edited(done.version, rows, warnings)


def _change(stored: Stored, kind: AnyKind, key: str, after: Held | None) -> RowChange:
    before = None if isinstance(kind, int) else stored.get(kind, key)
    return RowChange(kind, key, None if before is None else dumped(before), None if after is None else dumped(after))
