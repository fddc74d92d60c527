#!lua
-- ARGV: id. A failed or cancelled job starts again at the stage that did not end well. Returns 1, or 0 when it may not.
local id = ARGV[1]
local job = get(id, 'status', 'failed_stage')
if (job[1] ~= 'failed' and job[1] ~= 'cancelled') or not job[2] then return 0 end
release(id)
redis.call('HINCRBY', record_key(id), 'run', 1)
redis.call('HDEL', record_key(id), 'outcome', 'ended_at', 'crashes', 'failed_stage', 'delivery_status', 'delivery_id',
  'delivery_tries', job[2] .. '.failures', job[2] .. '.ended_at', job[2] .. '.status', 'deliver.status',
  'deliver.started_at', 'deliver.ended_at')
redis.call('ZREM', 'coop:ended', id)
set(id, 'restarted_at', now)
move(id, 'queued')
resume(id, job[2])
publish(id)
return 1
