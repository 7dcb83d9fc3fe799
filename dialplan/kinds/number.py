"""Numbers (DIDs): their owner, their assignments, their scheduled updates."""

import datetime as dt
from enum import StrEnum

import msgspec

from dialplan.kinds.call_flow import ParameterValue

DESCRIPTION_MAX_CHARS = 250  # S4

CITY_MAX_CHARS = 100

UPDATES_PER_NUMBER = 100


class NumberKind(StrEnum):
    """Who may use a number: the company that reserved it, or everybody in turn."""

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
    """What a missed outbound call gives the subscriber who rings back (Z6)."""

    FORCE_YES = "force-yes"
    AS_IN_CAMPAIGN = "as-in-campaign"
    FORCE_NO = "force-no"


class ScheduledUpdate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """From `at` (UTC) on, the number is assigned so (S6).

    Without `call_flow` and `inbound_campaign` the flow before it stays; without `parameters` the values before
    it stay as long as the flow is the same.
    """

    at: dt.datetime
    call_flow: str | None = None
    inbound_campaign: str | None = None
    parameters: dict[str, ParameterValue] | None = None


class Number(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A DID, its owner and its assignments. `number` is E.164, `updates` are in the order of their times."""

    number: str
    kind: NumberKind = NumberKind.RESERVED
    company: str | None = None
    line_type: LineType = LineType.LANDLINE
    city: str = ""
    name: str = ""
    description: str = ""
    status: Status = Status.ACTIVE
    call_flow: str | None = None
    inbound_campaign: str | None = None
    parameters: dict[str, ParameterValue] = {}
    callback_rule: CallbackRule = CallbackRule.AS_IN_CAMPAIGN
    updates: tuple[ScheduledUpdate, ...] = ()


class Assignment(msgspec.Struct, frozen=True):
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
