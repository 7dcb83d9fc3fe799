-- KEYS: pair, claimed, calls, news. ARGV: request id, call, rev, claim, used_at, name of the attempt, seconds, a new rev,
-- how many claims, stream entries to keep.
-- One that consumes nothing does not change rev: what it found stays as it was; nor is it kept beyond so many. One that
-- consumes an entitlement comes into the stream too, so that a master that has lost it is found out. Of two routers that
-- are asked by one call at once, one has given it the entitlement.
-- A rev is random: on a master that lost the last writes a count would soon be the same again, and mean something else.
local request, call, rev, claim, used_at, name, seconds, new_rev, claims_max, keep = unpack(ARGV)
local known = redis.call('HGET', KEYS[1], 'c:' .. call)
local mine = used_at == '' or redis.call('HGET', KEYS[1], 'rev') == new_rev
if known then return {request, known == claim and mine and 'done' or 'known'} end
if (redis.call('HGET', KEYS[1], 'rev') or '0') ~= rev then return {request, 'moved'} end
if name ~= '' then redis.call('SADD', KEYS[2], name) end
local kept = tonumber(redis.call('HGET', KEYS[1], 'claims') or '0')
if used_at == '' and kept >= tonumber(claims_max) then return {request, 'done'} end
redis.call('HSET', KEYS[1], 'c:' .. call, claim, 'claims', kept + 1)
if used_at ~= '' then
  local before = redis.call('HGET', KEYS[1], 'used_at')
  if not before or tonumber(before) < tonumber(used_at) then redis.call('HSET', KEYS[1], 'used_at', used_at) end
  redis.call('HSET', KEYS[1], 'rev', new_rev)
  if redis.call('HEXISTS', KEYS[3], 'epoch') == 1 then
    local seq = redis.call('HINCRBY', KEYS[3], 'seq', 1)
    redis.call('HSET', KEYS[3], 'head', new_rev)
    redis.call('XADD', KEYS[4], 'MAXLEN', '~', keep, seq .. '-0', 'claim', '', 'id', new_rev)
  end
end
redis.call('EXPIRE', KEYS[1], seconds)
return {request, 'done'}
