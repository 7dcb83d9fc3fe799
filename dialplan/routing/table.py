"""The hot table: what every decision is made from, all of it in memory.

The table is plain dictionaries, that of the numbers in many pieces. An entry knows only what its own row says and names
its flow or campaign by id, so that a changed flow is one new dictionary value and not a million new entries.

Patches are made from rows in short steps (`Patch.adding`). A patched table is a new one, made in short steps
(`RoutingTable.patching`) while the old one serves: it has all that was not touched in common with it. Whoever takes the
new one has all of a commit, and before nothing of it.
Structs here are untracked by the garbage collector (`gc=False`): they hold no cycles, and there may be millions.
"""

from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

import msgspec

from dialplan.kinds.call_flow import CallFlow
from dialplan.kinds.campaign import Campaign
from dialplan.kinds.company import Company
from dialplan.kinds.number import Number
from dialplan.kinds.registry import Row, RowKind
from dialplan.routing.digest import DIGEST_END, entries_digest, entry_digest, packed, row_digest
from dialplan.routing.entries import Entries
from dialplan.routing.entry import Entry
from dialplan.routing.kept import Kept
from dialplan.routing.pool import CHUNK, Pool
from dialplan.shards import SHARD_MASK, SHARDS, Shards, Steps, finished

_STEP_TAKEN = 128  # rows and updates of theirs that are taken in one step: some 5 µs each
_RESTORED_PER_ROW = 16  # numbers that are taken over in about the time of a row
_STEP_ROWS = 256  # changed in one step: some 2 µs each
_STEP_FREED = 8_192  # entries freed in one step: 0.1 µs each
_COPIED_PER_ROW = 64  # entries that are copied in about the time that a changed row takes
_LOOKED_AT_PER_ROW = 16  # and those that are looked at
_PACKED_MAX = 1_024  # replaced entries whose content is remembered while a patched table is made
_OTHER_KINDS = tuple(kind for kind in RowKind if kind is not RowKind.NUMBER)


class _Sections:
    """Rows of every kind, by their keys, as the call path needs them: numbers as entries, all others as they are."""

    def __init__(self, numbers: Shards[Entry], others: Mapping[RowKind, dict[str, Any]]) -> None:
        self.companies: dict[str, Company] = others[RowKind.COMPANY]
        self.flows: dict[str, CallFlow] = others[RowKind.CALL_FLOW]
        self.campaigns: dict[str, Campaign] = others[RowKind.CAMPAIGN]
        self.numbers = numbers
        self.others = others


class Piece(msgspec.Struct, frozen=True, gc=False):
    """Some numbers as an image has them: those of each of `rows`, which have none themselves."""

    rows: list[Number]
    numbers: list[list[str]]


