"""The Lua that Redis runs for the data set: each script whole or not at all, and each may be run twice.

Each ends its arguments with the number of the question, and begins its reply with it. Keys share one hash tag, so that
a Cluster keeps them together.

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

from router.store.redis.connection import Script


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


_STATE = """
local function state()
  return redis.call('HMGET', KEYS[1], 'version', 'head', 'applied', 'chunk', 'epoch', 'schema')
end
"""

# KEYS: meta, rows... ARGV: epoch. Makes an empty data set where there is nothing at all.
MAKE = Script(
    _STATE
    + """
if redis.call('EXISTS', KEYS[1]) == 0 then
  for i = 2, #KEYS do
    if redis.call('EXISTS', KEYS[i]) == 1 then return {ARGV[2], 'rest'} end
  end
  redis.call('HSET', KEYS[1], 'version', 0, 'head', ARGV[1], 'applied', 0, 'chunk', 0, 'epoch', ARGV[1],
    'kept', 0, 'schema', 1)
end
return {ARGV[2], 'ok', unpack(state())}
"""
)

# KEYS: meta.
STATE = Script(_STATE + "return {ARGV[1], unpack(state())}")

# KEYS: meta, lock. ARGV: token, milliseconds. Takes the lock, or holds on to it.
LOCK = Script(
    _STATE
    + """
local mine = redis.call('GET', KEYS[2]) == ARGV[1]
if mine then redis.call('PEXPIRE', KEYS[2], ARGV[2])
elseif redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then mine = true end
if not mine then return {ARGV[3], 'held'} end
return {ARGV[3], 'mine', unpack(state())}
"""
)

# KEYS: lock. ARGV: token.
UNLOCK = Script(
    """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return {ARGV[2]}
"""
)

# KEYS: log. ARGV: place, chunk, seconds. Sends a chunk ahead; sent twice it stands there once.
STAGE = Script(
    """
if redis.call('LLEN', KEYS[1]) == tonumber(ARGV[1]) then redis.call('RPUSH', KEYS[1], ARGV[2]) end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return {ARGV[4], redis.call('LLEN', KEYS[1])}
"""
)

# Puts a chunk into the rows, whose keys follow the first so many.
_PUT = """
local function put(packed, first)
  for _, row in ipairs(cmsgpack.unpack(packed)) do
    if row[3] then redis.call('HSET', KEYS[first + row[1]], row[2], row[3])
    else redis.call('HDEL', KEYS[first + row[1]], row[2]) end
  end
end
"""

# KEYS: meta, lock, changes, log, rows... ARGV: token, version, head, id, chunks sent ahead, rows, last chunk. Where
# that chunk is the only one, it is put into the rows right away.
COMMIT = Script(
    _PUT
    + """
local version, head, applied, kept = unpack(redis.call('HMGET', KEYS[1], 'version', 'head', 'applied', 'kept'))
if head == ARGV[4] then return {ARGV[8], 'done', version, applied, kept, redis.call('XLEN', KEYS[3])} end
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return {ARGV[8], 'lost'} end
if version ~= ARGV[2] or head ~= ARGV[3] then return {ARGV[8], 'moved'} end
if redis.call('LLEN', KEYS[4]) ~= tonumber(ARGV[5]) then return {ARGV[8], 'lost'} end
local new = string.format('%.0f', tonumber(version) + 1)
-- The first write is the one that may be refused: of a script that fails, what came before it stays done.
redis.call('XADD', KEYS[3], new .. '-0', 'id', ARGV[4], 'before', ARGV[3], 'rows', ARGV[6])
redis.call('RPUSH', KEYS[4], ARGV[7])
redis.call('PERSIST', KEYS[4])
redis.call('HSET', KEYS[1], 'version', new, 'head', ARGV[4])
kept = redis.call('HINCRBY', KEYS[1], 'kept', ARGV[6])
if ARGV[5] == '0' and applied == version then
  put(ARGV[7], 4)
  applied = new
  redis.call('HSET', KEYS[1], 'applied', applied)
end
return {ARGV[8], 'done', new, applied, kept, redis.call('XLEN', KEYS[3])}
"""
)

# KEYS: meta, log, rows... ARGV: version, chunk. Puts one chunk into the rows, if it is its turn.
APPLY = Script(
    _PUT
    + """
local applied, chunk = unpack(redis.call('HMGET', KEYS[1], 'applied', 'chunk'))
if tonumber(applied) ~= tonumber(ARGV[1]) - 1 or chunk ~= ARGV[2] then return {ARGV[3], 'moved'} end
local packed = redis.call('LINDEX', KEYS[2], chunk)
if not packed then return {ARGV[3], 'missing'} end
put(packed, 2)
if chunk + 1 < redis.call('LLEN', KEYS[2]) then
  redis.call('HSET', KEYS[1], 'chunk', chunk + 1)
  return {ARGV[3], 'more'}
end
redis.call('HSET', KEYS[1], 'chunk', 0, 'applied', ARGV[1])
return {ARGV[3], 'done'}
"""
)

# KEYS: meta, changes. ARGV: log's prefix, rows, commits, seconds, at once. Lets go of the oldest commits' rows, beyond
# so many rows or commits; not of one that is not in the rows yet. The newest entry stays: by it those go on who have
# come to the one before.
TRIM = Script(
    """
local kept, applied, version = unpack(redis.call('HMGET', KEYS[1], 'kept', 'applied', 'version'))
kept = tonumber(kept)
local length = redis.call('XLEN', KEYS[2])
for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', ARGV[5])) do
  local number = tonumber(string.match(entry[1], '^%d+'))
  if (kept <= tonumber(ARGV[2]) and length <= tonumber(ARGV[3])) or number > tonumber(applied) then break end
  if number == tonumber(version) then break end
  kept = kept - tonumber(entry[2][6])
  length = length - 1
  redis.call('EXPIRE', ARGV[1] .. entry[2][2], ARGV[4])
  redis.call('XDEL', KEYS[2], entry[1])
end
redis.call('HSET', KEYS[1], 'kept', kept)
return {ARGV[6], length}
"""
)

# KEYS: meta, changes. ARGV: version, how many. The commits from a version on.
CHANGES = Script(
    _STATE
    + """
return {ARGV[3], state(), redis.call('XRANGE', KEYS[2], ARGV[1] .. '-0', '+', 'COUNT', ARGV[2])}
"""
)

# KEYS: log. ARGV: first chunk, last chunk.
LOG = Script("return {ARGV[3], redis.call('LRANGE', KEYS[1], ARGV[1], ARGV[2])}")

# KEYS: rows. ARGV: cursor, about how many. A cursor is good for one server only, so it tells which one it was.
SCAN = Script(
    """
local server = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
return {ARGV[3], server, redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])}
"""
)

# KEYS: meta. What its server does when it has no memory left.
MEMORY = Script(
    """
local told = redis.call('INFO', 'memory')
return {ARGV[1], string.match(told, 'maxmemory:(%d+)'), string.match(told, 'maxmemory_policy:(%S+)')}
"""
)

# KEYS: meta. Which server has it.
SERVER = Script("return {ARGV[1], string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')}")

# KEYS: rows. ARGV: key.
GET = Script("return {ARGV[2], redis.call('HGET', KEYS[1], ARGV[1])}")
