-- KEYS: pair, reached, failed. ARGV: request id, until, how many.
-- Ids, and all claims, each behind its call.
local request, latest, count = unpack(ARGV)
local ids = redis.call('ZREVRANGEBYSCORE', KEYS[2], latest, '-inf', 'LIMIT', 0, count)
for _, id in ipairs(redis.call('ZREVRANGEBYSCORE', KEYS[3], latest, '-inf', 'LIMIT', 0, count)) do
  ids[#ids + 1] = id
end
local claims, fields = {}, redis.call('HGETALL', KEYS[1])
for place = 1, #fields, 2 do
  if string.sub(fields[place], 1, 2) == 'c:' then
    claims[#claims + 1] = string.sub(fields[place], 3)
    claims[#claims + 1] = fields[place + 1]
  end
end
return {request, ids, claims}
