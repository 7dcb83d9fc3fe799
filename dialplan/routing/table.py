"""The hot table: what every decision is made from, all of it in memory.

The table is plain dictionaries. An entry knows only what its own row says and names its flow or campaign by id, so
that a changed flow is one new dictionary value and not a million new entries. Scheduled updates live inside the
entry with their times: the switch is exact to the call and needs no timer.

Patches are made from rows away from the call path (`Patch.add`), and applied in one step
(`RoutingTable.apply`).
Structs here are untracked by the garbage collector (`gc=False`): they hold no cycles, and there may be millions.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

from dialplan.kinds.call_flow import CallFlow, ParameterValue
from dialplan.kinds.campaign import Campaign
from dialplan.kinds.company import Company
from dialplan.kinds.number import Assignment as RowAssignment
from dialplan.kinds.number import CallbackRule, Number, Status, assignments
from dialplan.kinds.registry import Row, RowKind

_DIGEST_END = 2**52  # a metric's value is a float, which tells all numbers below that apart
_pack = msgspec.msgpack.Encoder(order="deterministic").encode


class Assigned(msgspec.Struct, frozen=True, gc=False, eq=False):
    """What a number is assigned to: a call flow with values, or an inbound campaign. Compared by identity."""

    flow: str | None
    campaign: str | None
    values: tuple[tuple[str, ParameterValue], ...]


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A number as the call path needs it. `updates`: (epoch seconds UTC, what holds from then on), in order."""

    company: str | None  # None: it belongs to the pool
    active: bool
    base: Assigned | None
    updates: tuple[tuple[float, Assigned | None], ...]
    callback_rule: CallbackRule = CallbackRule.AS_IN_CAMPAIGN


class Patch:
    """A change of the table being made ready: new rows by kind, and the keys of those that go.

    With `whole` the patch is the complete set, and what it does not have is gone.
    """

    def __init__(self, version: int, *, whole: bool) -> None:
        self.version = version
        self.whole = whole
        self.numbers: dict[str, Entry] = {}
        self.flows: dict[str, CallFlow] = {}
        self.campaigns: dict[str, Campaign] = {}
        self.companies: dict[str, Company] = {}
        self.gone: dict[tuple[RowKind, str], None] = {}  # in order
        self.digest = 0  # of the new rows
        self._sections: dict[RowKind, dict[str, Any]] = {
            RowKind.COMPANY: self.companies,
            RowKind.CALL_FLOW: self.flows,
            RowKind.CAMPAIGN: self.campaigns,
            RowKind.NUMBER: self.numbers,
        }
        self._shared: dict[tuple[str | None, str | None], Assigned] = {}

    def __len__(self) -> int:
        """How many rows it changes."""
        return len(self.numbers) + len(self.flows) + len(self.campaigns) + len(self.companies) + len(self.gone)

    def add(self, rows: Iterable[tuple[RowKind, str, Row | None]]) -> None:
        """Take rows into the patch: kind, key, and the new row, None where it goes. The last word on a row stands."""
        for kind, key, row in rows:
            section = self._sections[kind]
            before = section.pop(key, None)
            if before is not None:
                self.digest -= _digest(key, before)
            if row is None:
                self.gone[kind, key] = None
                continue
            if self.gone:
                self.gone.pop((kind, key), None)
            held = section[key] = self._entry(row) if isinstance(row, Number) else row
            self.digest += _digest(key, held)

    def _entry(self, row: Number) -> Entry:
        updates: tuple[tuple[float, Assigned | None], ...] = ()
        if row.updates:
            times = [update.at.timestamp() for update in row.updates]
            updates = tuple(zip(times, map(self._assigned, assignments(row)[1:]), strict=True))
        base = RowAssignment(row.call_flow, row.inbound_campaign, row.parameters)
        return Entry(row.company, row.status is Status.ACTIVE, self._assigned(base), updates, row.callback_rule)

    def _assigned(self, assignment: RowAssignment) -> Assigned | None:
        """The same object for all numbers with the same flow and no values of their own."""
        flow, campaign = assignment.call_flow, assignment.inbound_campaign
        if flow is None and campaign is None:
            return None
        if assignment.parameters:
            return Assigned(flow, campaign, tuple(assignment.parameters.items()))
        shared = self._shared.get((flow, campaign))
        if shared is None:
            shared = self._shared[flow, campaign] = Assigned(flow, campaign, ())
        return shared


class RoutingTable:
    """The table in one version. Reading needs no lock: `apply` changes it between two turns of the event loop.

    `digest`: a number below 2**52 that tables with the same rows have in common.
    """

    def __init__(self, version: int = 0) -> None:
        self.version = version
        self.digest = 0
        self.numbers: dict[str, Entry] = {}
        self.flows: dict[str, CallFlow] = {}
        self.campaigns: dict[str, Campaign] = {}
        self.companies: dict[str, Company] = {}
        self.pool: list[str] = []  # the active numbers of the pool, in order

    def apply(self, patch: Patch) -> None:
        """Take over a patch that follows on this table's version, in one turn: 1 µs a row."""
        self._update_pool(patch)
        changed: list[tuple[dict[str, Any], dict[str, Any]]] = [
            (self.companies, patch.companies),
            (self.campaigns, patch.campaigns),
            (self.flows, patch.flows),
            (self.numbers, patch.numbers),
        ]
        digest = self.digest + patch.digest
        for rows, news in changed:
            if rows:
                digest -= sum(_digest(key, rows[key]) for key in news if key in rows)
            rows.update(news)
        sections: dict[RowKind, dict[str, Any]] = {
            RowKind.COMPANY: self.companies,
            RowKind.CALL_FLOW: self.flows,
            RowKind.CAMPAIGN: self.campaigns,
            RowKind.NUMBER: self.numbers,
        }
        for kind, key in patch.gone:
            row = sections[kind].pop(key, None)
            if row is not None:
                digest -= _digest(key, row)
        self.digest = digest % _DIGEST_END
        self.version = patch.version

    def _update_pool(self, patch: Patch) -> None:
        """Before the patch is in. Most do not touch the pool; one that does costs a pass over it."""
        after = {number: _in_pool(entry) for number, entry in patch.numbers.items()}
        after |= {key: False for kind, key in patch.gone if kind is RowKind.NUMBER}
        before = {number for number in after if number in self.numbers and _in_pool(self.numbers[number])}
        comes = [number for number, inside in after.items() if inside and number not in before]
        if comes or any(not after[number] for number in before):
            self.pool = sorted([number for number in self.pool if after.get(number, True)] + comes)

    def patched(self, patch: Patch) -> "RoutingTable":
        """A new table, this one with the patch applied. For large patches, made away from the call path."""
        table = RoutingTable(self.version)
        if not patch.whole:
            table.companies, table.campaigns = dict(self.companies), dict(self.campaigns)
            table.flows, table.numbers = dict(self.flows), dict(self.numbers)
            table.pool, table.digest = self.pool, self.digest
        table.apply(patch)
        return table


def _digest(key: str, row: Any) -> int:
    """Of one row; those of a table are added up, so that a change costs no more than its own rows."""
    content = _pack((type(row).__name__, key, row))
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big") % _DIGEST_END


def _in_pool(entry: Entry) -> bool:
    return entry.company is None and entry.active
