"""Rows as data files say them -> rows of the model, or every problem with its place.

This is the first half of the check, row by row: types, alphabets, lengths, numbers and times. What rows say about
each other is the second half, in `validate`.
"""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from types import UnionType
from typing import Any, TypeAlias, get_args, get_origin

import msgspec

from dialplan.dataset import times
from dialplan.dataset.parameters import check_declaration, control_characters, number_fault, read_value
from dialplan.dataset.problems import Fault, Place, Problem, field_name, problem
from dialplan.kinds.call_flow import PARAMETER_NAMES_MAX_CHARS, PARAMETERS_PER_FLOW, CallFlow, Parameter, ParameterValue
from dialplan.kinds.campaign import CALLBACK_WINDOW_MAX_HOURS, CALLER_IDS_PER_CAMPAIGN, Campaign, Direction
from dialplan.kinds.company import Company
from dialplan.kinds.fields import CONTEXT_MAX_CHARS, ID_MAX_CHARS, NAME_MAX_CHARS, PRIORITY_MAX, Destination
from dialplan.kinds.number import (
    CITY_MAX_CHARS,
    DESCRIPTION_MAX_CHARS,
    UPDATES_PER_NUMBER,
    Number,
    NumberKind,
    ScheduledUpdate,
)
from dialplan.kinds.registry import ROW_TYPES, Row, RowKind
from dialplan.numbering import numbers
from dialplan.wording import printable, quote

_ID = re.compile(rf"[a-z0-9-]{{1,{ID_MAX_CHARS}}}")
_CONTEXT = re.compile(rf"[A-Za-z0-9_.@:-]{{1,{CONTEXT_MAX_CHARS}}}")
# Of Ringway's own contexts in Asterisk: where a call may be sent. The others trust what their own way in has checked.
_OWN_CONTEXTS, _OPEN_CONTEXTS = "ringway-", ("ringway-inbound", "ringway-default")
_EXTEN = re.compile(rf"[A-Za-z0-9_.*#+-]{{1,{CONTEXT_MAX_CHARS}}}")


class RawRow(msgspec.Struct):
    """A row as a file gives it: its kind, where it stands, and a mapping of plain values."""

    kind: RowKind
    place: Place
    values: dict[str, Any]


class Home(msgspec.Struct, frozen=True):
    """What reads the national numbers and local times of a row: its company's region and zone."""

    region: str
    timezone: str


HomeOf: TypeAlias = Callable[[str], Home | None]

# How to write what was expected, by the word for it in the messages of msgspec.
_TYPE_HINTS = {
    "str": "write text, in quotes",
    "int": "write a whole number, without quotes",
    "bool": "write true or false, without quotes",
    "bool | int | str": "write text in quotes, a whole number, true or false",
    "array": "write a list: [ … ]",
    "object": "write a table: { … }",
}

# Reads what only exists with the company's help: nothing without one.
NO_HOME = Home("", "UTC")


def read_row(raw: RawRow, home_of: HomeOf) -> Row | list[Problem]:
    """Read one row. `home_of` gives a company's home by its id, None where there is no such company.

    Returns the row, or all that is wrong with it.
    """
    values = dict(raw.values)
    faults: list[tuple[str, Fault]] = []
    home = _home(values, home_of)
    updates = _read_updates(values, home, faults) if raw.kind is RowKind.NUMBER else ()
    row = _convert(values, ROW_TYPES[raw.kind], faults)
    if row is not None:
        row = _CHECKS[raw.kind](row, home, faults)
    if faults or row is None:
        return [problem(raw.place, field, fault) for field, fault in faults]
    if updates and isinstance(row, Number):
        row = msgspec.structs.replace(row, updates=updates)
    return row


def _home(values: Mapping[str, Any], home_of: HomeOf) -> Home:
    company = values.get("company")
    return (home_of(company) if isinstance(company, str) else None) or NO_HOME


def _convert(values: dict[str, Any], row_type: type[Row], faults: list[tuple[str, Fault]]) -> Row | None:
    """Types alone. The good row costs one call; only a bad one is looked at field by field."""
    try:
        row: Row = msgspec.convert(values, row_type)
    except (msgspec.ValidationError, UnicodeError):
        faults.extend(_type_faults(values, row_type))
        return None
    return row