class Patch(_Sections):
    """A change of the table being made ready: new rows by kind, and the keys of those that are removed.

    With `full` the patch is the complete set, and what it does not have is removed.
    `entries` makes the entries; patches of one table have it in common, so that equal entries stay one object.
    """

    def __init__(self, version: int, *, full: bool, entries: Entries | None = None) -> None:
        super().__init__(Shards(), _nothing())
        self.version = version
        self.full = full
        self.removed_numbers: Shards[None] = Shards()
        self.removed: dict[RowKind, dict[str, None]] = _nothing()  # of the other kinds
        self.digest = 0  # of the new rows
        self._entries = entries if entries is not None else Entries()
        self._removes = False

    def __len__(self) -> int:
        """How many rows it changes."""
        sections = (*self.others.values(), *self.removed.values(), self.numbers, self.removed_numbers)
        return sum(map(len, sections))

    def add(self, rows: Iterable[tuple[RowKind, str, Row | None]]) -> None:
        """Take rows into the patch at once; see `adding`."""
        finished(self.adding(rows))

    def adding(self, rows: Iterable[tuple[RowKind, str, Row | None]]) -> Steps[None]:
        """Take rows in: kind, key, and the new row, None where it goes. The last word on a row stands."""
        section: dict[str, Any]
        work = 0
        numbers: list[dict[str, Any]] = self.numbers.dicts
        made: list[tuple[str, bytes]] = []
        for kind, key, row in rows:
            section = numbers[hash(key) & SHARD_MASK] if kind is RowKind.NUMBER else self.others[kind]
            before = section.get(key)
            if before is not None:
                self.digest -= row_digest(key, before)
            if row is None:
                section.pop(key, None)
                self._removed_of(kind)[key] = None
                self._removes = True
                continue
            if self._removes:  # as a complete set does not
                self._removed_of(kind).pop(key, None)
            if isinstance(row, Number):
                section[key], content = self._entries.of(row)
                made.append((key, content))
                work += len(row.updates)
            else:
                section[key] = row
                self.digest += row_digest(key, row)
            work += 1
            if work >= _STEP_TAKEN:
                work = 0
                self.digest += entries_digest(made)
                made.clear()
                yield
        self.digest += entries_digest(made)

    def _removed_of(self, kind: RowKind) -> MutableMapping[str, None]:
        return self.removed_numbers if kind is RowKind.NUMBER else self.removed[kind]

    def restoring(self, piece: Piece) -> Steps[None]:
        """Take over some numbers of an image, see `dialplan.routing.image`; not their digest."""
        work = 0
        dicts = self.numbers.dicts
        for row, numbers in zip(piece.rows, piece.numbers, strict=True):
            entry = self._entries.different(row)
            for number in numbers:
                dicts[hash(number) & SHARD_MASK][number] = entry
            work += 1 + len(numbers) // _RESTORED_PER_ROW
            if work >= _STEP_TAKEN:
                work = 0
                yield

    def leaving(self, table: "RoutingTable") -> list[list[Any]]:
        """What it holds beside a table that was patched with it, in groups that are freed in one step each."""
        return [*_groups(self.numbers, table.numbers), *_groups(self.removed_numbers)]


