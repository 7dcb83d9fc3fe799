"""One row changed by hand: `FIELD=VALUE`, as somebody writes it at a prompt, over the values that the row has.

Texts stand as they are, all else as TOML writes it: `true`, `20`, `["+442079460000"]`. An empty value takes a field
out. A dot leads into a table: `destination.context=flow-menu`, `parameters.GREETING=Hello`.
"""

import contextlib
import re
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

from dialplan.dataset.later import Fields
from dialplan.wording import Code

NOT_AN_EDIT = Code("not-an-edit", "{text!q} does not say which field becomes what", "write FIELD=VALUE")
_EDIT = re.compile(r"([^=]+)=(.*)", re.DOTALL)


class Edit(NamedTuple):
    """A field, as a dotted path, and what somebody wrote for it."""

    path: str
    text: str


def read_edit(text: str) -> Edit | None:
    """What `FIELD=VALUE` says; None where it says nothing."""
    found = _EDIT.fullmatch(text)
    return Edit(found[1].strip(), found[2]) if found is not None else None


def edited(values: Mapping[str, Any], struct: type[msgspec.Struct], edits: Sequence[Edit]) -> Fields:
    """The values with these edits, for the gate to read. What cannot be read as a value of its field stays a text."""
    made: Fields = dict(values)
    for path, text in edits:
        name, _, inside = path.partition(".")
        wanted = _type_of(struct, name)
        if not inside:
            _put(made, name, text, wanted)
            continue
        table = made.get(name)
        made[name] = table = dict(table) if isinstance(table, dict) else {}
        # The values of parameters are read by their declarations, texts as CSV has them too.
        _put(table, inside, text, _type_of(wanted, inside) if _is_struct(wanted) else str)
        if not table:
            del made[name]
    return made


def _put(table: Fields, name: str, text: str, wanted: Any) -> None:
    if text:
        table[name] = _value(text, wanted)
    else:
        table.pop(name, None)


def _value(text: str, wanted: Any) -> Any:
    if _is_text(wanted):
        return text
    with contextlib.suppress(tomllib.TOMLDecodeError, RecursionError, ValueError):
        read = tomllib.loads(f"value = {text}")
        if read.keys() == {"value"}:
            return read["value"]
    return text


def _type_of(struct: Any, name: str) -> Any:
    """The type of a field; text where there is no such field, which the gate tells."""
    return get_type_hints(struct).get(name, str) if _is_struct(struct) else str


def _is_struct(wanted: Any) -> bool:
    return isinstance(wanted, type) and issubclass(wanted, msgspec.Struct)


def _is_text(wanted: Any) -> bool:
    if get_origin(wanted) in (types.UnionType, typing.Union):
        return any(map(_is_text, get_args(wanted)))
    return isinstance(wanted, type) and issubclass(wanted, str | StrEnum)


class FieldChange(NamedTuple):
    """A field of a row, as a dotted path, before and after a change; None: it is not there."""

    field: str
    before: Any
    after: Any


def changed_fields(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[FieldChange]:
    """What differs between two states of a row, of tables the parts that do. None: there is no such row."""
    found: list[FieldChange] = []
    old, new = before or {}, after or {}
    for name in {**old, **new}:
        was, will_be = old.get(name), new.get(name)
        if was == will_be and type(was) is type(will_be):
            continue
        if isinstance(was, dict | None) and isinstance(will_be, dict | None):
            found += (each._replace(field=f"{name}.{each.field}") for each in changed_fields(was, will_be))
        else:
            found.append(FieldChange(name, was, will_be))
    return found
