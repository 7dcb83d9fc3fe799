"""A routing table out of entries as a data file has them."""

from dialplan.routing.table import Patch, RoutingTable
from tests.samples import Entry, held


def table_of(*entries: Entry, version: int = 7) -> RoutingTable:
    """The table that a store with these entries gives."""
    patch = Patch(version, full=True)
    for kind, section in held(*entries).held.items():
        patch.add((kind, key, row) for key, row in section.items())
    return RoutingTable().patched(patch)
