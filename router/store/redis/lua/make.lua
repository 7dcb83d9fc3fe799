-- KEYS: meta, changes, rows... ARGV: request id, epoch, schema.
-- Makes an empty data set where there is nothing at all.
-- include: state
local request, epoch, schema = unpack(ARGV)
if redis.call('EXISTS', KEYS[1]) == 0 then
  for place = 2, #KEYS do
    if redis.call('EXISTS', KEYS[place]) == 1 then return {request, 'rest'} end
  end
  redis.call('HSET', KEYS[1], 'version', 0, 'head', epoch, 'applied', 0, 'chunk', 0, 'epoch', epoch,
    'kept', 0, 'schema', schema, 'counted', '0:0')
  for place = 3, #KEYS do redis.call('HSET', KEYS[1], 'count:' .. place - 2, 0, 'digest:' .. place - 2, 0) end
end
return {request, 'ok', unpack(state(3))}
