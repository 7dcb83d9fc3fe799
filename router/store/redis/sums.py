"""How many rows of each kind a data set has, and what they add up to: by these a part of it is told from the whole.

The digest of a kind is the sum of its rows, each a hash of its key and its body, so that a commit keeps it up by the
rows that it changes (`lua/_put.lua`), in the same step.
"""

import hashlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

_DIGEST_END = 2**48  # Lua's numbers hold a sum of these to the last bit
_DIGEST_BYTES = 6


class Sum(NamedTuple):
    """Of a kind: its rows and their digest."""

    rows: int
    digest: int


Sums = tuple[Sum, ...]  # by the code of the kind, which counts from 1


def sums_of(told: Iterable[tuple[bytes | None, bytes | None]]) -> Sums:
    """What meta says; of a kind that nobody has written yet it says nothing."""
    return tuple(Sum(int(count or 0), int(digest or 0)) for count, digest in told)


def row_digest(key: bytes, body: bytes) -> int:
    """Of one row, as Redis makes it in Lua, where SHA-1 is all that there is."""
    hashed = hashlib.sha1(key + b"\0" + body, usedforsecurity=False).digest()
    return int.from_bytes(hashed[:_DIGEST_BYTES], "big")


def sum_of(bodies: Mapping[str, bytes]) -> Sum:
    """Of the rows of a kind, by their keys."""
    return Sum(len(bodies), sum(row_digest(key.encode(), body) for key, body in bodies.items()) % _DIGEST_END)


class _Part(NamedTuple):
    """What was read of some rows of a kind, one after the other: the hashes of their keys, and their digests.

    Numbers and not objects: a million of those would leave holes all over the memory that the table lies in.
    """

    keys: "array[int]"  # no type of its own while it runs, before Python 3.12
    digests: "array[int]"

    def sum(self) -> Sum:
        """Of what was read last of each row."""
        last = dict(zip(self.keys, self.digests, strict=True))
        there = [digest for digest in last.values() if digest != _REMOVED]
        return Sum(len(there), sum(there))


_REMOVED = _DIGEST_END  # stands for the digest of a row that is there no more
_PARTS = 256  # of a million rows each has some 4,000: a step with one of them takes about a millisecond


class Tally:
    """Rows as they are read, some of them twice, and over them what has changed meanwhile."""

    def __init__(self, kinds: int) -> None:
        self._parts = [[_Part(array("q"), array("q")) for _ in range(_PARTS)] for _ in range(kinds)]

    def add(self, code: int, key: bytes, body: bytes) -> str:
        """Take a row that was read, over what was known of it; returns its key as text."""
        name = key.decode()
        self._take(code, name, row_digest(key, body))
        return name

    def change(self, code: int, key: str, body: str | None) -> None:
        """Take a row that was changed, None: removed."""
        self._take(code, key, _REMOVED if body is None else row_digest(key.encode(), body.encode()))

    def _take(self, code: int, key: str, digest: int) -> None:
        hashed = hash(key)  # 64 bits: of a million keys no two have the same
        keys, digests = self._parts[code - 1][hashed % _PARTS]
        keys.append(hashed)
        digests.append(digest)

    def sums(self) -> Sums:
        """What all of it adds up to. It is let go of piece by piece, and is of no use afterwards."""
        return tuple(map(_added, self._parts))


def _added(parts: list[_Part]) -> Sum:
    """Of all parts, each of which is freed before the next: all at once they would hold up calls."""
    rows = digest = 0
    while parts:
        one = parts.pop().sum()
        rows += one.rows
        digest += one.digest
    return Sum(rows, digest % _DIGEST_END)


def difference(said: Sequence[Sum], found: Sequence[Sum]) -> tuple[int, Sum, Sum] | None:
    """The first kind's code that does not add up, with what is said of it and what was found; None where all do."""
    pairs = enumerate(zip(said, found, strict=True), start=1)
    return next(((code, one, other) for code, (one, other) in pairs if one != other), None)
