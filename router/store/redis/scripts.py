"""The Lua that Redis runs for the data set: each script whole or not at all, and each may be run twice.

Each begins its arguments with the id of the request, and its reply with the same. Keys share one hash tag, so that a
Cluster keeps them together.

The data set, version by version:
- meta: version and head (the id of the newest commit), applied (the version that the rows have come to), chunk (how
  many chunks of the next one they have), epoch (the head of version 0);
- changes: a stream with one entry for each commit, its id VERSION-0;
- log:ID: the rows of a commit in chunks, each in MessagePack: a list of [kind, key, body or false];
- rows:KIND: what is stored, key -> body.

A commit is the one step of meta and changes. The rows of a small one are put into rows:KIND in the same step, those of
a large one afterwards, chunk by chunk, by whoever comes by; a reader puts those of the log over them.
"""

from collections.abc import Sequence
from typing import NamedTuple

from router.store.redis.lua_script import load

SCHEMA = 1  # of the data set: stands in its meta, and changes only with what lies there


class DataSetState(NamedTuple):
    """Where the data set stands."""

    version: int
    head: str
    applied: int
    chunk: int
    epoch: str


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
