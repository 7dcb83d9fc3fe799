"""The kinds of rows, in the order in which they refer back."""

from enum import StrEnum
from typing import TypeAlias

from dialplan.kinds.call_flow import CallFlow
from dialplan.kinds.campaign import Campaign
from dialplan.kinds.company import Company
from dialplan.kinds.number import Number

Row: TypeAlias = Company | CallFlow | Campaign | Number


class RowKind(StrEnum):
    """The kinds of rows, named as the data files name their sections, in the order in which they refer back."""

    COMPANY = "companies"
    CALL_FLOW = "call_flows"
    CAMPAIGN = "campaigns"
    NUMBER = "numbers"


ROW_TYPES: dict[RowKind, type[Row]] = {
    RowKind.COMPANY: Company,
    RowKind.CALL_FLOW: CallFlow,
    RowKind.CAMPAIGN: Campaign,
    RowKind.NUMBER: Number,
}


def key_of(row: Row) -> str:
    """What names a row within its kind: a number's E.164 form, an id elsewhere."""
    return row.number if isinstance(row, Number) else row.id
