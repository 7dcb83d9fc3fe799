-- Puts an attempt into the lists of its number, its subscriber and its campaign, if it is still there. The keys of the
-- lists begin with `prefix`. Those of subscribers are many: one that nothing comes into for so many seconds goes.
local function enlist(attempts, prefix, body, seconds)
  local told = cjson.decode(body)
  local name = told.number .. ' ' .. told.subscriber .. ' ' .. told.id
  if redis.call('HEXISTS', attempts, name) == 0 then return end
  local of_subscriber = prefix .. 'subscriber:' .. told.subscriber
  redis.call('ZADD', prefix .. 'number:' .. told.number, told.at, name)
  redis.call('ZADD', of_subscriber, told.at, name)
  redis.call('ZADD', prefix .. 'campaign:' .. told.campaign, told.at, name)
  redis.call('EXPIRE', of_subscriber, seconds)
end
