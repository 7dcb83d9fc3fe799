-- Puts a chunk into the rows, whose keys follow the first so many.
local function put(packed, first)
  for _, row in ipairs(cmsgpack.unpack(packed)) do
    if row[3] then redis.call('HSET', KEYS[first + row[1]], row[2], row[3])
    else redis.call('HDEL', KEYS[first + row[1]], row[2]) end
  end
end
