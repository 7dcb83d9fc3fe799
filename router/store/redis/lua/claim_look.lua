-- KEYS: pair, reached, attempts. ARGV: request id, call, how many, the beginning of the pair's names.
-- What a claim looks at: the attempt of a known claim alone, else the newest ones that came to the subscriber.
local request, call, count, prefix = unpack(ARGV)
local known = redis.call('HGET', KEYS[1], 'c:' .. call)
local ids = {}
if known then ids = {cjson.decode(known).attempt}
else ids = redis.call('ZREVRANGE', KEYS[2], 0, count - 1) end
local bodies = {}
for place, id in ipairs(ids) do bodies[place] = redis.call('HGET', KEYS[3], prefix .. id) end
return {request, known, redis.call('HGET', KEYS[1], 'rev') or '0', redis.call('HGET', KEYS[1], 'used_at'), bodies}
