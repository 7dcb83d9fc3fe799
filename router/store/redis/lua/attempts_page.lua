-- KEYS: attempts, a list. ARGV: request id, from which moment back, place behind that, how many, the beginning of names.
-- Each entry of the list with its moment and its attempt. What has gone from attempts goes from the list: a version that
-- does not know of the list leaves it there.
local request, moment, place, count, prefix = unpack(ARGV)
local found = redis.call('ZREVRANGEBYSCORE', KEYS[2], moment, '-inf', 'WITHSCORES', 'LIMIT', place, count)
local bodies = {}
for at = 1, #found, 2 do
  local body = redis.call('HGET', KEYS[1], prefix .. found[at])
  if not body then redis.call('ZREM', KEYS[2], found[at]) end
  bodies[#bodies + 1] = body
end
return {request, found, bodies}
