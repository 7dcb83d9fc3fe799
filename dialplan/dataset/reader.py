"""Rows as data files say them -> rows of their kinds, or every problem with its place.

This is the first half of the check, row by row: types, alphabets, lengths, numbers and times. What rows say about
each other is the second half, in `dialplan.dataset.checks`.
"""

from typing import Any, NamedTuple, TypeAlias

import msgspec

from dialplan.dataset.convert import bad_fields
from dialplan.dataset.problems import Faults, Place, Problem, problem
from dialplan.kinds.fields import NEEDS_HOME, NO_HOME, UNREAD_HOME, HomeOf, is_id
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


class Reading(NamedTuple):
    """What a raw row has come to: the row as far as it could be read, its faults, and the fields that are bad.

    Without bad fields it is the whole row. A bad one may have no fault here: that has been told with its company's row.
    """

    row: Row | None
    faults: Faults
    bad: frozenset[str]

    def problems(self, place: Place) -> list[Problem]:
        """The faults in their place."""
        return [problem(place, field, fault) for field, fault in self.faults]


def read_row(raw: RawRow, home_of: HomeOf) -> Reading:
    """Read one row. `home_of` gives a company's home by its id, None where there is no such company."""
    faults: Faults = []
    company = raw.values.get("company")
    company_id = company if isinstance(company, str) and is_id(company) else None
    home = home_of(company_id) if company_id is not None else None
    row: Row | None = KINDS[raw.kind].read(raw.values, home or NO_HOME, faults)
    if not faults:
        return Reading(row, faults, frozenset())
    bad = bad_fields(faults)
    if "company" in bad or (company is not None and home in (None, UNREAD_HOME)):
        # What its country or its time zone would have read comes of the company: that is told, and once.
        faults, needing = [], faults
        faults += (each for each in needing if each[1].code.slug not in NEEDS_HOME)
        if len(faults) < len(needing) and company_id is not None and home is None:
            faults.append(("company", KINDS[RowKind.COMPANY].absent(company_id)))
            bad |= {"company"}
    return Reading(row, faults, bad)
