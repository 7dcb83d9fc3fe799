"""Rows -> a consistent change of the stored set, or every problem with its place.

The one gate to the store: `ringway check`, `ringway load` and whatever edits later go through `prepare`. It reads
each row by itself (`rows`), then checks what rows say about each other, against the new rows and the stored ones
together, stored rows included that a new row would leave dangling.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

import msgspec

from dialplan.dataset import parameters, times
from dialplan.dataset.checks import permissions
from dialplan.dataset.problems import DataProblems, Fault, Place, Problem, field_name, problem
from dialplan.dataset.reader import NO_HOME, Home, RawRow, is_id, read_row
from dialplan.kinds.call_flow import CallFlow, ParameterValue
from dialplan.kinds.campaign import Campaign, Direction
from dialplan.kinds.company import Company
from dialplan.kinds.number import Number, assignments
from dialplan.kinds.registry import ROW_TYPES, Row, RowKind, key_of
from dialplan.numbering.numbers import Bare, is_region, normalise
from dialplan.wording import quote

R = TypeVar("R")


class Stored(Protocol):
    """What is stored now, as far as a check has to know it."""

    def get(self, kind: RowKind, key: str) -> Row | None:
        """The row of that kind and key, None where there is none."""
        ...

    def rows(self, kind: RowKind) -> Iterator[Row]:
        """All rows of a kind."""
        ...


class NothingStored:
    """An empty store: what a data set is checked against when it has to stand alone."""

    def get(self, _kind: RowKind, _key: str) -> Row | None:
        """Nothing."""
        return None

    def rows(self, _kind: RowKind) -> Iterator[Row]:
        """None."""
        return iter(())


class ChangeSet(msgspec.Struct):
    """What a commit changes: by kind, each key with its new row, or with None where the row goes."""

    rows: dict[RowKind, dict[str, Row | None]]

    def __len__(self) -> int:
        """How many rows change."""
        return sum(map(len, self.rows.values()))


def prepare(
    raw_rows: Iterable[RawRow],
    stored: Stored,
    *,
    replace: bool = False,
    as_company: str | None = None,
    before: Iterable[Problem] = (),
) -> ChangeSet:
    """Check rows against each other and against what is stored; return what has to change, and no more than that.

    A row replaces the stored one with its id or number; with `replace` the rows are the whole set afterwards.
    `as_company` checks besides that the admin of that company may do all of it. `before`: problems that were found
    already, to be told with the others.

    Raises DataProblems with everything that is wrong.
    """
    check = _Check(NothingStored() if replace else stored)
    check.problems.extend(before)
    check.read(raw_rows)
    check.references()
    changes = _difference(check.new, stored, replace=replace)
    if as_company is not None and not check.problems:
        check.permissions(changes, stored, as_company)
    if check.problems:
        raise DataProblems(check.problems)
    return changes


def _difference(new: dict[RowKind, dict[str, Row]], stored: Stored, *, replace: bool) -> ChangeSet:
    changes: dict[RowKind, dict[str, Row | None]] = {}
    for kind in RowKind:
        old = {key_of(row): row for row in stored.rows(kind)} if replace else {}
        changed: dict[str, Row | None] = {
            key: row for key, row in new[kind].items() if (old.get(key) if replace else stored.get(kind, key)) != row
        }
        changed.update({key: None for key in old if key not in new[kind]})
        if changed:
            changes[kind] = changed
    return ChangeSet(changes)


class _Check:
    """One check: the new rows by kind and key, where each stands, and the problems found so far."""

    def __init__(self, stored: Stored) -> None:
        self.stored = stored
        self.new: dict[RowKind, dict[str, Row]] = {kind: {} for kind in RowKind}
        self.problems: list[Problem] = []
        self._places: dict[tuple[RowKind, str], Place] = {}
        self._unread: set[tuple[RowKind, str]] = set()  # named by a row that could not be read: not "missing"
        self._unread_homes: dict[str, Home] = {}

    def read(self, raw_rows: Iterable[RawRow]) -> None:
        """Read the rows, companies first, since they tell how to read the numbers of the others."""
        by_kind: dict[RowKind, list[RawRow]] = {kind: [] for kind in RowKind}
        for raw in raw_rows:
            by_kind[raw.kind].append(raw)
        for kind in RowKind:
            for raw in by_kind[kind]:
                self._read(raw)

    def _read(self, raw: RawRow) -> None:
        row = read_row(raw, self._home)
        if isinstance(row, list):
            self.problems.extend(row)
            self._remember_unread(raw)
            return
        key = key_of(row)
        if (raw.kind, key) in self._places:
            first = self._places[raw.kind, key]
            self._add(raw.place, "", Fault(f"{quote(key)} stands already at {first.file}: {first.entry}", "keep one"))
            return
        self.new[raw.kind][key] = row
        self._places[raw.kind, key] = raw.place

    def _remember_unread(self, raw: RawRow) -> None:
        key = raw.values.get("number" if raw.kind is RowKind.NUMBER else "id")
        company = raw.values.get("company")
        if raw.kind is RowKind.NUMBER and isinstance(key, str):
            home = (self._home(company) if isinstance(company, str) else None) or NO_HOME
            key = normalise(key, home.region, Bare.REFUSE)
        if isinstance(key, str):
            self._unread.add((raw.kind, key))
        region = raw.values.get("region")
        if raw.kind is RowKind.COMPANY and isinstance(key, str) and isinstance(region, str) and is_region(region):
            self._unread_homes[key] = Home(region, "UTC")

    def _home(self, company_id: str) -> Home | None:
        if not is_id(company_id):
            return None
        company = self._get(Company, company_id)
        if company is None:
            return self._unread_homes.get(company_id)
        return Home(company.region, company.timezone)

    def _get(self, row_type: type[R], key: str) -> R | None:
        """The row as it will be after this change."""
        kind = _KINDS[row_type]
        row = self.new[kind].get(key) or self.stored.get(kind, key)
        return row if isinstance(row, row_type) else None

    def _add(self, place: Place, field: str, fault: Fault) -> None:
        self.problems.append(problem(place, field, fault))

    def references(self) -> None:
        """Check what rows say about each other: every new row, and every stored one that a new row touches."""
        for kind in RowKind:
            for row in [*self.new[kind].values(), *self._touched(kind)]:
                key = key_of(row)
                place = self._places.get((kind, key)) or Place("stored", f"{kind} {quote(key)}")
                _REFERENCES[kind](self, row, place)

    def _touched(self, kind: RowKind) -> Iterator[Row]:
        """Stored rows of `kind` that stay as they are, but refer to something that changes."""
        # Campaigns are few: to ask a store for each of a million new numbers would take longer than to look at them.
        changed = {
            (other, key)
            for other in _REFERS_TO[kind]
            for key, row in self.new[other].items()
            if other is RowKind.NUMBER or self.stored.get(other, key) not in (None, row)
        }
        if not changed:
            return
        for row in self.stored.rows(kind):
            if key_of(row) not in self.new[kind] and any(each in changed for each in _referred(row)):
                yield row

    def _missing(self, kind: RowKind, key: str) -> Fault | None:
        """The fault of naming a row that is not there. One that is there but could not be read has been told."""
        if (kind, key) in self._unread:
            return None
        return Fault(f"there is no {_WORDS[kind]} {quote(key)}", "add it or correct the id")

    def _company(self, place: Place, company_id: str | None) -> None:
        if company_id is None or self._get(Company, company_id) is not None:
            return
        if fault := self._missing(RowKind.COMPANY, company_id):
            self._add(place, "company", fault)

    def _flow(self, place: Place, field: str, flow_id: str, company: str | None) -> CallFlow | None:
        """The call flow that somebody of `company` names; it has to be his or the platform's."""
        flow = self._get(CallFlow, flow_id)
        if flow is None:
            if fault := self._missing(RowKind.CALL_FLOW, flow_id):
                self._add(place, field, fault)
        elif flow.company not in (None, company):
            whose = f'company "{flow.company}"'
            self._add(place, field, Fault(f"call flow {quote(flow_id)} belongs to {whose}", "use one of its own"))
            return None
        return flow

    def check_company(self, row: Company, place: Place) -> None:
        """A default flow has to be there, and to do without values: no number gives it any."""
        if row.default_flow is None:
            return
        flow = self._flow(place, "default_flow", row.default_flow, row.id)
        for name in parameters.missing(flow, {}) if flow else ():
            fault = Fault(f"call flow {quote(row.default_flow)} requires {name}", "give it a default in the flow")
            self._add(place, "default_flow", fault)

    def check_call_flow(self, row: CallFlow, place: Place) -> None:
        """Its company has to be there."""
        self._company(place, row.company)

    def check_campaign(self, row: Campaign, place: Place) -> None:
        """Its company, and the numbers that it shows, which have to be reserved by that company."""
        self._company(place, row.company)
        for number_id in row.caller_ids:
            number = self._get(Number, number_id)
            if number is None:
                if fault := self._missing(RowKind.NUMBER, number_id):
                    self._add(place, "caller_ids", fault)
            elif number.company != row.company:  # a pool number has no company
                fault = Fault(f"{number_id} is not reserved by company {quote(row.company)}", "show one of its own")
                self._add(place, "caller_ids", fault)

    def check_number(self, row: Number, place: Place) -> None:
        """Its company, and each of its assignments with the values for the flow; values get their own type."""
        self._company(place, row.company)
        values = dict[int, dict[str, ParameterValue]]()
        for position, assignment in enumerate(assignments(row)):
            # By its time: the file may list updates in any order.
            path = f"updates[{times.shown(row.updates[position - 1].at)}]." if position else ""
            if assignment.inbound_campaign is not None:
                self._inbound_campaign(row, place, f"{path}inbound_campaign", assignment.inbound_campaign)
            if assignment.call_flow is None:
                if assignment.parameters:
                    fault = Fault("values without a call flow to take them", "name the call flow or take them out")
                    self._add(place, f"{path}parameters", fault)
                continue
            flow = self._flow(place, f"{path}call_flow", assignment.call_flow, row.company)
            if flow is None:
                continue
            home = (self._home(row.company) if row.company else None) or NO_HOME
            values[position], faults = parameters.read_values(flow, assignment.parameters, home.region)
            for name, fault in faults:
                self._add(place, f"{path}parameters.{field_name(name)}", fault)
        typed = _with_values(row, values)
        if typed != row:
            self.new[RowKind.NUMBER][row.number] = typed

    def _inbound_campaign(self, row: Number, place: Place, field: str, campaign_id: str) -> None:
        """Z5: only an inbound campaign of the company that reserved the number."""
        campaign = self._get(Campaign, campaign_id)
        if campaign is None:
            if fault := self._missing(RowKind.CAMPAIGN, campaign_id):
                self._add(place, field, fault)
        elif campaign.direction is not Direction.INBOUND:
            self._add(place, field, Fault(f"campaign {quote(campaign_id)} is outbound", "use an inbound one"))
        elif campaign.company != row.company:  # a pool number has no company
            fault = Fault(
                f'campaign {quote(campaign_id)} is of company "{campaign.company}", which has not reserved this number',
                "use a campaign of the number's own company",
            )
            self._add(place, field, fault)

    def permissions(self, changes: ChangeSet, stored: Stored, company: str) -> None:
        """Everything among the changes that the admin of `company` may not do."""

        def flow_of(flow_id: str) -> CallFlow | None:
            flow = stored.get(RowKind.CALL_FLOW, flow_id)
            return flow if isinstance(flow, CallFlow) else None

        for kind, rows in changes.rows.items():
            for key, after in rows.items():
                place = self._places.get((kind, key)) or Place("stored", f"{kind} {quote(key)}")
                for field, fault in permissions.forbidden(company, stored.get(kind, key), after, flow_of):
                    self._add(place, field, fault)


