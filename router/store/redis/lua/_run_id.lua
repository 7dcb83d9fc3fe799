-- Which server this is: the data set may move to another one.
local function run_id()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
end
