-- KEYS: calls, attempts, news. ARGV: request id, what the lists' keys begin with, seconds, how many.
-- Lists what the stream has since the last time. Whether the lists are whole then; more: not yet; lost: the stream does
-- not reach back so far.
-- include: enlist
local request, prefix, seconds, count = unpack(ARGV)
local epoch, seq, listed = unpack(redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'listed'))
if not epoch then return {request, redis.call('EXISTS', KEYS[2]) == 0 and 'whole' or 'lost'} end
local its_epoch, its_seq = string.match(listed or '', '^(.*):(%d+)$')
if its_epoch ~= epoch then return {request, 'lost'} end
local at, last = tonumber(its_seq), tonumber(seq)
if at == last then return {request, 'whole'} end
local found = redis.call('XRANGE', KEYS[3], string.format('%.0f-0', at + 1), '+', 'COUNT', count)
if #found == 0 then return {request, 'lost'} end
for _, entry in ipairs(found) do
  if tonumber(string.match(entry[1], '^%d+')) ~= at + 1 then return {request, 'lost'} end
  at = at + 1
  if entry[2][2] ~= '' then enlist(KEYS[2], prefix, entry[2][2], seconds) end
end
redis.call('HSET', KEYS[1], 'listed', string.format('%s:%.0f', epoch, at))
return {request, at == last and 'whole' or 'more'}
