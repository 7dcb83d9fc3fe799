-- Where the data set stands; KEYS[1] is its meta.
local function state()
  return redis.call('HMGET', KEYS[1], 'version', 'head', 'applied', 'chunk', 'epoch', 'schema')
end
