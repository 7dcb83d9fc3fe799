-- KEYS: log. ARGV: request id, place, chunk, seconds.
-- Sends a chunk ahead; sent twice it stands there once.
local request, place, chunk, seconds = unpack(ARGV)
if redis.call('LLEN', KEYS[1]) == tonumber(place) then redis.call('RPUSH', KEYS[1], chunk) end
redis.call('EXPIRE', KEYS[1], seconds)
return {request, redis.call('LLEN', KEYS[1])}
