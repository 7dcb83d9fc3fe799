-- KEYS: the counter. ARGV: request id, seconds.
local count = redis.call('INCR', KEYS[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return {ARGV[1], count}