def _type_faults(values: dict[str, Any], row_type: type[msgspec.Struct]) -> Iterator[tuple[str, Fault]]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(row_type)}
    for name in values:
        if name not in fields:
            close = difflib.get_close_matches(str(name), fields, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(fields)}"
            yield field_name(name), Fault("is not known here", hint)
    for name, field in fields.items():
        if name not in values:
            if field.required:
                yield name, Fault("is missing", "add it")
            continue
        yield from _value_faults(name, values[name], field.type)


def _value_faults(path: str, value: Any, wanted: Any) -> Iterator[tuple[str, Fault]]:
    """What keeps `value` from the type `wanted`, told where it stands: a part of a list or table by itself."""
    try:
        msgspec.convert(value, wanted)
    except (msgspec.ValidationError, UnicodeError) as error:
        parts = list(_part_faults(path, value, wanted))
        yield from parts or [(path, _type_fault(value, wanted, str(error)))]


def _part_faults(path: str, value: Any, wanted: Any) -> Iterator[tuple[str, Fault]]:
    """What is wrong inside a value; nothing where it is wrong as a whole."""
    if get_origin(wanted) is UnionType:
        wanted = next((each for each in get_args(wanted) if get_origin(each)), wanted)  # dict[…] | None
    if isinstance(value, dict) and isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
        yield from ((f"{path}.{field}", fault) for field, fault in _type_faults(value, wanted))
    elif isinstance(value, dict) and get_origin(wanted) is dict:
        _, item = get_args(wanted)
        for name, each in value.items():
            yield from _value_faults(f"{path}.{field_name(str(name))}", each, item)
    elif isinstance(value, list | tuple) and get_origin(wanted) is tuple:
        item, _ = get_args(wanted)
        for place, each in enumerate(value, start=1):
            yield from _value_faults(f"{path}[{place}]", each, item)


def _type_fault(value: object, wanted: Any, error: str) -> Fault:
    if isinstance(wanted, type) and issubclass(wanted, StrEnum):
        return Fault(f"{quote(value)} is not one of its values", f"use {', '.join(wanted)}")
    text = error.partition(" - at `")[0]
    expected = text.partition("`")[2].partition("`")[0].removesuffix(" | null")
    return Fault(printable(text), _TYPE_HINTS.get(expected, "correct it"))


def is_id(text: str) -> bool:
    """Whether a row may have this id. What is none is never asked of a store, which may not even take such text."""
    return _ID.fullmatch(text) is not None


def _check_id(value: str | None, field: str, faults: list[tuple[str, Fault]]) -> None:
    """Check an id, or the name of another row, which may be left out."""
    if value is not None and not is_id(value):
        hint = f"use a-z, 0-9 and -, at most {ID_MAX_CHARS}"
        faults.append((field, Fault(f"{quote(value)} is not an id", hint)))


def _check_text(value: str, field: str, limit: int, faults: list[tuple[str, Fault]]) -> None:
    if len(value) > limit:
        faults.append((field, Fault(f"{len(value)} characters", f"use at most {limit}")))
    elif fault := control_characters(value):
        faults.append((field, fault))


def check_destination(destination: Destination) -> Iterator[tuple[str, Fault]]:
    """What Asterisk cannot go to, or its dialplan would take for more than a name: (field, fault) pairs."""
    if not _CONTEXT.fullmatch(destination.context):
        hint = f"use letters, digits and _ . @ : -, at most {CONTEXT_MAX_CHARS}"
        yield "destination.context", Fault(f"{quote(destination.context)} is not a context", hint)
    elif destination.context.startswith(_OWN_CONTEXTS) and destination.context not in _OPEN_CONTEXTS:
        hint = f"name a context of your dialplan, or one of {', '.join(_OPEN_CONTEXTS)}"
        yield "destination.context", Fault(f"{quote(destination.context)} is Ringway's own, no place for calls", hint)
    if not _EXTEN.fullmatch(destination.exten):
        hint = f"use letters, digits and _ . * # + -, at most {CONTEXT_MAX_CHARS}"
        yield "destination.exten", Fault(f"{quote(destination.exten)} is not an extension", hint)
    if not 1 <= destination.priority <= PRIORITY_MAX:
        hint = f"use 1 to {PRIORITY_MAX}"
        yield "destination.priority", Fault(f"{quote(destination.priority)} is not a priority", hint)


