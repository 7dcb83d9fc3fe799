"""Rows of later versions among those that a table is made of: what can be read goes in, the rest is left out."""

from collections.abc import Sequence
from typing import TypeAlias

from dialplan.dataset.later import AnyKind, Held, LaterRow
from dialplan.kinds.registry import KINDS, Row, RowKind

Name: TypeAlias = tuple[AnyKind, str]
_KNOWN_WHOLE = frozenset(kind.struct for kind in KINDS.values())


class LaterRows:
    """Those of a table that is being read, by kind and key; `before`: those that it had, unless all of it is read."""

    def __init__(self, before: "LaterRows | None" = None) -> None:
        self.rows: dict[Name, LaterRow] = dict(before.rows) if before is not None else {}

    def understood(self, rows: Sequence[tuple[AnyKind, str, Held | None]]) -> Sequence[tuple[RowKind, str, Row | None]]:
        """The rows as a table takes them: one that cannot be read is none. Nearly always they are what they were."""
        if not self.rows and all(type(row) in _KNOWN_WHOLE for _, _, row in rows):
            return rows  # type: ignore[return-value]
        understood: list[tuple[RowKind, str, Row | None]] = []
        for kind, key, row in rows:
            self.rows.pop((kind, key), None)
            if isinstance(row, LaterRow):
                self.rows[kind, key] = row
            if not isinstance(kind, int):
                understood.append((kind, key, row.row if isinstance(row, LaterRow) else row))
        return understood

    @property
    def left_out(self) -> frozenset[Name]:
        """Those that cannot be read."""
        return frozenset(name for name, row in self.rows.items() if row.row is None)

    @property
    def numbers(self) -> frozenset[str]:
        """The numbers among them."""
        return frozenset(key for kind, key in self.rows if kind is RowKind.NUMBER)
