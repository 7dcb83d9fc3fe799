-- KEYS: a hash. ARGV: request id, cursor, about how many.
-- A cursor is good for one server only, so it tells which one it was.
-- include: run_id
local request, cursor, count = unpack(ARGV)
return {request, run_id(), redis.call('HSCAN', KEYS[1], cursor, 'COUNT', count)}
