-- KEYS: calls, attempts. ARGV: request id, what the lists' keys begin with, seconds, epoch and seq up to which all is
-- listed with these (none: not yet), bodies...
-- Lists attempts wherever they come from, some of them again.
-- include: enlist
local request, prefix, seconds, epoch, seq = unpack(ARGV, 1, 5)
for place = 6, #ARGV do enlist(KEYS[2], prefix, ARGV[place], seconds) end
if epoch ~= '' and redis.call('HGET', KEYS[1], 'epoch') == epoch then
  local its_epoch, its_seq = string.match(redis.call('HGET', KEYS[1], 'listed') or '', '^(.*):(%d+)$')
  if its_epoch ~= epoch or tonumber(its_seq) < tonumber(seq) then
    redis.call('HSET', KEYS[1], 'listed', epoch .. ':' .. seq)
  end
end
return {request}
