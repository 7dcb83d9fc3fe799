"""Digests: numbers that are the same where the content is.

A row's digest is made of what MessagePack writes of it. That of an entry is the same in each version of the router,
however it is held in memory: routers of two versions are compared by it while they are upgraded.
"""

import struct
from collections.abc import Sequence
from hashlib import blake2b as _hash
from typing import Any

import msgspec

from dialplan.kinds.number import CallbackRule
from dialplan.routing.entry import Entry
from dialplan.routing.target import ToFlow, Values

_BYTES = 8  # of each hash
DIGEST_END = 2**52  # a metric's value is a float, which tells all numbers below that apart
_pack = msgspec.msgpack.Encoder(order="deterministic").encode
_THREE = b"\x93"  # a MessagePack array of three
_ENTRY = _THREE + _pack(Entry.__name__)


class _FlowImage(msgspec.Struct, frozen=True, gc=False, tag="flow"):
    """How a digest sees `ToFlow`."""

    flow: str
    values: Values


class _EntryImage(msgspec.Struct, frozen=True, gc=False):
    """How a digest sees `Entry`."""

    company: str | None
    active: bool
    base: object
    callback_rule: CallbackRule
    steps: object


def packed(entry: Entry) -> bytes:
    """What an entry says. Two with the same are equal, also in the types of their values."""
    return _pack(_EntryImage(entry.company, entry.active, _image(entry.base), entry.callback_rule, _image(entry.steps)))


def entry_digest(number: str, content: bytes) -> int:
    """Of a number's entry that has been packed."""
    return _number_of(_ENTRY + _pack(number) + content)


def entries_digest(entries: Sequence[tuple[str, bytes]]) -> int:
    """The sum of the digests of many entries, each a number and what its entry says; to be taken by DIGEST_END."""
    made = [_hash(_ENTRY + _pack(number) + content, digest_size=_BYTES).digest() for number, content in entries]
    return sum(struct.unpack(f">{len(made)}Q", b"".join(made)))


def row_digest(key: str, row: object) -> int:
    """Of one row. Those of a table are added up, so that a change costs no more than its own rows."""
    if isinstance(row, Entry):
        return entry_digest(key, packed(row))
    return _number_of(_pack((type(row).__name__, key, row)))


def _number_of(content: bytes) -> int:
    return int.from_bytes(_hash(content, digest_size=_BYTES).digest(), "big") % DIGEST_END


def _image(made: Any) -> object:
    if isinstance(made, ToFlow):
        return _FlowImage(made.flow, made.values)
    return tuple(map(_image, made)) if isinstance(made, tuple) else made
