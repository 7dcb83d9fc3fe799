"""What a data file says of rows that are not known whole.

A dump has what is not known of a row under a reserved key, as JSON in a text, since TOML cannot say all that JSON can.
`load` takes that back, by whichever version it is done: what is known by then is read as any other field.
"""

from typing import Any, NamedTuple

import msgspec

from dialplan.dataset.later import (
    AnyKind,
    Fields,
    Held,
    Inside,
    LaterRow,
    fields_of,
    json_of,
    named_kind,
    read_leniently,
    shape,
    split_value,
)
from dialplan.dataset.problems import Fault
from dialplan.kinds.registry import KINDS, Row
from dialplan.wording import Code

UNKNOWN = "_unknown"  # the key, in a row; and the name of the section of the rows whose kind is not known

_NOT_AS_DUMPED = Code("unknown-not-as-dumped", "it is not what a dump has there", "take it from a dump as it is")


def dumped(held: Held) -> Fields:
    """A row as a data file has it; one of a kind that is not known as an entry of the section `UNKNOWN`."""
    if not isinstance(held, LaterRow):
        return _plain(held)
    if held.row is not None:
        unknown = held.unknown()
        return _plain(held.row) | ({UNKNOWN: _text(unknown)} if unknown else {})
    kind, fields = held.kind, held.fields()
    if isinstance(kind, int):
        return {"kind": kind, "key": held.key, UNKNOWN: _text(fields)}
    key = KINDS[kind].key
    return {key: fields.pop(key), UNKNOWN: _text(fields)}


def _plain(row: Row) -> Fields:
    plain: Fields = msgspec.to_builtins(row)
    return plain


def _text(fields: Fields) -> str:
    return json_of(fields).decode()


def _read(told: object) -> Fields | None:
    """The fields in such a text."""
    try:
        return fields_of(told.encode()) if isinstance(told, str) else None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def entry_of(values: Fields) -> tuple[AnyKind, Fields] | Fault:
    """An entry of the section `UNKNOWN`: its kind, which may be known by now, and its values."""
    code, key = values.get("kind"), values.get("key")
    kind = named_kind(code) if type(code) is int else None
    if kind is None or values.keys() != {"kind", "key", UNKNOWN}:
        return _NOT_AS_DUMPED()
    if isinstance(kind, int):
        return kind, values
    fields = _read(values[UNKNOWN])
    if fields is None:
        return _NOT_AS_DUMPED()
    own = KINDS[kind].key
    return kind, {own: key, UNKNOWN: _text({name: value for name, value in fields.items() if name != own})}


class TakenBack(NamedTuple):
    """An entry of a dump: its fields as they would be written had they been known then, and what is not known now."""

    values: Fields
    unknown: Fields


def taken_back(kind: AnyKind, values: Fields) -> TakenBack | LaterRow | Fault:
    """What `dumped` has made of a row. What has become known since is read as any other field."""
    values = dict(values)
    unknown = _read(values.pop(UNKNOWN))
    if unknown is None:
        return _NOT_AS_DUMPED()
    if isinstance(kind, int):
        key = values["key"]
        later = read_leniently(kind, key, json_of(unknown), "") if isinstance(key, str) else None
        return later or _NOT_AS_DUMPED()
    its = KINDS[kind]
    if values.keys() == {its.key} and isinstance(key := values[its.key], str) and its.is_key(key):
        later = read_leniently(its.code, key, json_of(values | unknown), "")
        if later is not None and later.row is None:
            return later
    return TakenBack(*_known_again(values, unknown, its.struct))


def _known_again(values: Fields, unknown: Fields, struct: type[msgspec.Struct]) -> tuple[Fields, Fields]:
    """Move what is known here from `unknown` to the values, unless they have it already."""
    values, rest = dict(values), dict[str, Any]()
    for name, value in unknown.items():
        more: Any = {}
        inside = shape(struct).get(name)
        if name not in shape(struct):
            more = value
        elif name in values:
            if inside is not None and isinstance(value, dict):
                values[name], more = _known_inside(values[name], value, inside)
        elif inside is None or inside.by is None or isinstance(value, list):  # else its list has been taken out
            values[name], more = split_value(value, inside)
        if more != {} or name not in shape(struct):
            rest[name] = more
    return values, rest


def _known_inside(value: Any, unknown: Fields, inside: Inside) -> tuple[Any, Fields]:
    if inside.by is None:
        return _known_again(value, unknown, inside.struct) if isinstance(value, dict) else (value, unknown)
    rest = dict(unknown)
    items: list[Any] = []
    for item in value if isinstance(value, list) else ():
        name = str(item.get(inside.by)) if isinstance(item, dict) else ""
        known = item
        if isinstance(more := rest.get(name), dict):
            known, rest[name] = _known_again(item, more, inside.struct)
        items.append(known)
    return (items if isinstance(value, list) else value), {name: more for name, more in rest.items() if more}
