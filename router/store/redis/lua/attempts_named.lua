-- KEYS: attempts. ARGV: request id, names...
local found = {}
for place = 2, #ARGV do found[place - 1] = redis.call('HGET', KEYS[1], ARGV[place]) end
return {ARGV[1], found}
