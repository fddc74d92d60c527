#!lua flags=allow-oom
-- ARGV: id, run, stage, token, machine, lease_ms. Returns {'claimed', now, record} or {'refused', why}.
local id, run, stage, token = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local job = get(id, 'run', 'stage', 'lease', stage .. '.status', 'status', 'priority')
if not job[1] then return {'refused', 'unknown'} end
if job[1] ~= run then return {'refused', 'stale'} end
if job[3] then
  -- A claim whose answer was lost comes again with its own token.
  if job[3] ~= token then return {'refused', 'running'} end
  return {'claimed', now, redis.call('HGETALL', record_key(id))}
end
if job[2] ~= stage then
  local passed = job[4] == 'succeeded' or job[4] == 'skipped'
  return {'refused', passed and 'done' or 'elsewhere'}
end
redis.call('ZREM', waiting_key(stage, job[6]), id)
redis.call('ZREM', 'coop:due', id)
redis.call('ZADD', leases_key(stage), now + tonumber(ARGV[6]), id)
if job[5] == 'queued' then move(id, 'running') end
redis.call('HSETNX', record_key(id), 'started_at', now)
redis.call('HINCRBY', record_key(id), stage .. '.attempts', 1)
redis.call('HDEL', record_key(id), stage .. '.ended_at', 'next_attempt_at')
set(id, 'lease', token, 'machine', ARGV[5], stage .. '.status', 'running', stage .. '.started_at', now,
  stage .. '.machine', ARGV[5])
publish(id)
return {'claimed', now, redis.call('HGETALL', record_key(id))}
