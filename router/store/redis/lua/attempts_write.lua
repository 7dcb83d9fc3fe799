-- KEYS: calls, attempts, times, news, and for each attempt pair, reached, failed. ARGV: request id, a random id, stream
-- entries to keep, seconds, and for each attempt name, id, body as it was known, body, moment, reached or failed.
-- 1 for each that is written. What stood there already is not: of two routers that are told the same at once one has
-- written it, and it has when it is sent again, after a lost reply, too. The id names the writing: it is the revision of
-- the pairs, the head of the stream and, where there is none yet, the epoch.
local request, write, keep, seconds = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local written = {}
for place = 1, (#KEYS - 4) / 3 do
  local k, a = 4 + (place - 1) * 3, 4 + (place - 1) * 6
  local pair, reached, failed = KEYS[k + 1], KEYS[k + 2], KEYS[k + 3]
  local name, id, known, body, at, kind = unpack(ARGV, a + 1, a + 6)
  local there = redis.call('HGET', KEYS[2], name) or ''
  written[place] = there == body and redis.call('HGET', pair, 'rev') == write and 1 or 0
  if there == known then
    redis.call('HSET', KEYS[2], name, body)
    redis.call('ZADD', KEYS[3], at, name)
    redis.call('ZADD', kind == 'failed' and failed or reached, at, id)
    redis.call('ZREM', kind == 'failed' and reached or failed, id)
    redis.call('HSET', pair, 'rev', write)
    for _, key in ipairs({pair, reached, failed}) do redis.call('EXPIRE', key, seconds) end
    if redis.call('HEXISTS', KEYS[1], 'epoch') == 0 then
      redis.call('DEL', KEYS[4])
      redis.call('HSET', KEYS[1], 'epoch', write, 'seq', 0)
    end
    local seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)
    redis.call('HSET', KEYS[1], 'head', write)
    redis.call('XADD', KEYS[4], 'MAXLEN', '~', keep, seq .. '-0', 'attempt', body, 'id', write)
    written[place] = 1
  end
end
return {request, written}
