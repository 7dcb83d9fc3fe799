-- KEYS: any key below the prefix. ARGV: request id.
-- Whether what its server is given is written to a log on disk (appendonly): 1 or 0.
return {ARGV[1], string.match(redis.call('INFO', 'persistence'), 'aof_enabled:(%d)')}
