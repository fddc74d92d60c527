#!lua flags=allow-oom
-- ARGV: id, run, stage, token, next stage, output, metrics. A stage has ended well. Returns 1, or 0 when fenced off.
local id, run, stage, token = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if not holds(id, run, stage, token) then
  -- The answer to this very write was lost on the way.
  return get(id, stage .. '.by')[1] == token and 1 or 0
end
release(id)
redis.call('HDEL', record_key(id), 'crashes')
set(id, 'found.' .. stage, ARGV[6], stage .. '.status', 'succeeded', stage .. '.ended_at', now, stage .. '.by', token)
wait_for(id, ARGV[5])
add_metrics(ARGV[7])
publish(id)
return 1
