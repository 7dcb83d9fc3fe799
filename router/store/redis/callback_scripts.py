"""The Lua that Redis runs for attempts and claims; `redis_callbacks` has the keys, and `redis_scripts` the rest.

Each may be run twice: what is there already is not written again.
"""

from router.store.redis.connection import Script

# KEYS: calls, news. ARGV: a new epoch, or nothing. What of an older epoch is left in the stream would be in its way.
CURSOR = Script(
    """
if ARGV[1] ~= '' and redis.call('HEXISTS', KEYS[1], 'epoch') == 0 then
  redis.call('DEL', KEYS[2])
  redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'seq', 0)
end
local epoch, seq, head = unpack(redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'head'))
return {ARGV[2], epoch or '', seq or 0, head or ''}
"""
)

# KEYS: attempts. ARGV: names.
NAMED = Script(
    """
local question = table.remove(ARGV)
local found = {}
for place, name in ipairs(ARGV) do found[place] = redis.call('HGET', KEYS[1], name) end
return {question, found}
"""
)

# KEYS: calls, attempts, times, news, and for each attempt pair, reached, failed. ARGV: a random id, news to keep,
# seconds, and for each attempt name, id, body as it was known, body, moment, reached or failed. 1 for each that is
# written. What stood there already is not news: of two routers that are told the same at once one has the news, and it
# has them when it is sent again, after a lost reply, too. The id names the writing: it is the revision of the pairs,
# the head of the stream and, where there is none yet, the epoch.
WRITE = Script(
    """
local written = {}
for place = 1, (#KEYS - 4) / 3 do
  local k, a = 4 + (place - 1) * 3, 3 + (place - 1) * 6
  local pair, reached, failed = KEYS[k + 1], KEYS[k + 2], KEYS[k + 3]
  local name, id, known, body, at, kind = unpack(ARGV, a + 1, a + 6)
  local there = redis.call('HGET', KEYS[2], name) or ''
  written[place] = there == body and redis.call('HGET', pair, 'rev') == ARGV[1] and 1 or 0
  if there == known then
    redis.call('HSET', KEYS[2], name, body)
    redis.call('ZADD', KEYS[3], at, name)
    redis.call('ZADD', kind == 'failed' and failed or reached, at, id)
    redis.call('ZREM', kind == 'failed' and reached or failed, id)
    redis.call('HSET', pair, 'rev', ARGV[1])
    for _, key in ipairs({pair, reached, failed}) do redis.call('EXPIRE', key, ARGV[3]) end
    if redis.call('HEXISTS', KEYS[1], 'epoch') == 0 then
      redis.call('DEL', KEYS[4])
      redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'seq', 0)
    end
    local seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)
    redis.call('HSET', KEYS[1], 'head', ARGV[1])
    redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[2], seq .. '-0', 'attempt', body, 'id', ARGV[1])
    written[place] = 1
  end
end
return {ARGV[#ARGV], written}
"""
)

# KEYS: pair, reached, attempts. ARGV: call, how many, the beginning of the pair's names. What a claim looks at: the
# attempt of a known claim alone, else the newest ones that came to the subscriber.
LOOK = Script(
    """
local known = redis.call('HGET', KEYS[1], 'c:' .. ARGV[1])
local ids = {}
if known then ids = {cjson.decode(known).attempt}
else ids = redis.call('ZREVRANGE', KEYS[2], 0, ARGV[2] - 1) end
local bodies = {}
for place, id in ipairs(ids) do bodies[place] = redis.call('HGET', KEYS[3], ARGV[3] .. id) end
return {ARGV[4], known, redis.call('HGET', KEYS[1], 'rev') or '0', redis.call('HGET', KEYS[1], 'used_at'), bodies}
"""
)

# KEYS: pair, claimed, calls, news. ARGV: call, rev, claim, used_at, name of the attempt, seconds, a new rev, how many
# claims, news to keep. One that gives nothing away does not change rev: what it found stays as it was; nor is it kept
# beyond so many. One that gives a right is news too, so that a master that has lost it is found out. Of two routers
# that are asked by one call at once, one has given it the right.
# A rev is random: on a master that lost the last writes a count would soon be the same again, and mean something else.
CLAIM = Script(
    """
local known = redis.call('HGET', KEYS[1], 'c:' .. ARGV[1])
local question = ARGV[10]
local mine = ARGV[4] == '' or redis.call('HGET', KEYS[1], 'rev') == ARGV[7]
if known then return {question, known == ARGV[3] and mine and 'done' or 'known'} end
if (redis.call('HGET', KEYS[1], 'rev') or '0') ~= ARGV[2] then return {question, 'moved'} end
if ARGV[5] ~= '' then redis.call('SADD', KEYS[2], ARGV[5]) end
local kept = tonumber(redis.call('HGET', KEYS[1], 'claims') or '0')
if ARGV[4] == '' and kept >= tonumber(ARGV[8]) then return {question, 'done'} end
redis.call('HSET', KEYS[1], 'c:' .. ARGV[1], ARGV[3], 'claims', kept + 1)
if ARGV[4] ~= '' then
  local before = redis.call('HGET', KEYS[1], 'used_at')
  if not before or tonumber(before) < tonumber(ARGV[4]) then redis.call('HSET', KEYS[1], 'used_at', ARGV[4]) end
  redis.call('HSET', KEYS[1], 'rev', ARGV[7])
  if redis.call('HEXISTS', KEYS[3], 'epoch') == 1 then
    local seq = redis.call('HINCRBY', KEYS[3], 'seq', 1)
    redis.call('HSET', KEYS[3], 'head', ARGV[7])
    redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[9], seq .. '-0', 'claim', '', 'id', ARGV[7])
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[6])
return {question, 'done'}
"""
)

