-- KEYS: meta, changes. ARGV: request id, log's prefix, rows, commits, seconds, at once.
-- Lets go of the oldest commits' rows, beyond so many rows or commits; not of one that is not in the rows yet. The
-- newest entry stays: by it those go on who have come to the one before.
local request, log, rows_max, commits_max, seconds, at_once = unpack(ARGV)
local kept, applied, version = unpack(redis.call('HMGET', KEYS[1], 'kept', 'applied', 'version'))
kept = tonumber(kept)
local length = redis.call('XLEN', KEYS[2])
for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', at_once)) do
  local number = tonumber(string.match(entry[1], '^%d+'))
  if (kept <= tonumber(rows_max) and length <= tonumber(commits_max)) or number > tonumber(applied) then break end
  if number == tonumber(version) then break end
  kept = kept - tonumber(entry[2][6])
  length = length - 1
  redis.call('EXPIRE', log .. entry[2][2], seconds)
  redis.call('XDEL', KEYS[2], entry[1])
end
redis.call('HSET', KEYS[1], 'kept', kept)
return {request, length}
