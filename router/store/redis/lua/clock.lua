-- KEYS: times. ARGV: request id.
-- The server's clock in microseconds, where it tells it.
return {ARGV[1], string.match(redis.call('INFO', 'server'), 'server_time_usec:(%d+)')}
