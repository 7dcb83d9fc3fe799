-- KEYS: meta. ARGV: request id.
-- What its server does when it has no memory left.
local told = redis.call('INFO', 'memory')
return {ARGV[1], string.match(told, 'maxmemory:(%d+)'), string.match(told, 'maxmemory_policy:(%S+)')}
