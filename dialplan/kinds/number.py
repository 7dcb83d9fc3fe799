"""Numbers (DIDs): their owner, their assignments, their scheduled updates."""

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any, ClassVar

import msgspec

from dialplan.dataset import parameters, times
from dialplan.dataset.convert import converted
from dialplan.dataset.problems import Fault, Faults, field_name
from dialplan.kinds.fields import (
    NAME_MAX_CHARS,
    NEEDS_HOME,
    NO_HOME,
    ByCompany,
    Home,
    check_id,
    check_text,
    read_number,
)
from dialplan.kinds.kind import ASK_OWNER, Kind, Known, Reference, RowKind, check_ids
from dialplan.kinds.parameter import ParameterValue
from dialplan.numbering.numbers import Bare, normalise
from dialplan.wording import Code, quote

DESCRIPTION_MAX_CHARS = 250
CITY_MAX_CHARS = 100
UPDATES_PER_NUMBER = 100

_UPDATE = re.compile(r'updates\[(\d+)\](?: "(?:[^"\\]|\\.)*")?(.*)', re.DOTALL)

_RESERVED_BY_NOBODY = Code(
    "reserved-without-company", "a reserved number belongs to a company", "name it, or make it a pool number"
)
_RULE_OF_POOL = Code("rule-with-pool", "only a reserved number has a callback rule", "take it out")
_POOL_OF_COMPANY = Code("pool-with-company", "a pool number belongs to no company", "take it out, or make it reserved")
_BOTH = Code("flow-and-campaign", "a call flow and an inbound campaign at once", "keep one of them")
_NO_UPDATES = Code("not-updates", "not a list of updates", 'write [ {{ at = "…", call_flow = "…" }} ]')
_NO_UPDATE = Code("not-an-update", "not an update", 'write {{ at = "…", call_flow = "…" }}')
_TOO_MANY = Code("too-many-updates", "{count} updates", "use at most {limit}")
_SAME_TIME = Code("update-twice", "another update has the same time, {at}", "keep one")
_EMPTY_UPDATE = Code("update-changes-nothing", "changes nothing", "name a call flow, an inbound campaign or parameters")
_NOWHERE = Code(
    "values-without-flow",
    "values without a call flow to take them",
    "name the call flow or take them out",
)
_OUTBOUND = Code("campaign-outbound", "campaign {campaign!q} is outbound", "use an inbound one")
_ANOTHER_COMPANYS = Code(
    "campaign-of-another-company",
    "campaign {campaign!q} is of company {company!q}, which has not reserved this number",
    "use a campaign of the number's own company",
)
_LOCKED = Code(
    "flow-of-number-locked", "call flow {flow!q} is locked: which flow the number has cannot change", ASK_OWNER
)


class NumberKind(StrEnum):
    """Who may use a number: the company that reserved it, or everybody, round-robin."""

    RESERVED = "reserved"
    POOL = "pool"


class LineType(StrEnum):
    """What a subscriber sees calling."""

    LANDLINE = "landline"
    MOBILE = "mobile"


class Status(StrEnum):
    """Whether calls to a number are handled."""

    ACTIVE = "active"
    DISABLED = "disabled"


class CallbackRule(StrEnum):
    """What a missed outbound call gives the subscriber who rings back."""

    FORCE_YES = "force-yes"
    AS_IN_CAMPAIGN = "as-in-campaign"
    FORCE_NO = "force-no"


class ScheduledUpdate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """From `at` (UTC) on, the number is assigned so.

    Without `call_flow` and `inbound_campaign` the flow before it stays; without `parameters` the values before
    it stay as long as the flow is the same.
    """

    at: dt.datetime
    call_flow: str | None = None
    inbound_campaign: str | None = None
    parameters: dict[str, ParameterValue] | None = None


