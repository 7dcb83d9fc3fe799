-- What meta (KEYS[1]) says of the rows holds where `counted` names the place that they have come to. A version that does
-- not know of it leaves it behind when it writes.
local function is_counted(applied, chunk)
  return redis.call('HGET', KEYS[1], 'counted') == applied .. ':' .. chunk
end

-- A part of the digest of a kind, which is the sum of its rows: 48 bits, so that a number holds it to the last bit.
local digest_end, hashed, part_of = 2 ^ 48, redis.sha1hex, string.sub
local function digest(key, body)
  return tonumber(part_of(hashed(key .. '\0' .. body), 1, 12), 16)
end

-- Puts a chunk into the rows, whose keys follow the first so many, and notes in meta what they are from then on.
local function put(packed, first, applied, chunk, applied_then, chunk_then)
  local counts = is_counted(applied, chunk)
  local sums = {}
  for _, row in ipairs(cmsgpack.unpack(packed)) do
    local kind, key, body = row[1], row[2], row[3]
    local rows = KEYS[first + kind]
    if counts then
      local sum = sums[kind] or {0, 0}
      sums[kind] = sum
      local old = redis.call('HGET', rows, key)
      if old then sum[1], sum[2] = sum[1] - 1, (sum[2] - digest(key, old)) % digest_end end
      if body then sum[1], sum[2] = sum[1] + 1, (sum[2] + digest(key, body)) % digest_end end
    end
    if body then redis.call('HSET', rows, key, body) else redis.call('HDEL', rows, key) end
  end
  for kind, sum in pairs(sums) do
    redis.call('HINCRBY', KEYS[1], 'count:' .. kind, sum[1])
    local before = tonumber(redis.call('HGET', KEYS[1], 'digest:' .. kind) or 0)
    redis.call('HSET', KEYS[1], 'digest:' .. kind, string.format('%.0f', (before + sum[2]) % digest_end))
  end
  redis.call('HSET', KEYS[1], 'applied', applied_then, 'chunk', chunk_then)
  if counts then redis.call('HSET', KEYS[1], 'counted', applied_then .. ':' .. chunk_then) end
end
