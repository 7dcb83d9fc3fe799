"""A table's numbers in pieces: to restore them takes a second, where to read all rows takes several.

A piece has a row for each different entry, one that says just what the entry says, and the numbers that have it. What
no such row can say is left out, and so are the numbers that it is told to leave: they are read as they are stored.
"""

import hashlib
from collections.abc import AsyncIterator, Iterator
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from dialplan.kinds.number import Number, Status
from dialplan.routing.digest import DIGEST_END, packed, row_digest
from dialplan.routing.entries import Entries
from dialplan.routing.entry import Entry
from dialplan.routing.kept import Kept
from dialplan.routing.steps import COMPILING
from dialplan.routing.table import Piece, RoutingTable
from dialplan.routing.target import ToFlow
from dialplan.shards import SHARDS

PIECES = 256  # of a million numbers each has 4,000: some 2 ms of work
_STEP = 128  # entries that are looked at in one step: some 8 µs each
_SAID_MAX = 4_096  # entries whose rows are remembered from one piece to the next
_FORM = 1


class Image(NamedTuple):
    """Most numbers of a table: the digest of their entries, and the pieces."""

    digest: int
    pieces: AsyncIterator[Piece]


def form() -> str:
    """What entries are made of here. An image by a version where that is something else may lack a part of it."""
    parts = (_FORM, Number.__struct_fields__, Entry.__struct_fields__, tuple(step.name for step in COMPILING))
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


class Imaging:
    """Puts a table's numbers into pieces, without those of `aside`: iterate to the end, once, in short steps.

    Some of these steps give a piece. Afterwards `rest` has all that are left out, and `digest` is that of the others.
    """

    def __init__(self, table: RoutingTable, aside: AbstractSet[str] = frozenset()) -> None:
        self.rest: list[str] = []
        self.digest = table.digest
        # Held no longer than they are needed: a table that is replaced meanwhile is let go of piece by piece.
        self._others = list(table.others.values())
        self._shards = list(table.shards)
        self._aside = aside
        self._entries = Entries()
        self._rows: Kept[Entry, Number] = Kept(_SAID_MAX)

    def __iter__(self) -> Iterator[Piece | None]:
        while self._others:
            for count, (key, row) in enumerate(self._others.pop().items()):
                self.digest -= row_digest(key, row)
                if count % _STEP == 0:
                    yield None
        while self._shards:
            yield from self._piece([self._shards.pop() for _ in range(SHARDS // PIECES)])
        self.digest %= DIGEST_END

    def _piece(self, shards: list[dict[str, Entry]]) -> Iterator[Piece | None]:
        groups: dict[Entry, list[str]] = {}
        for shard in shards:
            yield None
            for number, entry in shard.items():
                if number in self._aside:
                    self._leave(entry, [number])
                elif (group := groups.get(entry)) is not None:
                    group.append(number)
                else:
                    groups[entry] = [number]
        rows: list[Number] = []
        numbers: list[list[str]] = []
        for count, (entry, its) in enumerate(groups.items()):
            if count % _STEP == 0:
                yield None
            row = self._rows.get(entry) or self._row(entry)
            if row is None:
                self._leave(entry, its)
            else:
                rows.append(row)
                numbers.append(its)
        if rows:
            yield Piece(rows, numbers)

    def _leave(self, entry: Entry, numbers: list[str]) -> None:
        self.rest += numbers
        self.digest -= sum(row_digest(number, entry) for number in numbers)

    def _row(self, entry: Entry) -> Number | None:
        """A row that makes this entry; None where there is none that has nothing else, such as updates."""
        target = entry.base
        row = Number(
            "",
            company=entry.company,
            status=Status.ACTIVE if entry.active else Status.DISABLED,
            call_flow=target.flow if isinstance(target, ToFlow) else None,
            inbound_campaign=None if target is None or isinstance(target, ToFlow) else target.campaign,
            parameters=dict(target.values) if target is not None else {},
            callback_rule=entry.callback_rule,
        )
        return self._rows.put(entry, row) if self._entries.of(row)[1] == packed(entry) else None
