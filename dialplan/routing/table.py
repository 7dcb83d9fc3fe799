"""The hot table: what every decision is made from, all of it in memory.

The table is plain dictionaries. An entry knows only what its own row says and names its flow or campaign by id, so
that a changed flow is one new dictionary value and not a million new entries.

Patches are made from rows away from the call path (`Patch.add`), and applied in one step
(`RoutingTable.apply`).
Structs here are untracked by the garbage collector (`gc=False`): they hold no cycles, and there may be millions.
"""

from collections.abc import Iterable
from typing import Any

from dialplan.kinds.call_flow import CallFlow
from dialplan.kinds.campaign import Campaign
from dialplan.kinds.company import Company
from dialplan.kinds.number import Number
from dialplan.kinds.registry import Row, RowKind
from dialplan.routing.digest import DIGEST_END, entry_digest, row_digest
from dialplan.routing.entries import Entries
from dialplan.routing.entry import Entry
from dialplan.routing.lookup import exact


class _Sections:
    """Rows of every kind, by their keys, as the call path needs them: numbers as entries, all others as they are."""

    def __init__(self) -> None:
        self.sections: dict[RowKind, dict[str, Any]] = {kind: {} for kind in RowKind}
        self.companies: dict[str, Company] = self.sections[RowKind.COMPANY]
        self.flows: dict[str, CallFlow] = self.sections[RowKind.CALL_FLOW]
        self.campaigns: dict[str, Campaign] = self.sections[RowKind.CAMPAIGN]
        self.numbers: dict[str, Entry] = self.sections[RowKind.NUMBER]


class Patch(_Sections):
    """A change of the table being made ready: new rows by kind, and the keys of those that are removed.

    With `full` the patch is the complete set, and what it does not have is removed.
    `entries` makes the entries; patches of one table have it in common, so that equal entries stay one object.
    """

    def __init__(self, version: int, *, full: bool, entries: Entries | None = None) -> None:
        super().__init__()
        self.version = version
        self.full = full
        self.removed: dict[tuple[RowKind, str], None] = {}  # in order
        self.digest = 0  # of the new rows
        self._entries = entries if entries is not None else Entries()

    def __len__(self) -> int:
        """How many rows it changes."""
        return sum(map(len, self.sections.values())) + len(self.removed)

    def add(self, rows: Iterable[tuple[RowKind, str, Row | None]]) -> None:
        """Take rows into the patch: kind, key, and the new row, None where it goes. The last word on a row stands."""
        for kind, key, row in rows:
            section = self.sections[kind]
            before = section.pop(key, None)
            if before is not None:
                self.digest -= row_digest(key, before)
            if row is None:
                self.removed[kind, key] = None
                continue
            if self.removed:
                self.removed.pop((kind, key), None)
            if isinstance(row, Number):
                section[key], content = self._entries.of(row)
                self.digest += entry_digest(key, content)
            else:
                section[key] = row
                self.digest += row_digest(key, row)


class RoutingTable(_Sections):
    """The table in one version. Reading needs no lock: `apply` changes it between two turns of the event loop.

    `digest`: a number below 2**52 that tables with the same rows have in common.
    """

    def __init__(self, version: int = 0) -> None:
        super().__init__()
        self.version = version
        self.targets = object()  # another one when a company, a flow or a campaign has changed
        self.digest = 0
        self.find = exact(self.numbers)
        self.pool: list[str] = []  # the active numbers of the pool, in order
        # Kinds and keys of stored rows that this version cannot read.
        self.left_out: frozenset[tuple[object, str]] = frozenset()

    def apply(self, patch: Patch) -> None:
        """Take over a patch that follows on this table's version, in one turn: 1 µs a row."""
        self._update_pool(patch)
        digest = self.digest + patch.digest
        for kind, changed in patch.sections.items():
            rows = self.sections[kind]
            if rows:
                digest -= sum(row_digest(key, rows[key]) for key in changed if key in rows)
            rows.update(changed)
        if any(rows for kind, rows in patch.sections.items() if kind is not RowKind.NUMBER) or any(
            kind is not RowKind.NUMBER for kind, _ in patch.removed
        ):
            self.targets = object()
        for kind, key in patch.removed:
            row = self.sections[kind].pop(key, None)
            if row is not None:
                digest -= row_digest(key, row)
        self.digest = digest % DIGEST_END
        self.version = patch.version

    def _update_pool(self, patch: Patch) -> None:
        """Before the patch is in. Most do not touch the pool; one that does costs a pass over it."""
        after = {number: _in_pool(entry) for number, entry in patch.numbers.items()}
        after |= {key: False for kind, key in patch.removed if kind is RowKind.NUMBER}
        before = {number for number in after if number in self.numbers and _in_pool(self.numbers[number])}
        comes = [number for number, inside in after.items() if inside and number not in before]
        if comes or any(not after[number] for number in before):
            self.pool = sorted([number for number in self.pool if after.get(number, True)] + comes)

    def patched(self, patch: Patch) -> "RoutingTable":
        """A new table, this one with the patch applied. For large patches, made away from the call path."""
        table = RoutingTable(self.version)
        if not patch.full:
            for kind, rows in self.sections.items():
                table.sections[kind].update(rows)
            table.pool, table.digest, table.left_out = self.pool, self.digest, self.left_out
            table.targets = self.targets
        table.apply(patch)
        return table


def _in_pool(entry: Entry) -> bool:
    return entry.company is None and entry.active
