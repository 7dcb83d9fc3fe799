-- KEYS: meta, log, rows... ARGV: request id, version, chunk.
-- Puts one chunk into the rows, if it is its turn.
-- include: put
local request, version, place = unpack(ARGV)
local applied, chunk = unpack(redis.call('HMGET', KEYS[1], 'applied', 'chunk'))
if tonumber(applied) ~= tonumber(version) - 1 or chunk ~= place then return {request, 'moved'} end
local packed = redis.call('LINDEX', KEYS[2], chunk)
if not packed then return {request, 'missing'} end
put(packed, 2)
if chunk + 1 < redis.call('LLEN', KEYS[2]) then
  redis.call('HSET', KEYS[1], 'chunk', chunk + 1)
  return {request, 'more'}
end
redis.call('HSET', KEYS[1], 'chunk', 0, 'applied', version)
return {request, 'done'}
