"""A row and all that it leads to."""

from collections.abc import Iterator

from dialplan.dataset.data import Stored
from dialplan.kinds.registry import KINDS, Row, RowKind


def related(stored: Stored, kind: RowKind, key: str) -> Iterator[tuple[RowKind, str, Row]]:
    """The row of that kind and key, and the rows that it names, and those that these name; each once."""
    wanted = [(kind, key)]
    seen: set[tuple[RowKind, str]] = set()
    while wanted:
        here = wanted.pop()
        row = stored.get(*here) if here not in seen else None
        seen.add(here)
        if row is not None:
            yield (*here, row)
            wanted += [(each.kind, each.key) for each in KINDS[here[0]].references(row)]
