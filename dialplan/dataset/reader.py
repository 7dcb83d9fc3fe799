"""Rows as data files say them -> rows of their kinds, or every problem with its place.

This is the first half of the check, row by row: types, alphabets, lengths, numbers and times. What rows say about
each other is the second half, in `dialplan.dataset.checks`.
"""

from typing import Any, TypeAlias

import msgspec

from dialplan.dataset.problems import Faults, Place, Problem, problem
from dialplan.kinds.fields import NO_HOME, HomeOf
from dialplan.kinds.registry import KINDS, Row, RowKind


class RawRow(msgspec.Struct):
    """A row as a file gives it: its kind, where it stands, and a mapping of plain values."""

    kind: RowKind
    place: Place
    values: dict[str, Any]


class RawOtherRow(msgspec.Struct):
    """A row of a kind that is not known, as a dump has it: the kind's number in stores, and the rest as above."""

    kind: int
    place: Place
    values: dict[str, Any]


AnyRawRow: TypeAlias = RawRow | RawOtherRow


def read_row(raw: RawRow, home_of: HomeOf) -> Row | list[Problem]:
    """Read one row. `home_of` gives a company's home by its id, None where there is no such company.

    Returns the row, or all that is wrong with it.
    """
    faults: Faults = []
    company = raw.values.get("company")
    home = (home_of(company) if isinstance(company, str) else None) or NO_HOME
    row: Row | None = KINDS[raw.kind].read(raw.values, home, faults)
    if faults or row is None:
        return [problem(raw.place, field, fault) for field, fault in faults]
    return row
