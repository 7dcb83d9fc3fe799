-- KEYS: lock. ARGV: request id, token.
if redis.call('GET', KEYS[1]) == ARGV[2] then redis.call('DEL', KEYS[1]) end
return {ARGV[1]}
