#!lua flags=allow-oom
-- ARGV: id, run, stage, token, delay_ms, error, failures, metrics, spent. The stage failed and is tried again later, by
-- anybody.
-- Returns 1, or 0 when fenced off.
local id, run, stage, token = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if not holds(id, run, stage, token) then
  return get(id, stage .. '.by')[1] == token and 1 or 0
end
release(id)
redis.call('HINCRBY', record_key(id), stage .. '.failures', ARGV[7])
set(id, stage .. '.status', 'retrying', stage .. '.ended_at', now, stage .. '.by', token, stage .. '.error', ARGV[6])
redis.call('ZADD', 'coop:due', now + tonumber(ARGV[5]), id)
add_metrics(ARGV[8])
add_spent(id, ARGV[9])
publish(id)
return 1
