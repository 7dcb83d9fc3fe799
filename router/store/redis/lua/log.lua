-- KEYS: log. ARGV: request id, first chunk, last chunk.
return {ARGV[1], redis.call('LRANGE', KEYS[1], ARGV[2], ARGV[3])}
