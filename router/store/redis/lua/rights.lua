-- KEYS: any key below the prefix. ARGV: request id, commands with their arguments as JSON (a list of lists).
-- Which of them the user may not give, by their place in the list; none of them is given. Redis tells it since 7.0.
local request, commands = ARGV[1], cjson.decode(ARGV[2])
if not redis.acl_check_cmd then return {request, 'untold'} end
local refused = {}
for place, words in ipairs(commands) do
  local known, allowed = pcall(redis.acl_check_cmd, unpack(words))
  if not (known and allowed) then refused[#refused + 1] = place end
end
return {request, 'told', refused}
