-- KEYS: meta, lock, rows... ARGV: request id, token, milliseconds.
-- Takes the lock, or holds on to it.
-- include: state
local request, token, milliseconds = unpack(ARGV)
local mine = redis.call('GET', KEYS[2]) == token
if mine then redis.call('PEXPIRE', KEYS[2], milliseconds)
elseif redis.call('SET', KEYS[2], token, 'NX', 'PX', milliseconds) then mine = true end
if not mine then return {request, 'held'} end
return {request, 'mine', unpack(state(3))}
