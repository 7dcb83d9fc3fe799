-- KEYS: times. ARGV: request id, from, until, place, how many.
-- Each name with its moment.
local request, first, last, place, count = unpack(ARGV)
return {request, redis.call('ZRANGEBYSCORE', KEYS[1], first, '(' .. last, 'WITHSCORES', 'LIMIT', place, count)}
