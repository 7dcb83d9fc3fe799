-- Where the data set stands, and what it says of its rows: for each kind how many there are, their digest, and whether
-- their key is there. KEYS[1] is its meta, those from `first` on are its rows.
local function state(first)
  local found = redis.call('HMGET', KEYS[1], 'version', 'head', 'applied', 'chunk', 'epoch', 'schema', 'counted')
  for place = first, #KEYS do
    local kind = place - first + 1
    local sum = redis.call('HMGET', KEYS[1], 'count:' .. kind, 'digest:' .. kind)
    found[#found + 1] = sum[1]
    found[#found + 1] = sum[2]
    found[#found + 1] = redis.call('EXISTS', KEYS[place])
  end
  return found
end
