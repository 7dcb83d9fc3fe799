-- KEYS: meta, changes, rows... ARGV: request id, version, how many.
-- The commits from a version on.
-- include: state
local request, version, count = unpack(ARGV)
return {request, state(3), redis.call('XRANGE', KEYS[2], version .. '-0', '+', 'COUNT', count)}
