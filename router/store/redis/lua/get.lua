-- KEYS: rows. ARGV: request id, key.
return {ARGV[1], redis.call('HGET', KEYS[1], ARGV[2])}