def _with_values(row: Number, values: dict[int, dict[str, ParameterValue]]) -> Number:
    """The number with the typed values of its assignments; what an update inherits stays with whom it is from."""
    updates = tuple(
        update
        if update.parameters is None or position not in values
        else msgspec.structs.replace(update, parameters=values[position])
        for position, update in enumerate(row.updates, start=1)
    )
    return msgspec.structs.replace(row, parameters=values.get(0, row.parameters), updates=updates)


def _referred(row: Row) -> Iterator[tuple[RowKind, str]]:
    """The rows that a row names."""
    if isinstance(row, Company):
        if row.default_flow is not None:
            yield RowKind.CALL_FLOW, row.default_flow
    elif isinstance(row, Campaign):
        yield from ((RowKind.NUMBER, number) for number in row.caller_ids)
    elif isinstance(row, Number):
        for assignment in assignments(row):
            if assignment.call_flow is not None:
                yield RowKind.CALL_FLOW, assignment.call_flow
            if assignment.inbound_campaign is not None:
                yield RowKind.CAMPAIGN, assignment.inbound_campaign


_KINDS: dict[type, RowKind] = {row_type: kind for kind, row_type in ROW_TYPES.items()}
_WORDS = {
    RowKind.COMPANY: "company",
    RowKind.CALL_FLOW: "call flow",
    RowKind.CAMPAIGN: "campaign",
    RowKind.NUMBER: "number",
}
# Companies are never taken away but with the whole set, so that nobody need look back at them.
_REFERS_TO: dict[RowKind, frozenset[RowKind]] = {
    RowKind.COMPANY: frozenset({RowKind.CALL_FLOW}),
    RowKind.CALL_FLOW: frozenset(),
    RowKind.CAMPAIGN: frozenset({RowKind.NUMBER}),
    RowKind.NUMBER: frozenset({RowKind.CALL_FLOW, RowKind.CAMPAIGN}),
}
_REFERENCES: dict[RowKind, Callable[[_Check, Any, Place], None]] = {
    RowKind.COMPANY: _Check.check_company,
    RowKind.CALL_FLOW: _Check.check_call_flow,
    RowKind.CAMPAIGN: _Check.check_campaign,
    RowKind.NUMBER: _Check.check_number,
}
