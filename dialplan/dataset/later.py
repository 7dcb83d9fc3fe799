"""Stored rows that a later version has written and this one does not understand whole.

They are kept as they are, so that a version can be rolled back and several can share a store. What comes in from files
and people is read strictly.
"""

import functools
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple, TypeAlias, get_args, get_origin

import msgspec

from dialplan.dataset.problems import field_name
from dialplan.kinds.registry import KINDS, Row, RowKind, key_of, kind_of

# Numbers of kinds that a store may have: more than are planned, since the rows of any other one are never looked at.
KIND_CODES = range(1, 17)

Fields: TypeAlias = dict[str, Any]
# What names a kind; of one that is not known there is only the number that it has in stores.
AnyKind: TypeAlias = RowKind | int

_BY_CODE = {kind.code: name for name, kind in KINDS.items()}

json_of = msgspec.json.Encoder(order="deterministic").encode


def named_kind(code: int) -> AnyKind | None:
    """The kind with that number in stores; None where there can be none."""
    return _BY_CODE.get(code, code) if code in KIND_CODES else None


def code_of(kind: AnyKind) -> int:
    """The number of a kind in stores."""
    return kind if isinstance(kind, int) else KINDS[kind].code


def kind_word(kind: AnyKind) -> str:
    """What rows of a kind are called in messages."""
    return f"rows of kind {kind}" if isinstance(kind, int) else str(kind)


class LaterRow(msgspec.Struct, frozen=True):
    """A row of a later version: its kind's number, its key, and what is stored of it.

    `row` is what can be read of it, where only some of its fields are not known; else None. `why`: what is not known.
    """

    code: int
    key: str
    body: bytes
    row: Row | None
    why: str = ""

    @property
    def kind(self) -> AnyKind:
        """Its kind."""
        return named_kind(self.code) or self.code

    def fields(self) -> Fields:
        """All that is stored of it."""
        return fields_of(self.body)

    def unknown(self) -> Fields:
        """The fields that are not known, those inside of others in the same place."""
        kind = self.kind
        if isinstance(kind, int):
            return self.fields()
        return _split(self.fields(), KINDS[kind].struct)[1]

    def names(self) -> set[str]:
        """The paths of the fields that are not known."""
        kind = self.kind
        return set(_paths(self.unknown(), None if isinstance(kind, int) else KINDS[kind].struct))


def _paths(unknown: Fields, struct: type[msgspec.Struct] | None) -> Iterator[str]:
    for name, value in unknown.items():
        inside = shape(struct).get(name) if struct is not None else None
        if inside is None:
            yield field_name(name)
        elif inside.by is None:
            yield from (f"{name}.{path}" for path in _paths(value, inside.struct))
        else:
            for item, rest in value.items():
                yield from (f"{name}[{item}].{path}" for path in _paths(rest, inside.struct))


Held: TypeAlias = Row | LaterRow


def readable(held: Held | None) -> Row | None:
    """What can be read of a stored row."""
    return held.row if isinstance(held, LaterRow) else held


def is_unread(held: Held | None) -> bool:
    """Whether a row is there of which nothing can be read."""
    return isinstance(held, LaterRow) and held.row is None


def held_key(held: Held) -> str:
    """What names a stored row within its kind."""
    return held.key if isinstance(held, LaterRow) else key_of(held)


# --- reading ----------------------------------------------------------------------------------------------------------


