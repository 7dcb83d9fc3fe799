"""A row and all that it leads to."""

from collections.abc import Iterator

from dialplan.dataset.data import Stored
from dialplan.dataset.later import Held, readable
from dialplan.kinds.registry import KINDS, RowKind


def related(stored: Stored, kind: RowKind, key: str) -> Iterator[tuple[RowKind, str, Held]]:
    """The row of that kind and key, and the rows that it names, and those that these name; each once.

    What a row names that cannot be read is not known.
    """
    wanted = [(kind, key)]
    seen: set[tuple[RowKind, str]] = set()
    while wanted:
        here = wanted.pop()
        held = stored.get(*here) if here not in seen else None
        seen.add(here)
        if held is not None:
            yield (*here, held)
        if (row := readable(held)) is not None:
            wanted += [(each.kind, each.key) for each in KINDS[here[0]].references(row)]
