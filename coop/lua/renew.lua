#!lua flags=allow-oom
-- ARGV: lease_ms, then id, run, stage, token of each lease. Returns the tokens that are no longer held.
local lost = {}
for i = 2, #ARGV, 4 do
  local id, stage, token = ARGV[i], ARGV[i + 2], ARGV[i + 3]
  if holds(id, ARGV[i + 1], stage, token) then
    redis.call('ZADD', leases_key(stage), now + tonumber(ARGV[1]), id)
  else
    lost[#lost + 1] = token
  end
end
return lost