class Number(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """A DID, its owner and its assignments. `number` is E.164, `updates` are in the order of their times."""

    number: str
    kind: NumberKind = NumberKind.RESERVED
    company: str | None = None
    line_type: LineType = LineType.LANDLINE
    city: str = ""
    name: ByCompany[str] = ""
    description: ByCompany[str] = ""
    status: ByCompany[Status] = Status.ACTIVE
    call_flow: ByCompany[str | None] = None
    inbound_campaign: ByCompany[str | None] = None
    parameters: ByCompany[dict[str, ParameterValue]] = {}
    callback_rule: ByCompany[CallbackRule] = CallbackRule.AS_IN_CAMPAIGN
    updates: ByCompany[tuple[ScheduledUpdate, ...]] = ()


class Assignment(msgspec.Struct, frozen=True, gc=False):
    """What a number is assigned to for a time: a flow with values, or an inbound campaign, or nothing."""

    call_flow: str | None
    inbound_campaign: str | None
    parameters: dict[str, ParameterValue]


def assignments(number: Number) -> list[Assignment]:
    """The base assignment, then the one that each update of `number` brings, in the order of their times."""
    current = Assignment(number.call_flow, number.inbound_campaign, number.parameters)
    result = [current]
    for update in number.updates:
        flow, campaign = update.call_flow, update.inbound_campaign
        if flow is None and campaign is None:
            flow, campaign = current.call_flow, current.inbound_campaign
        values = update.parameters
        if values is None:
            values = current.parameters if flow == current.call_flow else {}
        current = Assignment(flow, campaign, values)
        result.append(current)
    return result


class NumberRows(Kind[Number]):
    """Numbers in a data set."""

    name = RowKind.NUMBER
    word = "number"
    code = 4
    struct = Number
    key = "number"
    refers_to = frozenset({RowKind.COMPANY, RowKind.CALL_FLOW, RowKind.CAMPAIGN})
    leans_on = frozenset({RowKind.CALL_FLOW, RowKind.CAMPAIGN})
    numerous = True
    added_by_company = False
    in_csv = True
    blanks: ClassVar[Mapping[str, Any]] = {"number": "+"}
    follows: ClassVar[Mapping[str, frozenset[str]]] = {
        "company": frozenset({"kind"}),
        "callback_rule": frozenset({"kind"}),
        "call_flow": frozenset({"company"}),
        "inbound_campaign": frozenset({"company", "call_flow"}),
        "parameters": frozenset({"company", "call_flow", "inbound_campaign"}),
        "updates": frozenset({"company", "call_flow", "inbound_campaign", "parameters"}),
    }

    def read_key(self, text: str, home: Home) -> str:
        """The number in E.164."""
        return normalise(text, home.region, Bare.REFUSE)

    def is_key(self, text: str) -> bool:
        """Whether it is E.164."""
        return text.startswith("+")

    def read(self, values: Mapping[str, Any], home: Home, faults: Faults) -> Number | None:
        """Its updates first: their times need the company's zone."""
        plain = dict(values)
        updates = _read_updates(plain.pop("updates", ()), home, faults)
        row = super().read(plain, home, faults)
        return msgspec.structs.replace(row, updates=updates) if row is not None and updates else row

    def checked(self, row: Number, home: Home, faults: Faults) -> Number:
        """The number in E.164, its texts, and its owner."""
        number = read_number(row.number, home, "number", faults)
        check_ids(row, faults, "company", "call_flow", "inbound_campaign")
        check_text(row.city, "city", CITY_MAX_CHARS, faults)
        check_text(row.name, "name", NAME_MAX_CHARS, faults)
        check_text(row.description, "description", DESCRIPTION_MAX_CHARS, faults)
        if row.kind is NumberKind.RESERVED and row.company is None:
            faults.append(("company", _RESERVED_BY_NOBODY()))
        if row.kind is NumberKind.POOL and row.company is not None:
            faults.append(("company", _POOL_OF_COMPANY()))
        if row.kind is NumberKind.POOL and row.callback_rule is not CallbackRule.AS_IN_CAMPAIGN:
            faults.append(("callback_rule", _RULE_OF_POOL()))
        if row.call_flow is not None and row.inbound_campaign is not None:
            faults.append(("inbound_campaign", _BOTH()))
        return row if number == row.number else msgspec.structs.replace(row, number=number)

    def loadable(self, row: Number) -> Number:
        """A pool number's callback rule has never been looked at."""
        if row.kind is not NumberKind.POOL or row.callback_rule is CallbackRule.AS_IN_CAMPAIGN:
            return row
        return msgspec.structs.replace(row, callback_rule=CallbackRule.AS_IN_CAMPAIGN)

    def references(self, row: Number) -> Iterator[Reference]:
        """Its company, and what it is assigned to, now and later."""
        if row.company is not None:
            yield Reference("company", RowKind.COMPANY, row.company)
        for position, named in enumerate(_naming(row)):
            path = _path(row, position)
            if named.call_flow is not None:
                yield Reference(f"{path}call_flow", RowKind.CALL_FLOW, named.call_flow)
            if named.inbound_campaign is not None:
                yield Reference(f"{path}inbound_campaign", RowKind.CAMPAIGN, named.inbound_campaign)

    def fitted(self, row: Number, known: Known, faults: Faults) -> Number:
        """Each of its assignments, with the values for the flow; values get their own type."""
        if row.company is not None:
            known.find(RowKind.COMPANY, row.company, "company", faults)
        values = dict[int, dict[str, ParameterValue]]()
        for position, assignment in enumerate(assignments(row)):
            path = _path(row, position)
            named = _naming(row)[position]
            inherited = named.call_flow is None and named.inbound_campaign is None  # told where it is named
            told: Faults = [] if inherited else faults
            if assignment.inbound_campaign is not None:
                _check_campaign(row, known, f"{path}inbound_campaign", assignment.inbound_campaign, told)
            if assignment.call_flow is None:
                if assignment.parameters:
                    faults.append((f"{path}parameters", _NOWHERE()))
                continue
            flow = known.flow_for(row.company, assignment.call_flow, f"{path}call_flow", told)
            if flow is None:
                continue
            region = known.home(row.company).region
            values[position], wrong = parameters.read_values(flow, assignment.parameters, region)
            if row.company is not None and not region:  # the company has been told of
                wrong = [each for each in wrong if each[1].code.slug not in NEEDS_HOME]
            faults.extend((f"{path}parameters.{field_name(name)}", fault) for name, fault in wrong)
        return _with_values(row, values)

    def field_in_file(self, field: str, values: Mapping[str, Any], home: Home) -> str:
        """Updates are kept in the order of their times: say which one of the list it is, and its time as written."""
        found = _UPDATE.fullmatch(field)
        if found is None:
            return field
        zone = _zone(home)
        moments = [times.read_time(each["at"], zone) for each in values["updates"]]
        place = moments.index(sorted(each for each in moments if isinstance(each, dt.datetime))[int(found[1]) - 1])
        return f"updates[{place + 1}]{_label(values['updates'][place])}{found[2]}"

    def locks(
        self, before: Number | None, after: Number | None, get: Callable[[RowKind, str], Any]
    ) -> Iterator[tuple[str, Fault]]:
        """Compare both timelines: wherever the flow so far is locked, it has to stay."""
        if before is None or after is None:
            return
        for at in (None, *sorted({update.at for number in (before, after) for update in number.updates})):
            old, new = assigned_at(before, at), assigned_at(after, at)
            flow = get(RowKind.CALL_FLOW, old[0]) if old[0] is not None else None
            if old == new or flow is None or not flow.locked:
                continue
            yield f"{_path_of_moment(after, at)}call_flow", _LOCKED(flow=old[0])
            return


def _naming(row: Number) -> tuple[Number | ScheduledUpdate, ...]:
    """What names flows and campaigns: the row itself, then its updates in their order."""
    return (row, *row.updates)


def assigned_at(number: Number, at: dt.datetime | None) -> tuple[str | None, str | None]:
    """Which flow or inbound campaign `number` has at a moment; None: before its first update."""
    current = 0
    for place, update in enumerate(number.updates, start=1):
        if at is not None and update.at <= at:
            current = place
    assignment = assignments(number)[current]
    return assignment.call_flow, assignment.inbound_campaign


def _path(row: Number, position: int) -> str:
    """Where an assignment stands: an update by its place in the order of their times, and its time."""
    return f'updates[{position}] "{times.shown(row.updates[position - 1].at)}".' if position else ""


def _path_of_moment(row: Number, at: dt.datetime | None) -> str:
    """The same of what holds from a moment on; a row that lacks that update has only its time to name."""
    if at is None:
        return ""
    moments = [update.at for update in row.updates]
    return _path(row, moments.index(at) + 1) if at in moments else f'updates "{times.shown(at)}".'


def _label(update: Any) -> str:
    """The time of an update as it is written, behind its place."""
    at = update.get("at") if isinstance(update, dict) else None
    if isinstance(at, dt.datetime):
        at = at.isoformat().replace("+00:00", "Z")
    return f" {quote(at)}" if isinstance(at, str) else ""


def _zone(home: Home) -> dt.tzinfo | None:
    return None if home is NO_HOME else times.zone(home.timezone)


def _check_campaign(row: Number, known: Known, field: str, campaign_id: str, faults: Faults) -> None:
    """Only an inbound campaign of the company that reserved the number."""
    campaign = known.find(RowKind.CAMPAIGN, campaign_id, field, faults)
    if campaign is None:
        return
    if campaign.direction != "inbound":
        faults.append((field, _OUTBOUND(campaign=campaign_id)))
    elif campaign.company != row.company:  # a pool number has no company
        faults.append((field, _ANOTHER_COMPANYS(campaign=campaign_id, company=campaign.company)))


def _with_values(row: Number, values: dict[int, dict[str, ParameterValue]]) -> Number:
    """The number with the typed values of its assignments; what an update inherits stays with whom it is from."""
    if not row.updates and not row.parameters and not values.get(0):
        return row
    updates = tuple(
        update
        if update.parameters is None or position not in values
        else msgspec.structs.replace(update, parameters=values[position])
        for position, update in enumerate(row.updates, start=1)
    )
    return msgspec.structs.replace(row, parameters=values.get(0, row.parameters), updates=updates)


class _RawUpdate(msgspec.Struct, forbid_unknown_fields=True):
    """An update before its time is read."""

    at: Any
    call_flow: str | None = None
    inbound_campaign: str | None = None
    parameters: dict[str, ParameterValue] | None = None


def _read_updates(raw: Any, home: Home, faults: Faults) -> tuple[ScheduledUpdate, ...]:
    """Updates in the order of their times."""
    if not isinstance(raw, list | tuple):
        faults.append(("updates", _NO_UPDATES()))
        return ()
    if len(raw) > UPDATES_PER_NUMBER:
        faults.append(("updates", _TOO_MANY(count=len(raw), limit=UPDATES_PER_NUMBER)))
        return ()
    if not raw:  # as in most numbers
        return ()
    zone = _zone(home)
    updates: dict[Any, ScheduledUpdate] = {}
    for place, each in enumerate(raw, start=1):
        path = f"updates[{place}]"
        if not isinstance(each, dict):
            faults.append((path, _NO_UPDATE()))
            continue
        wrong: Faults = []
        update = converted(each, _RawUpdate, wrong)
        if update is None:
            faults.extend((f"{path}{_label(each)}.{field}", fault) for field, fault in wrong)
            continue
        at = times.read_time(update.at, zone)
        if isinstance(at, Fault):
            faults.append((f"{path}.at", at))
            continue
        if at in updates:
            faults.append((f"{path}.at", _SAME_TIME(at=times.shown(at))))
        path += _label(each)
        if update.call_flow is not None and update.inbound_campaign is not None:
            faults.append((path, _BOTH()))
        elif update.call_flow is None and update.inbound_campaign is None and update.parameters is None:
            faults.append((path, _EMPTY_UPDATE()))
        check_id(update.call_flow, f"{path}.call_flow", faults)
        check_id(update.inbound_campaign, f"{path}.inbound_campaign", faults)
        updates[at] = ScheduledUpdate(at, update.call_flow, update.inbound_campaign, update.parameters)
    return tuple(updates[at] for at in sorted(updates))
