"""The kinds of rows: what each says of itself stands in its own module, and this list is all that has to know of it."""

from typing import Any, TypeAlias

from dialplan.kinds.call_flow import CallFlow, CallFlowKind
from dialplan.kinds.campaign import Campaign, CampaignKind
from dialplan.kinds.company import Company, CompanyKind
from dialplan.kinds.kind import Kind, RowKind
from dialplan.kinds.number import Number, NumberRows

__all__ = ["KINDS", "Row", "RowKind", "key_of", "kind_of"]

Row: TypeAlias = Company | CallFlow | Campaign | Number

# In the order in which they refer back.
KINDS: dict[RowKind, Kind[Any]] = {
    kind.name: kind for kind in (CompanyKind(), CallFlowKind(), CampaignKind(), NumberRows())
}
_BY_STRUCT = {kind.struct: kind for kind in KINDS.values()}


def kind_of(row: Row) -> Kind[Any]:
    """The kind of a row."""
    return _BY_STRUCT[type(row)]


def key_of(row: Row) -> str:
    """What names a row within its kind: a number's E.164 form, an id elsewhere."""
    return kind_of(row).key_of(row)
