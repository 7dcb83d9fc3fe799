"""The Lua that Redis runs for attempts and claims; `redis_callbacks` has the keys, and `redis_scripts` the rest.

Each may be run twice: what is there already is not written again.
"""

from router.store.redis_connection import Script

# KEYS: calls. ARGV: a new epoch, or nothing.
MARK = Script(
    """
if ARGV[1] ~= '' and redis.call('HEXISTS', KEYS[1], 'epoch') == 0 then
  redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'seq', 0)
end
local epoch, seq = unpack(redis.call('HMGET', KEYS[1], 'epoch', 'seq'))
return {ARGV[2], epoch or '', seq or 0}
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

# KEYS: calls, attempts, times, news, and for each attempt pair, reached, failed. ARGV: a new epoch, news to keep,
# seconds, and for each attempt name, id, body as it was known, body, moment, reached or failed. 1 for each that is
# written. What stood there already is not news: of two routers that are told the same at once one has the news.
WRITE = Script(
    """
local written = {}
for place = 1, (#KEYS - 4) / 3 do
  local k, a = 4 + (place - 1) * 3, 3 + (place - 1) * 6
  local pair, reached, failed = KEYS[k + 1], KEYS[k + 2], KEYS[k + 3]
  local name, id, known, body, at, kind = unpack(ARGV, a + 1, a + 6)
  local there = redis.call('HGET', KEYS[2], name) or ''
  written[place] = 0
  if there == known then
    redis.call('HSET', KEYS[2], name, body)
    redis.call('ZADD', KEYS[3], at, name)
    redis.call('ZADD', kind == 'failed' and failed or reached, at, id)
    redis.call('ZREM', kind == 'failed' and reached or failed, id)
    redis.call('HINCRBY', pair, 'rev', 1)
    for _, key in ipairs({pair, reached, failed}) do redis.call('EXPIRE', key, ARGV[3]) end
    if redis.call('HEXISTS', KEYS[1], 'epoch') == 0 then redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'seq', 0) end
    local seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)
    redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[2], seq .. '-0', 'attempt', body)
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

# KEYS: pair, claimed. ARGV: call, rev, claim, used_at, name of the attempt, seconds. One that gives nothing away does
# not change rev: what it found stays as it was for the others.
CLAIM = Script(
    """
local known = redis.call('HGET', KEYS[1], 'c:' .. ARGV[1])
if known then return {ARGV[7], known == ARGV[3] and 'done' or 'known'} end
if (redis.call('HGET', KEYS[1], 'rev') or '0') ~= ARGV[2] then return {ARGV[7], 'moved'} end
redis.call('HSET', KEYS[1], 'c:' .. ARGV[1], ARGV[3])
if ARGV[5] ~= '' then redis.call('SADD', KEYS[2], ARGV[5]) end
if ARGV[4] ~= '' then
  local before = redis.call('HGET', KEYS[1], 'used_at')
  if not before or tonumber(before) < tonumber(ARGV[4]) then redis.call('HSET', KEYS[1], 'used_at', ARGV[4]) end
  redis.call('HINCRBY', KEYS[1], 'rev', 1)
end
redis.call('EXPIRE', KEYS[1], ARGV[6])
return {ARGV[7], 'done'}
"""
)

# KEYS: pair, reached, failed. ARGV: until, how many. Ids, and all claims.
HISTORY = Script(
    """
local ids = redis.call('ZREVRANGEBYSCORE', KEYS[2], ARGV[1], '-inf', 'LIMIT', 0, ARGV[2])
for _, id in ipairs(redis.call('ZREVRANGEBYSCORE', KEYS[3], ARGV[1], '-inf', 'LIMIT', 0, ARGV[2])) do
  ids[#ids + 1] = id
end
local claims, fields = {}, redis.call('HGETALL', KEYS[1])
for place = 1, #fields, 2 do
  if string.sub(fields[place], 1, 2) == 'c:' then claims[#claims + 1] = fields[place + 1] end
end
return {ARGV[3], ids, claims}
"""
)

# KEYS: times. ARGV: first and last place.
NEWEST = Script("return {ARGV[3], redis.call('ZREVRANGE', KEYS[1], ARGV[1], ARGV[2])}")

# KEYS: times. ARGV: moment, place, how many.
OLDEST = Script(
    "return {ARGV[4], redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[1], 'LIMIT', ARGV[2], ARGV[3])}"
)

# KEYS: times. ARGV: name.
UNLIST = Script("return {ARGV[2], redis.call('ZREM', KEYS[1], ARGV[1])}")

# KEYS: claimed.
CLAIMED = Script("return {ARGV[1], redis.call('SMEMBERS', KEYS[1])}")

# KEYS: calls, news. ARGV: epoch, seq, how many. Not ok: where the stream does not go on from there.
SINCE = Script(
    """
local epoch, seq = unpack(redis.call('HMGET', KEYS[1], 'epoch', 'seq'))
local known = tonumber(ARGV[2])
if epoch ~= ARGV[1] or tonumber(seq) < known then return {ARGV[4], 'lost', {}} end
local bodies = {}
for place, entry in ipairs(redis.call('XRANGE', KEYS[2], '(' .. ARGV[2] .. '-0', '+', 'COUNT', ARGV[3])) do
  if tonumber(string.match(entry[1], '^%d+')) ~= known + place then return {ARGV[4], 'lost', {}} end
  bodies[place] = entry[2][2]
end
if #bodies == 0 and tonumber(seq) > known then return {ARGV[4], 'lost', {}} end
return {ARGV[4], 'ok', bodies}
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
