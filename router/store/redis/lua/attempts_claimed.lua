-- KEYS: claimed. ARGV: request id, cursor, how many.
-- A page of it, and which server told it.
-- include: run_id
local request, cursor, count = unpack(ARGV)
return {request, run_id(), redis.call('SSCAN', KEYS[1], cursor, 'COUNT', count)}