def read_leniently(code: int, key: str, body: bytes, why: str) -> LaterRow | None:
    """What is stored under `key`, and cannot be read strictly (`why`); None where no version can have written it."""
    kind = named_kind(code)
    try:
        fields = fields_of(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    if kind is None:
        return None
    if isinstance(kind, int):
        return LaterRow(code, key, body, None, "a kind of rows that is not known")
    if fields.get(KINDS[kind].key) != key:
        return None
    known, _ = _split(fields, KINDS[kind].struct)
    row: Row | None
    try:
        row = msgspec.convert(known, KINDS[kind].struct)
    except (msgspec.ValidationError, UnicodeError) as error:
        row, why = None, str(error)
    return LaterRow(code, key, body, row, why)


def fields_of(body: bytes) -> Fields:
    """The fields in a body. Raises msgspec.DecodeError, and RecursionError."""
    fields: Fields = msgspec.json.decode(body, type=dict[str, Any])
    return fields


class Inside(NamedTuple):
    """What a field holds: a struct, or a list of them, which the first field of each tells apart."""

    struct: type[msgspec.Struct]
    by: str | None


@functools.cache
def shape(struct: type[msgspec.Struct]) -> dict[str, Inside | None]:
    """The fields of a struct, and which of them have structs inside."""
    return {field.encode_name: _inside(field.type) for field in msgspec.structs.fields(struct)}


def _inside(wanted: Any) -> Inside | None:
    if get_origin(wanted) is Annotated:
        return _inside(get_args(wanted)[0])
    if get_origin(wanted) is tuple:
        item = _inside(get_args(wanted)[0])
        return None if item is None else Inside(item.struct, msgspec.structs.fields(item.struct)[0].encode_name)
    return Inside(wanted, None) if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct) else None


def _split(fields: Fields, struct: type[msgspec.Struct]) -> tuple[Fields, Fields]:
    """The known fields, and those that are not. What is not known inside a list stands under what names its item."""
    known: Fields = {}
    unknown: Fields = {}
    for name, value in fields.items():
        if name not in shape(struct):
            unknown[name] = value
            continue
        known[name], inside = split_value(value, shape(struct)[name])
        if inside:
            unknown[name] = inside
    return known, unknown


def split_value(value: Any, inside: Inside | None) -> tuple[Any, Fields]:
    """What is known of the value of a field, and what is not."""
    if inside is None:
        return value, {}
    if inside.by is None:
        return _split(value, inside.struct) if isinstance(value, dict) else (value, {})
    if not isinstance(value, list):
        return value, {}
    items: list[Any] = []
    unknown: Fields = {}
    for item in value:
        known, rest = _split(item, inside.struct) if isinstance(item, dict) else (item, {})
        name = known.get(inside.by) if rest else None
        if rest and (not isinstance(name, str) or name in unknown):
            known = item  # nothing tells it from others: such a row cannot be read
        elif rest:
            unknown[str(name)] = rest
        items.append(known)
    return items, unknown


# --- writing ----------------------------------------------------------------------------------------------------------


def over(held: Held | None, row: Row, given: Fields | None) -> Held:
    """`row` as it is to be stored in the place of `held`: with what is not known of that, or with what is `given`."""
    unknown = given if given is not None else held.unknown() if isinstance(held, LaterRow) else {}
    if not unknown:
        return row
    kind = kind_of(row)
    plain: Fields = msgspec.to_builtins(row)
    if not _put(plain, unknown, kind.struct):
        return row
    return LaterRow(kind.code, kind.key_of(row), json_of(plain), row)


def _put(plain: Fields, unknown: Fields, struct: type[msgspec.Struct]) -> bool:
    """Put what is not known into its place in a row; what was inside of something that has gone goes with it."""
    done = False
    for name, value in unknown.items():
        if name not in shape(struct):
            plain[name] = value
            done = True
        elif (inside := shape(struct)[name]) is not None and isinstance(value, dict):
            for item, rest in _items(plain.get(name), value, inside):
                done |= _put(item, rest, inside.struct)
    return done


def _items(value: Any, unknown: Fields, inside: Inside) -> list[tuple[Fields, Fields]]:
    """The tables inside a field, each with what is not known of it."""
    if inside.by is None:
        return [(value, unknown)] if isinstance(value, dict) else []
    items = value if isinstance(value, list | tuple) else []
    found = ((item, unknown.get(str(item.get(inside.by)))) for item in items if isinstance(item, dict))
    return [(item, rest) for item, rest in found if isinstance(rest, dict)]


def same_later(old: Held | None, new: Held | None) -> bool:
    """Whether two rows, of which one at least is of a later version, say the same."""
    if old is None or new is None:
        return old is new
    return json_of(_content(old)) == json_of(_content(new))


def _content(held: Held) -> tuple[object, Fields]:
    """What can be read of a row, in which a default may be said or left out, and what cannot."""
    if not isinstance(held, LaterRow):
        return held, {}
    return (held.row, held.unknown()) if held.row is not None else (None, held.fields())
