"""Plain values -> a struct, by their types alone, or what keeps them from it."""

import difflib
from collections.abc import Iterator, Mapping
from enum import StrEnum
from types import UnionType
from typing import Annotated, Any, TypeVar, get_args, get_origin

import msgspec

from dialplan.dataset.problems import Fault, Faults, field_name
from dialplan.wording import Code, printable

S = TypeVar("S", bound=msgspec.Struct)

_UNKNOWN_FIELD = Code("unknown-field", "is not known here", "known are {known}")
_MISSPELT_FIELD = Code("misspelt-field", "is not known here", "did you mean {close}?")
_MISSING = Code("missing", "is missing", "add it")
_NOT_ONE_OF = Code("not-one-of", "{value!q} is not one of its values", "use {values}")
_OTHER_TYPE = Code("other-type", "{error}", "correct it")
# What was expected, by the word for it in the messages of msgspec.
_TYPES = {
    "str": Code("not-text", "{error}", "write text, in quotes"),
    "int": Code("not-integer", "{error}", "write a whole number, without quotes"),
    "bool": Code("not-boolean", "{error}", "write true or false, without quotes"),
    "bool | int | str": Code("not-scalar", "{error}", "write text in quotes, a whole number, true or false"),
    "array": Code("not-list", "{error}", "write a list: [ … ]"),
    "object": Code("not-table", "{error}", "write a table: {{ … }}"),
}


def converted(values: Mapping[str, Any], struct: type[S], faults: Faults) -> S | None:
    """The struct that `values` make; None where they do not, and all that is wrong goes to `faults`.

    A good one costs one call; only a bad one is looked at field by field.
    """
    try:
        return msgspec.convert(values, struct)
    except (msgspec.ValidationError, UnicodeError):
        faults.extend(type_faults(values, struct))
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
        yield from _value_faults(name, values[name], field.type)


def _value_faults(path: str, value: Any, wanted: Any) -> Iterator[tuple[str, Fault]]:
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
        yield from ((f"{path}.{field}", fault) for field, fault in type_faults(value, wanted))
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
        return _NOT_ONE_OF(value=value, values=", ".join(wanted))
    text = error.partition(" - at `")[0]
    expected = text.partition("`")[2].partition("`")[0].removesuffix(" | null")
    return _TYPES.get(expected, _OTHER_TYPE)(error=printable(text))