def _read_number(text: str, home: Home, field: str, faults: list[tuple[str, Fault]]) -> str:
    number = numbers.normalise(text, home.region, numbers.Bare.REFUSE)
    if not isinstance(number, numbers.Unreadable):
        return number
    if number is numbers.Unreadable.UNKNOWN_REGION:
        fault = Fault(f"{quote(text)} is national, and no company tells its country", "write it with +")
    else:
        fault = number_fault(text, number)
    faults.append((field, fault))
    return ""


def _check_company(row: Company, _home: Home, faults: list[tuple[str, Fault]]) -> Company:
    _check_id(row.id, "id", faults)
    _check_text(row.name, "name", NAME_MAX_CHARS, faults)
    if not numbers.is_region(row.region):
        fault = Fault(f"{quote(row.region)} is not a country", "use its ISO 3166 code, such as GB")
        faults.append(("region", fault))
    if times.zone(row.timezone) is None:
        what = "depends on the machine's own set-up" if times.is_machines_own(row.timezone) else "is not a time zone"
        fault = Fault(f"{quote(row.timezone)} {what}", "use its IANA name, such as Europe/London")
        faults.append(("timezone", fault))
    _check_id(row.default_flow, "default_flow", faults)
    return row


def _check_call_flow(row: CallFlow, home: Home, faults: list[tuple[str, Fault]]) -> CallFlow:
    _check_id(row.id, "id", faults)
    _check_id(row.company, "company", faults)
    _check_text(row.name, "name", NAME_MAX_CHARS, faults)
    faults.extend(check_destination(row.destination))
    if len(row.parameters) > PARAMETERS_PER_FLOW:
        fault = Fault(f"{len(row.parameters)} parameters", f"use at most {PARAMETERS_PER_FLOW}")
        faults.append(("parameters", fault))
    names_chars = sum(len(parameter.name) + 1 for parameter in row.parameters)
    if names_chars > PARAMETER_NAMES_MAX_CHARS:
        fault = Fault(f"names of {names_chars} characters in all", f"use at most {PARAMETER_NAMES_MAX_CHARS}")
        faults.append(("parameters", fault))
    parameters: list[Parameter] = []
    seen: set[str] = set()
    for place, parameter in enumerate(row.parameters, start=1):
        path = f"parameters[{place}]"
        found = list(check_declaration(parameter, home.region))
        faults.extend((f"{path}.{field}", fault) for field, fault in found)
        if parameter.name in seen:
            faults.append((path, Fault(f"{quote(parameter.name)} is declared twice", "keep one of them")))
        seen.add(parameter.name)
        if parameter.default is not None and not found:
            default = read_value(parameter, parameter.default, home.region)
            if not isinstance(default, Fault):
                parameter = msgspec.structs.replace(parameter, default=default)  # noqa: PLW2901 - its read form
        parameters.append(parameter)
    return msgspec.structs.replace(row, parameters=tuple(parameters))


def _check_campaign(row: Campaign, home: Home, faults: list[tuple[str, Fault]]) -> Campaign:
    _check_id(row.id, "id", faults)
    _check_id(row.company, "company", faults)
    _check_text(row.name, "name", NAME_MAX_CHARS, faults)
    faults.extend(check_destination(row.destination))
    if not 1 <= row.callback_window_hours <= CALLBACK_WINDOW_MAX_HOURS:
        fault = Fault(f"{quote(row.callback_window_hours)} hours", f"use 1 to {CALLBACK_WINDOW_MAX_HOURS}")
        faults.append(("callback_window_hours", fault))
    if row.direction is Direction.INBOUND:
        for field in ("accept_incoming", "caller_ids"):
            if getattr(row, field):
                fault = Fault("an inbound campaign has no such setting", "take it out or make it outbound")
                faults.append((field, fault))
    if len(row.caller_ids) > CALLER_IDS_PER_CAMPAIGN:
        fault = Fault(f"{len(row.caller_ids)} numbers", f"use at most {CALLER_IDS_PER_CAMPAIGN}")
        faults.append(("caller_ids", fault))
    shown = [
        _read_number(text, home, f"caller_ids[{place}]", faults) for place, text in enumerate(row.caller_ids, start=1)
    ]
    return msgspec.structs.replace(row, caller_ids=tuple(dict.fromkeys(shown)))


