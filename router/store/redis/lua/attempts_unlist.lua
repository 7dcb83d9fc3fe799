-- KEYS: times. ARGV: request id, name.
return {ARGV[1], redis.call('ZREM', KEYS[1], ARGV[2])}
