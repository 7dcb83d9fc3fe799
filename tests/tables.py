"""A routing table out of entries as a data file has them."""

from collections.abc import Sequence

from dialplan.kinds.registry import Row, key_of, kind_of
from dialplan.routing.table import Patch, RoutingTable
from tests.samples import Entry, held


def table_of(*entries: Entry, version: int = 7, stored: Sequence[Row] = ()) -> RoutingTable:
    """The table that a store with these entries gives, and with rows that were stored before and are refused today."""
    patch = Patch(version, full=True)
    for kind, section in held(*entries).held.items():
        patch.add((kind, key, row) for key, row in section.items())
    patch.add((kind_of(row).name, key_of(row), row) for row in stored)
    return RoutingTable().patched(patch)
