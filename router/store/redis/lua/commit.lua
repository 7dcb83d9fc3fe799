-- KEYS: meta, lock, changes, log, rows... ARGV: request id, token, version, head, id, chunks sent ahead, rows, last
-- chunk, the id of the commit that it follows on, and for each kind how many rows there are and their digest, where they
-- were counted anew. Where that chunk is the only one, it is put into the rows right away.
-- include: put
local request, token, begin_version, begin_head, id, staged, rows, chunk, before = unpack(ARGV, 1, 9)
local version, head, applied, kept = unpack(redis.call('HMGET', KEYS[1], 'version', 'head', 'applied', 'kept'))
if head == id then return {request, 'done', version, applied, kept, redis.call('XLEN', KEYS[3])} end
if redis.call('GET', KEYS[2]) ~= token then return {request, 'lost'} end
if version ~= begin_version or head ~= begin_head then return {request, 'moved'} end
if redis.call('LLEN', KEYS[4]) ~= tonumber(staged) then return {request, 'lost'} end
local anew = #ARGV > 9
if not anew and is_counted(applied, '0') then
  for place = 5, #KEYS do
    local count = tonumber(redis.call('HGET', KEYS[1], 'count:' .. place - 4) or 0)
    if count > 0 and redis.call('EXISTS', KEYS[place]) == 0 then return {request, 'gone'} end
  end
end
local new = string.format('%.0f', tonumber(version) + 1)
-- The first write is the one that may be refused: of a script that fails, what came before it stays done.
redis.call('XADD', KEYS[3], new .. '-0', 'id', id, 'before', before, 'rows', rows)
redis.call('RPUSH', KEYS[4], chunk)
redis.call('PERSIST', KEYS[4])
redis.call('HSET', KEYS[1], 'version', new, 'head', id)
kept = redis.call('HINCRBY', KEYS[1], 'kept', rows)
if anew and applied == version then
  for place = 10, #ARGV, 2 do
    local kind = (place - 8) / 2
    redis.call('HSET', KEYS[1], 'count:' .. kind, ARGV[place], 'digest:' .. kind, ARGV[place + 1])
  end
  redis.call('HSET', KEYS[1], 'counted', applied .. ':0')
end
if staged == '0' and applied == version then
  put(chunk, 4, applied, '0', new, '0')
  applied = new
end
return {request, 'done', new, applied, kept, redis.call('XLEN', KEYS[3])}