# KEYS: pair, reached, failed. ARGV: until, how many. Ids, and all claims, each behind its call.
HISTORY = Script(
    """
local ids = redis.call('ZREVRANGEBYSCORE', KEYS[2], ARGV[1], '-inf', 'LIMIT', 0, ARGV[2])
for _, id in ipairs(redis.call('ZREVRANGEBYSCORE', KEYS[3], ARGV[1], '-inf', 'LIMIT', 0, ARGV[2])) do
  ids[#ids + 1] = id
end
local claims, fields = {}, redis.call('HGETALL', KEYS[1])
for place = 1, #fields, 2 do
  if string.sub(fields[place], 1, 2) == 'c:' then
    claims[#claims + 1] = string.sub(fields[place], 3)
    claims[#claims + 1] = fields[place + 1]
  end
end
return {ARGV[3], ids, claims}
"""
)

# KEYS: times. ARGV: first and last place.
NEWEST = Script("return {ARGV[3], redis.call('ZREVRANGE', KEYS[1], ARGV[1], ARGV[2])}")

# KEYS: times. ARGV: from, until, place, how many. Each name with its moment.
OLDEST = Script(
    """
local found = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], '(' .. ARGV[2], 'WITHSCORES', 'LIMIT', ARGV[3], ARGV[4])
return {ARGV[5], found}
"""
)

# KEYS: times. The server's clock in microseconds, where it tells it.
CLOCK = Script("return {ARGV[1], string.match(redis.call('INFO', 'server'), 'server_time_usec:(%d+)')}")

# KEYS: times. ARGV: name.
UNLIST = Script("return {ARGV[2], redis.call('ZREM', KEYS[1], ARGV[1])}")

# KEYS: claimed. ARGV: cursor, how many. A page of it, and which server told it.
CLAIMED = Script(
    """
local server = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
return {ARGV[3], server, redis.call('SSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])}
"""
)

# KEYS: calls, news. ARGV: epoch, seq, the id of that entry, how many. Bodies (of a claim: none), and the id of the last
# one. Not ok: where the stream does not go on from there; another id under the same number is another history's, such
# as a new master's.
SINCE = Script(
    """
local epoch, seq, head = unpack(redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'head'))
local known, id = tonumber(ARGV[2]), ARGV[3]
if epoch ~= ARGV[1] or tonumber(seq) < known then return {ARGV[5], 'lost', {}, id} end
if tonumber(seq) == known then return {ARGV[5], (head or '') == id and 'ok' or 'lost', {}, id} end
local bodies, at = {}, known == 0 and 0 or -1
for _, entry in ipairs(redis.call('XRANGE', KEYS[2], ARGV[2] .. '-0', '+', 'COUNT', ARGV[4] - at)) do
  at = at + 1
  if tonumber(string.match(entry[1], '^%d+')) ~= known + at then return {ARGV[5], 'lost', {}, id} end
  if at == 0 and (entry[2][4] or '') ~= id then return {ARGV[5], 'lost', {}, id} end
  if at > 0 then bodies[at], head = entry[2][2], entry[2][4] or '' end
end
if #bodies == 0 then return {ARGV[5], 'lost', {}, id} end
return {ARGV[5], 'ok', bodies, head}
"""
)

# KEYS: attempts, times, claimed, and for each attempt pair, reached, failed. ARGV: for each attempt name, id.
DROP = Script(
    """
for place = 1, (#KEYS - 3) / 3 do
  local k, a = 3 + (place - 1) * 3, (place - 1) * 2
  local pair, reached, failed, name, id = KEYS[k + 1], KEYS[k + 2], KEYS[k + 3], ARGV[a + 1], ARGV[a + 2]
  redis.call('HDEL', KEYS[1], name)
  redis.call('ZREM', KEYS[2], name)
  redis.call('SREM', KEYS[3], name)
  redis.call('ZREM', reached, id)
  redis.call('ZREM', failed, id)
  -- A claim tells what is used up among the attempts of its pair: without any it says nothing.
  if redis.call('ZCARD', reached) + redis.call('ZCARD', failed) == 0 then redis.call('DEL', pair) end
end
return {ARGV[#ARGV]}
"""
)

# KEYS: turn. ARGV: seconds.
TURN = Script(
    """
local turn = redis.call('INCR', KEYS[1])
redis.call('EXPIRE', KEYS[1], ARGV[1])
return {ARGV[2], turn}
"""
)
