-- KEYS: calls. ARGV: request id, a moment, or nothing.
-- By which moment attempts were purged last; the moment is that from now on.
local request, moment = unpack(ARGV)
if moment ~= '' then redis.call('HSET', KEYS[1], 'purged', moment) end
return {request, redis.call('HGET', KEYS[1], 'purged')}
