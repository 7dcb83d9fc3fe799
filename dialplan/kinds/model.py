"""The data model: what an operator's data set is made of, after it has been read and checked.

Each struct is frozen and holds checked values only: ids in their own alphabet, numbers in E.164, times in UTC.
`rows` makes them out of what a data file says; `validate` sees to it that they fit together. The words and the
rows (S2, Z5, …) are those of the mission page, the shape is that of the data files in the README.
"""

import datetime as dt
from enum import StrEnum
from typing import TypeAlias

import msgspec

# Limits of the data set. Each is checked where rows are read, so that nothing larger reaches the table.
ID_MAX_CHARS = 64  # ids stand in variables, metrics and file names
NAME_MAX_CHARS = 100  # S4
DESCRIPTION_MAX_CHARS = 250  # S4
CITY_MAX_CHARS = 100
CONTEXT_MAX_CHARS = 79  # Asterisk keeps contexts and extensions in 80 bytes (AST_MAX_CONTEXT, AST_MAX_EXTENSION)
PRIORITY_MAX = 10_000
PARAMETER_NAME_MAX_CHARS = 64  # with PARAM_ before it, inside Asterisk's 80 bytes for a variable's name
PARAMETER_TEXT_MAX_CHARS = 400  # escaped twice it still fits an AGI line of an old Asterisk (2,047 bytes)
PARAMETER_INTEGER_MAX = 10**18 - 1  # either sign; inside the 64 bits of stores and of Asterisk's expressions
PARAMETERS_PER_FLOW = 100
PARAMETER_NAMES_MAX_CHARS = 1_200  # of a flow's names together: one AGI line of an old Asterisk carries them all
CHOICES_PER_PARAMETER = 100
UPDATES_PER_NUMBER = 100
CALLER_IDS_PER_CAMPAIGN = 1_000
CALLBACK_WINDOW_MAX_HOURS = 8_760  # a year

ParameterValue: TypeAlias = str | int | bool


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


class Direction(StrEnum):
    """Which way a campaign calls."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class ParameterType(StrEnum):
    """What a user-configurable parameter may hold (S5)."""

    TEXT = "text"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    CHOICE = "choice"
    NUMBER = "number"  # a phone number


class Destination(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A place in Asterisk's dialplan."""

    context: str
    exten: str = "s"
    priority: int = 1


class Parameter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A parameter that a call flow declares; numbers give it values."""

    name: str
    type: ParameterType
    default: ParameterValue | None = None
    required: bool = False
    max_length: int | None = None  # text: characters
    minimum: int | None = None  # integer
    maximum: int | None = None  # integer
    choices: tuple[str, ...] = ()  # choice


class Company(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A tenant."""

    id: str
    name: str
    region: str  # ISO 3166 country: reads the company's national numbers
    timezone: str = "UTC"  # IANA zone: reads times that carry no offset
    identified: bool = False
    default_flow: str | None = None


class CallFlow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where a call is handled, and what a number may set there. Without a company it is the platform's."""

    id: str
    name: str
    destination: Destination
    company: str | None = None
    locked: bool = False
    parameters: tuple[Parameter, ...] = ()


class Campaign(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An inbound or outbound campaign with its own destination."""

    id: str
    company: str
    name: str
    direction: Direction
    destination: Destination
    accept_incoming: bool = False
    callback_window_hours: int = 168
    caller_ids: tuple[str, ...] = ()  # E.164
    active: bool = True


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
