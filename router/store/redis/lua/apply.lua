-- KEYS: meta, log, rows... ARGV: request id, version, chunk.
-- Puts one chunk into the rows, if it is its turn.
-- include: put
local request, version, place = unpack(ARGV)
local applied, chunk = unpack(redis.call('HMGET', KEYS[1], 'applied', 'chunk'))
if tonumber(applied) ~= tonumber(version) - 1 or chunk ~= place then return {request, 'moved'} end
local packed = redis.call('LINDEX', KEYS[2], chunk)
if not packed then return {request, 'missing'} end
if chunk + 1 < redis.call('LLEN', KEYS[2]) then
  put(packed, 2, applied, chunk, applied, string.format('%.0f', chunk + 1))
  return {request, 'more'}
end
put(packed, 2, applied, chunk, version, '0')
return {request, 'done'}
