-- KEYS: calls, news. ARGV: request id, epoch, seq, the id of that entry, how many.
-- Bodies (of a claim: none), and the id of the last one. Not ok: where the stream does not go on from there; another id
-- under the same number is another history's, such as a new master's.
local request, its_epoch, its_seq, id, count = unpack(ARGV)
local epoch, seq, head = unpack(redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'head'))
local known = tonumber(its_seq)
if epoch ~= its_epoch or tonumber(seq) < known then return {request, 'lost', {}, id} end
if tonumber(seq) == known then return {request, (head or '') == id and 'ok' or 'lost', {}, id} end
local bodies, at = {}, known == 0 and 0 or -1
for _, entry in ipairs(redis.call('XRANGE', KEYS[2], its_seq .. '-0', '+', 'COUNT', count - at)) do
  at = at + 1
  if tonumber(string.match(entry[1], '^%d+')) ~= known + at then return {request, 'lost', {}, id} end
  if at == 0 and (entry[2][4] or '') ~= id then return {request, 'lost', {}, id} end
  if at > 0 then bodies[at], head = entry[2][2], entry[2][4] or '' end
end
if #bodies == 0 then return {request, 'lost', {}, id} end
return {request, 'ok', bodies, head}
