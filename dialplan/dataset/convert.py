"""Plain values -> a struct, by their types alone, or what keeps them from it."""

import datetime as dt
import difflib
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import msgspec

from dialplan.dataset.problems import Fault, Faults, field_name
from dialplan.wording import Code

S = TypeVar("S", bound=msgspec.Struct)

_UNKNOWN_FIELD = Code("unknown-field", "is not known here", "known are {known}")
_MISSPELT_FIELD = Code("misspelt-field", "is not known here", "did you mean {close}?")
_MISSING = Code("missing", "is missing", "add it")
_NOT_ONE_OF = Code("not-one-of", "{value!q} is not one of its values", "use {values}")
_NOT_UNICODE = Code("not-unicode", "it has text that is not Unicode", "save it as UTF-8")
_OTHER_TYPE = Code("other-type", "it is {got}, which does not belong here", "correct it")
# What was expected, by the word for it in the messages of msgspec.
_TYPES = {
    "str": Code("not-text", "it is {got}, not text", "write text, in quotes"),
    "int": Code("not-integer", "it is {got}, not a whole number", "write a whole number, without quotes"),
    "bool": Code("not-boolean", "it is {got}, not true or false", "write true or false, without quotes"),
    "bool | int | str": Code(
        "not-scalar", "it is {got}, not a single value", "write text in quotes, a whole number, true or false"
    ),
    "array": Code("not-list", "it is {got}, not a list", "write a list: [ … ]"),
    "object": Code("not-table", "it is {got}, not a table", "write a table: {{ … }}"),
}
# What a value is called in messages, by the first type that it is of.
_CALLED: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (int, "a whole number"),
    (float, "a number with a fraction"),
    (str, "text"),
    ((list, tuple), "a list"),
    (dict, "a table"),
    ((dt.date, dt.time), "a date or a time"),
)


def converted(values: Mapping[str, Any], struct: type[S], faults: Faults) -> S | None:
    """The struct that `values` make; None where they do not, and all that is wrong goes to `faults`.

    A good one costs one call; only a bad one is looked at field by field.
    """
    try:
        return msgspec.convert(values, struct)
    except (msgspec.ValidationError, UnicodeError):
        faults.extend(type_faults(values, struct))
        return None


def bad_fields(faults: Faults) -> frozenset[str]:
    """The fields of a row that have faults, and those that a misspelt one was meant for."""
    bad = {re.split(r"[.\[ ]", field)[0] for field, _ in faults}
    return frozenset(bad | {str(each.arguments["close"]) for _, each in faults if each.code is _MISSPELT_FIELD})


def partly(values: Mapping[str, Any], struct: type[S], bad: frozenset[str], blanks: Mapping[str, Any]) -> S | None:
    """The struct without its `bad` fields: those count as left out, and a required one as what `blanks` says."""
    fields = {field.encode_name for field in msgspec.structs.fields(struct)} - bad
    good = {name: value for name, value in values.items() if name in fields}
    try:
        return msgspec.convert({**blanks, **good}, struct)
    except (msgspec.ValidationError, UnicodeError):
        return None


def type_faults(values: Mapping[str, Any], struct: type[msgspec.Struct]) -> Iterator[tuple[str, Fault]]:
    """What keeps `values` from being that struct."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    for name in values:
        if name not in fields:
            close = difflib.get_close_matches(str(name), fields, n=1)
            fault = _MISSPELT_FIELD(close=close[0]) if close else _UNKNOWN_FIELD(known=", ".join(fields))
            yield field_name(name), fault
    for name, field in fields.items():
        if name not in values:
            if field.required:
                yield name, _MISSING()
            continue
        yield from value_faults(name, values[name], field.type)


def value_faults(path: str, value: Any, wanted: Any) -> Iterator[tuple[str, Fault]]:
    """What keeps `value` from the type `wanted`, told where it stands: a part of a list or table by itself."""
    try:
        msgspec.convert(value, wanted)
    except (msgspec.ValidationError, UnicodeError) as error:
        wanted = _bare(wanted)
        parts = list(_part_faults(path, value, wanted))
        yield from parts or [(path, _type_fault(value, wanted, str(error)))]


def _bare(wanted: Any) -> Any:
    """A type without what stands beside it, such as who may edit the field."""
    return _bare(get_args(wanted)[0]) if get_origin(wanted) is Annotated else wanted


def _part_faults(path: str, value: Any, wanted: Any) -> Iterator[tuple[str, Fault]]:
    """What is wrong inside a value; nothing where it is wrong as a whole."""
    if get_origin(wanted) is UnionType:
        wanted = next((each for each in get_args(wanted) if get_origin(each)), wanted)  # dict[…] | None
    if isinstance(value, dict) and isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
        yield from ((f"{path}.{field}".lstrip("."), fault) for field, fault in type_faults(value, wanted))
    elif isinstance(value, dict) and get_origin(wanted) is dict:
        _, item = get_args(wanted)
        for name, each in value.items():
            yield from value_faults(f"{path}.{field_name(str(name))}", each, item)
    elif isinstance(value, list | tuple) and get_origin(wanted) is tuple:
        item, _ = get_args(wanted)
        for place, each in enumerate(value, start=1):
            yield from value_faults(f"{path}[{place}]", each, item)


def _type_fault(value: object, wanted: Any, error: str) -> Fault:
    if isinstance(wanted, type) and issubclass(wanted, StrEnum):
        return _NOT_ONE_OF(value=value, values=", ".join(wanted))
    if get_origin(wanted) is Literal:
        return _NOT_ONE_OF(value=value, values=", ".join(map(str, get_args(wanted))))
    if not error.startswith("Expected `"):
        return (_OTHER_TYPE if "valid" in error or "range" in error else _NOT_UNICODE)(got=called(value))
    expected = error.split("`")[1].removesuffix(" | null")
    return _TYPES.get(expected, _OTHER_TYPE)(got=called(value))


def called(value: object) -> str:
    """What kind of value that is, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return next((word for types, word in _CALLED if isinstance(value, types)), "something else")
