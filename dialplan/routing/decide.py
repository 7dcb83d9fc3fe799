"""One call's decision, in the order that the mission page fixes.

unreadable number -> unknown number -> disabled number -> the assignment in force -> the destination, and whatever has
none of its own falls to the company's default, then to the platform's. Pure and synchronous: the table, the time and
the platform's default are handed in.
"""

from enum import StrEnum
from typing import Protocol

import msgspec

from dialplan.kinds.call_flow import CallFlow, ParameterValue
from dialplan.kinds.campaign import Campaign
from dialplan.kinds.fields import Destination
from dialplan.numbering.numbers import Bare, Unreadable, normalise
from dialplan.routing.table import Assigned, Entry, RoutingTable


class Reason(StrEnum):
    """The step that decided. Stable: variables, metrics and dashboards carry these words."""

    ASSIGNED = "assigned"
    SCHEDULED = "scheduled"
    CALLBACK_FORCE_YES = "callback-force-yes"
    CALLBACK_CAMPAIGN = "callback-campaign"
    CALLBACK_NOT_ACCEPTED = "callback-not-accepted"  # the campaign takes no incoming calls; the number's own does
    CALLBACK_USED = "callback-used"  # an earlier callback has used the right up; the number's own takes it
    DISABLED = "disabled"
    UNKNOWN_NUMBER = "unknown-number"
    BAD_NUMBER = "bad-number"
    NO_DESTINATION = "no-destination"
    ERROR = "error"


class Kind(StrEnum):
    """What a call is sent to."""

    CALL_FLOW = "call-flow"
    CAMPAIGN = "campaign"
    DEFAULT = "default"


class Call(msgspec.Struct, frozen=True, gc=False):
    """One call as it comes in: texts as the trunk sent them, and how to read them."""

    dialled: str
    caller: str  # empty where withheld
    region: str  # ISO country for national numbers
    bare: Bare


class Decision(msgspec.Struct, frozen=True, gc=False):
    """Where a call goes, and which step said so.

    `target` is the flow or campaign whose destination it is, None for the platform's default; `values` are those that
    the number gives to the flow's parameters. `number` and `caller` are E.164 or empty.
    """

    reason: Reason
    kind: Kind
    destination: Destination
    target: CallFlow | Campaign | None
    values: tuple[tuple[str, ParameterValue], ...]
    company: str
    number: str
    caller: str
    version: int


class Trace(Protocol):
    """Is told each step of a decision while it is made; `dialplan.routing.explain` has one that puts it into words."""

    def caller(self, call: Call, caller: str | Unreadable) -> None:
        """How the caller's number was read."""
        ...

    def dialled(self, call: Call, number: str | Unreadable) -> None:
        """How the dialled number was read."""
        ...

    def entry(self, entry: Entry | None) -> None:
        """What the table has under that number."""
        ...

    def assignments(self, entry: Entry, now: float) -> None:
        """Which assignments there were to choose from, at that moment."""
        ...

    def target(self, assigned: Assigned | None, target: CallFlow | Campaign | None) -> None:
        """What the assignment in force leads to."""
        ...

    def fallback(self, company: str | None, flow: CallFlow | None, default: Destination) -> None:
        """Which default took the call."""
        ...


def decide(call: Call, table: RoutingTable, now: float, default: Destination, trace: Trace | None = None) -> Decision:
    """Decide one call at `now` (epoch seconds, UTC).

    `default` is the platform's destination. Total: any text gives a decision. `trace` costs nothing when absent.
    """
    caller = normalise(call.caller, call.region, call.bare) if call.caller else ""
    if trace is not None:
        trace.caller(call, caller)
    if isinstance(caller, Unreadable):
        caller = ""
    number = normalise(call.dialled, call.region, call.bare)
    if trace is not None:
        trace.dialled(call, number)
    if isinstance(number, Unreadable):
        return _fall_back(Reason.BAD_NUMBER, None, "", caller, table, default, trace)
    entry = table.numbers.get(number)
    if trace is not None:
        trace.entry(entry)
    if entry is None:
        return _fall_back(Reason.UNKNOWN_NUMBER, None, number, caller, table, default, trace)
    if not entry.active:
        return _fall_back(Reason.DISABLED, entry.company, number, caller, table, default, trace)
    if trace is not None:
        trace.assignments(entry, now)
    reason, assigned = in_force(entry, now)
    kind, target = _target(table, assigned)
    if trace is not None:
        trace.target(assigned, target)
    if assigned is None or target is None:
        return _fall_back(Reason.NO_DESTINATION, entry.company, number, caller, table, default, trace)
    company = entry.company or ""
    return Decision(reason, kind, target.destination, target, assigned.values, company, number, caller, table.version)


def in_force(entry: Entry, now: float) -> tuple[Reason, Assigned | None]:
    """The assignment of `entry` at `now`: its newest update that is due, else the base one (S6)."""
    for at, assigned in reversed(entry.updates):
        if at <= now:
            return Reason.SCHEDULED, assigned
    return Reason.ASSIGNED, entry.base


def _target(table: RoutingTable, assigned: Assigned | None) -> tuple[Kind, CallFlow | Campaign | None]:
    """The flow or inbound campaign of an assignment; None where there is none, or the campaign is not active."""
    if assigned is None:
        return Kind.DEFAULT, None
    if assigned.flow is not None:
        return Kind.CALL_FLOW, table.flows.get(assigned.flow)
    campaign = table.campaigns.get(assigned.campaign or "")
    return Kind.CAMPAIGN, campaign if campaign is not None and campaign.active else None


def _fall_back(
    reason: Reason,
    company_id: str | None,
    number: str,
    caller: str,
    table: RoutingTable,
    default: Destination,
    trace: Trace | None,
) -> Decision:
    """The company's default, else the platform's. The reason stays that of the step that sent the call here."""
    company = table.companies.get(company_id) if company_id is not None else None
    flow = table.flows.get(company.default_flow) if company is not None and company.default_flow else None
    if trace is not None:
        trace.fallback(company_id, flow, default)
    destination = flow.destination if flow is not None else default
    return Decision(reason, Kind.DEFAULT, destination, flow, (), company_id or "", number, caller, table.version)
