-- KEYS: times. ARGV: request id, first and last place.
return {ARGV[1], redis.call('ZREVRANGE', KEYS[1], ARGV[2], ARGV[3])}
