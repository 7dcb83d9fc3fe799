-- KEYS: attempts, times, claimed, and for each attempt pair, reached, failed, the lists of its number, its subscriber and
-- its campaign. ARGV: request id, and for each attempt name, id.
for place = 1, (#KEYS - 3) / 6 do
  local k, a = 3 + (place - 1) * 6, 1 + (place - 1) * 2
  local pair, reached, failed, name, id = KEYS[k + 1], KEYS[k + 2], KEYS[k + 3], ARGV[a + 1], ARGV[a + 2]
  redis.call('HDEL', KEYS[1], name)
  redis.call('ZREM', KEYS[2], name)
  redis.call('SREM', KEYS[3], name)
  redis.call('ZREM', reached, id)
  redis.call('ZREM', failed, id)
  for list = k + 4, k + 6 do redis.call('ZREM', KEYS[list], name) end
  -- A claim tells what is consumed among the attempts of its pair: without any it says nothing.
  if redis.call('ZCARD', reached) + redis.call('ZCARD', failed) == 0 then redis.call('DEL', pair) end
end
return {ARGV[1]}