class RoutingTable(_Sections):
    """The table in one version.

    `digest`: a number below 2**52 that tables with the same rows have in common.
    `shards`: `shards[hash(number) & SHARD_MASK].get(number)` is a number's entry. The call path looks it up by just
    that; all others by `find`.
    """

    def __init__(
        self,
        version: int = 0,
        numbers: Shards[Entry] | None = None,
        others: Mapping[RowKind, dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(
            numbers if numbers is not None else Shards(),
            others if others is not None else _nothing(),
        )
        self.version = version
        self.targets = object()  # another one when a company, a flow or a campaign has changed
        self.digest = 0
        self.shards = self.numbers.dicts
        self.pool: Pool = Pool()  # the active numbers of the pool, in order
        # Kinds and keys of stored rows that this version cannot read.
        self.left_out: frozenset[tuple[object, str]] = frozenset()
        # A campaign's own numbers that may be shown, in order, by its id: what has been asked for in this version.
        self.showable: dict[str, list[str]] = {}

    def find(self, number: str) -> Entry | None:
        """What stands under just this number, E.164."""
        return self.shards[hash(number) & SHARD_MASK].get(number)

    def apply(self, patch: Patch) -> None:
        """Take over a patch that follows on this table's version, at once: for small ones, and small tables."""
        self.__dict__.update(self.patched(patch).__dict__)

    def patched(self, patch: Patch) -> "RoutingTable":
        """A new table, this one with the patch applied, at once."""
        return finished(self.patching(patch))

    def patching(self, patch: Patch) -> "Steps[RoutingTable]":
        """A new table, this one with the patch applied, made in steps. This one must not change meanwhile.

        Entries of a full patch are the table's own afterwards: the patch may not be used again.
        """
        if patch.full:
            table = RoutingTable(patch.version, patch.numbers, patch.others)
            table.digest = patch.digest % DIGEST_END
            table.pool = yield from _pool_of(table.shards)
            return table
        digest, targets, others = self.digest + patch.digest, self.targets, dict(self.others)
        for kind in _OTHER_KINDS:
            changed, removed = patch.others[kind], patch.removed[kind]
            if not changed and not removed:
                continue
            before = self.others[kind]
            for count, key in enumerate((*changed, *removed), start=1):
                if key in before:
                    digest -= row_digest(key, before[key])
                if count % _STEP_ROWS == 0:
                    yield
            others[kind] = _changed(before, changed, removed)
            targets = object()
            yield
        table = RoutingTable(patch.version, Shards(list(self.shards)), others)
        table.targets, table.left_out = targets, self.left_out
        replaced, table.pool = yield from self._patch_numbers(patch, table.shards)
        table.digest = (digest - replaced) % DIGEST_END
        return table

    def _patch_numbers(self, patch: Patch, shards: list[dict[str, Entry]]) -> Steps[tuple[int, Pool]]:
        """Put new shards in the place of those that are touched; returns the digest of what they replace, the pool."""
        digest, work = 0, 0
        comes: Shards[None] = Shards()
        goes: Shards[None] = Shards()
        contents: Kept[Entry, bytes] = Kept(_PACKED_MAX)
        for place, before in enumerate(self.shards):
            changed, removed = patch.numbers.dicts[place], patch.removed_numbers.dicts[place]
            if not changed and not removed:
                continue
            for number in (*changed, *removed):
                old, new = before.get(number), changed.get(number)
                if old is not None:
                    content = contents.get(old) or contents.put(old, packed(old))
                    digest += entry_digest(number, content)
                was, will_be = old is not None and _in_pool(old), new is not None and _in_pool(new)
                if will_be and not was:
                    comes[number] = None
                elif was and not will_be:
                    goes[number] = None
                work += 1
                if work >= _STEP_ROWS:
                    work = 0
                    yield
            shards[place] = _changed(before, changed, removed)
            work += len(before) // _COPIED_PER_ROW
        pool = yield from self.pool.changing(comes, goes)
        return digest, pool

    def leaving(self, table: "RoutingTable") -> list[list[Any]]:
        """What it holds beside the table that replaces it, in groups that are freed in one step each."""
        groups = _groups(self.numbers, table.numbers)
        kept = set(map(id, table.pool.chunks))
        groups += _grouped([chunk for chunk in self.pool.chunks if id(chunk) not in kept], _STEP_FREED // CHUNK)
        for kind, rows in self.others.items():
            if rows is not table.others[kind]:
                groups += _grouped(list(rows.values()), _STEP_FREED)
        return groups


def _nothing() -> dict[RowKind, dict[str, Any]]:
    return {kind: {} for kind in _OTHER_KINDS}


def _changed(rows: dict[str, Any], changed: dict[str, Any], removed: Iterable[str]) -> dict[str, Any]:
    """A changed copy."""
    copy = rows | changed
    for key in removed:
        copy.pop(key, None)
    return copy


def _pool_of(shards: list[dict[str, Entry]]) -> Steps[Pool]:
    numbers: Shards[None] = Shards([])
    work = 0
    for shard in shards:
        numbers.dicts.append({number: None for number, entry in shard.items() if _in_pool(entry)})
        work += len(shard) // _LOOKED_AT_PER_ROW
        if work >= _STEP_ROWS:
            work = 0
            yield
    return (yield from Pool().changing(numbers, Shards()))


def _groups(one: Shards[Any], other: Shards[Any] | None = None) -> list[list[Any]]:
    """The pieces of one that the other does not have, in groups."""
    its = other.dicts if other is not None else [None] * SHARDS
    pieces = [mine for mine, other_one in zip(one.dicts, its, strict=True) if mine is not other_one]
    return _grouped(pieces, max(1, _STEP_FREED * SHARDS // (len(one) + 1)))


def _grouped(pieces: list[Any], size: int) -> list[list[Any]]:
    return [pieces[first : first + size] for first in range(0, len(pieces), size)]


def _in_pool(entry: Entry) -> bool:
    return entry.company is None and entry.active