def _check_number(row: Number, home: Home, faults: list[tuple[str, Fault]]) -> Number:
    number = _read_number(row.number, home, "number", faults)
    for field in ("company", "call_flow", "inbound_campaign"):
        _check_id(getattr(row, field), field, faults)
    _check_text(row.city, "city", CITY_MAX_CHARS, faults)
    _check_text(row.name, "name", NAME_MAX_CHARS, faults)
    _check_text(row.description, "description", DESCRIPTION_MAX_CHARS, faults)
    if row.kind is NumberKind.RESERVED and row.company is None:
        faults.append(("company", Fault("a reserved number belongs to a company", "name it, or make it a pool number")))
    if row.kind is NumberKind.POOL and row.company is not None:
        faults.append(("company", Fault("a pool number belongs to no company", "take it out, or make it reserved")))
    if row.call_flow is not None and row.inbound_campaign is not None:
        fault = Fault("a call flow and an inbound campaign at once", "keep one of them")
        faults.append(("inbound_campaign", fault))
    return msgspec.structs.replace(row, number=number)


class _RawUpdate(msgspec.Struct, forbid_unknown_fields=True):
    """An update before its time is read."""

    at: Any
    call_flow: str | None = None
    inbound_campaign: str | None = None
    parameters: dict[str, ParameterValue] | None = None


def _read_updates(values: dict[str, Any], home: Home, faults: list[tuple[str, Fault]]) -> tuple[ScheduledUpdate, ...]:
    """Take `updates` out of `values` and read them into the order of their times."""
    raw = values.pop("updates", ())
    if not isinstance(raw, list | tuple):
        faults.append(("updates", Fault("not a list of updates", 'write [ { at = "…", call_flow = "…" } ]')))
        return ()
    if len(raw) > UPDATES_PER_NUMBER:
        faults.append(("updates", Fault(f"{len(raw)} updates", f"use at most {UPDATES_PER_NUMBER}")))
        return ()
    zone = None if home is NO_HOME else times.zone(home.timezone)
    updates: dict[Any, ScheduledUpdate] = {}
    for place, each in enumerate(raw, start=1):
        path = f"updates[{place}]"
        if not isinstance(each, dict):
            faults.append((path, Fault("not an update", 'write { at = "…", call_flow = "…" }')))
            continue
        try:
            update = msgspec.convert(each, _RawUpdate)
        except (msgspec.ValidationError, UnicodeError):
            faults.extend((f"{path}.{field}", fault) for field, fault in _type_faults(each, _RawUpdate))
            continue
        at = times.read_time(update.at, zone)
        if isinstance(at, Fault):
            faults.append((f"{path}.at", at))
            continue
        if fault := _update_fault(update):
            faults.append((path, fault))
        _check_id(update.call_flow, f"{path}.call_flow", faults)
        _check_id(update.inbound_campaign, f"{path}.inbound_campaign", faults)
        if at in updates:
            faults.append((f"{path}.at", Fault(f"another update has the same time, {times.shown(at)}", "keep one")))
        updates[at] = ScheduledUpdate(at, update.call_flow, update.inbound_campaign, update.parameters)
    return tuple(updates[at] for at in sorted(updates))


def _update_fault(update: _RawUpdate) -> Fault | None:
    if update.call_flow is not None and update.inbound_campaign is not None:
        return Fault("a call flow and an inbound campaign at once", "keep one of them")
    if update.call_flow is None and update.inbound_campaign is None and update.parameters is None:
        return Fault("changes nothing", "name a call flow, an inbound campaign or parameters")
    return None


_CHECKS: dict[RowKind, Callable[[Any, Home, list[tuple[str, Fault]]], Row]] = {
    RowKind.COMPANY: _check_company,
    RowKind.CALL_FLOW: _check_call_flow,
    RowKind.CAMPAIGN: _check_campaign,
    RowKind.NUMBER: _check_number,
}
