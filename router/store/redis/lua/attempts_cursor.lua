-- KEYS: calls, news. ARGV: request id, a new epoch, or nothing.
-- Where the stream of attempts stands. What of an older epoch is left in it would be in its way.
local request, made = unpack(ARGV)
if made ~= '' and redis.call('HEXISTS', KEYS[1], 'epoch') == 0 then
  redis.call('DEL', KEYS[2])
  redis.call('HSET', KEYS[1], 'epoch', made, 'seq', 0)
end
local epoch, seq, head = unpack(redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'head'))
return {request, epoch or '', seq or 0, head or ''}
