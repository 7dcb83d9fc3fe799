"""The Lua that Redis runs for the data set: each script whole or not at all, and each may be run twice.

Each begins its arguments with the id of the request, and its reply with the same. Keys share one hash tag, so that a
Cluster keeps them together.

The data set, version by version:
- meta: version and head (the id of the newest commit), applied (the version that the rows have come to), chunk (how
  many chunks of the next one they have), epoch (the head of version 0); count:KIND and digest:KIND (how many rows of a
  kind there are, and what they add up to, see `sums`), and counted (APPLIED:CHUNK that these two are of: a version
  that does not know of them leaves it behind);
- changes: a stream with one entry for each commit, its id VERSION-0;
- log:ID: the rows of a commit in chunks, each in MessagePack: a list of [kind, key, body or false];
- rows:KIND: what is stored, key -> body.

A commit is the one step of meta and changes. The rows of a small one are put into rows:KIND in the same step, those of
a large one afterwards, chunk by chunk, by whoever comes by; a reader puts those of the log over them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from router.store.redis.lua_script import load
from router.store.redis.sums import Sums, sums_of

SCHEMA = 1  # of the data set: stands in its meta, and changes only with what lies there


class DataSetState(NamedTuple):
    """Where the data set stands.

    `sums`: what it says of its rows, None where an older version has written last; `gone`: the kinds that are to have
    rows by that, and have no key.
    """

    version: int
    head: str
    applied: int
    chunk: int
    epoch: str
    sums: Sums | None = None
    gone: tuple[int, ...] = ()


class Told(NamedTuple):
    """What `_state.lua` tells: the fields of meta as they are, and of each kind its count, its digest, its key."""

    version: bytes | None
    head: bytes | None
    applied: bytes | None
    chunk: bytes | None
    epoch: bytes | None
    schema: bytes | None
    counted: bytes | None
    kinds: tuple[tuple[bytes | None, bytes | None, int], ...]

    @property
    def empty(self) -> bool:
        """Whether there is nothing of a data set: no rows either."""
        return self.version is None and not any(there for _, _, there in self.kinds)

    def state(self) -> DataSetState | None:
        """Where the data set stands; None where a field is missing."""
        fields = self.version, self.head, self.applied, self.chunk, self.epoch
        if self.version is None or None in fields:
            return None
        version, head, applied, chunk, epoch = (each.decode() for each in fields if each is not None)
        state = DataSetState(int(version), head, int(applied), int(chunk), epoch)
        if self.counted != f"{applied}:{chunk}".encode():
            return state
        sums = sums_of((count, digest) for count, digest, _ in self.kinds)
        gone = (code for code, (count, _, there) in enumerate(self.kinds, start=1) if int(count or 0) and not there)
        return state._replace(sums=sums, gone=tuple(gone))


def told_of(reply: Sequence[Any]) -> Told:
    """What `_state.lua` tells, from its reply."""
    kinds = reply[7:]
    return Told._make((*reply[:7], tuple(zip(kinds[::3], kinds[1::3], kinds[2::3], strict=True))))


class CommitEntry(NamedTuple):
    """An entry of the stream: a commit."""

    version: int
    id: str
    before: str
    rows: int


def entry_of(found: tuple[bytes, list[bytes]]) -> CommitEntry:
    """An entry as Redis tells it."""
    number, fields = found
    values = dict(zip(fields[::2], fields[1::2], strict=True))
    version = int(number.partition(b"-")[0])
    return CommitEntry(version, values[b"id"].decode(), values[b"before"].decode(), int(values[b"rows"]))


def led_to(entries: Sequence[CommitEntry], version: int, head: str) -> tuple[int, str] | None:
    """The version and the id that these commits, one after the other, lead to; None where one does not follow."""
    for each in entries:
        if (each.version, each.before) != (version + 1, head):
            return None
        version, head = each.version, each.id
    return version, head


MAKE = load("make")
STATE = load("state")
LOCK = load("lock")
UNLOCK = load("unlock")
STAGE = load("stage")
COMMIT = load("commit")
APPLY = load("apply")
TRIM = load("trim")
CHANGES = load("changes")
LOG = load("log")
SCAN = load("scan")
MEMORY = load("memory")
SERVER = load("server")
GET = load("get")
