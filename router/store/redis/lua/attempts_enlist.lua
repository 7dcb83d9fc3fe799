-- KEYS: calls, attempts. ARGV: request id, what the lists' keys begin with, seconds, epoch and seq up to which all is
-- listed with these (none: not yet), bodies...
-- Lists attempts wherever they come from, some of them again.
-- include: enlist
local request, prefix, seconds, epoch, seq = unpack(ARGV, 1, 5)
for place = 6, #ARGV do enlist(KEYS[2], prefix, ARGV[place], seconds) end
local its_epoch, last, listed = unpack(redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'listed'))
if epoch ~= '' and its_epoch == epoch then
  local of_epoch, up_to = string.match(listed or '', '^(.*):(%d+)$')
  -- Another router may have come further. Beyond the last seq nobody has: that was another history.
  if of_epoch ~= epoch or tonumber(up_to) < tonumber(seq) or tonumber(up_to) > tonumber(last) then
    redis.call('HSET', KEYS[1], 'listed', epoch .. ':' .. seq)
  end
end
return {request}
