#!lua flags=allow-oom
-- ARGV: id, run, why ('due' | 'crashed' | 'lost'). The job goes on in a new run, for which the caller sends messages.
-- Returns {run, crashes} of the new run, or {} when the job has moved on meanwhile.
local id, why = ARGV[1], ARGV[3]
local job = get(id, 'run', 'stage', 'priority', 'lease')
if job[1] ~= ARGV[2] or not job[2] or job[2] == '' then return {} end
local stage = job[2]
local waits = redis.call('ZSCORE', waiting_key(stage, job[3]), id)
local due = redis.call('ZSCORE', 'coop:due', id)
local lease_end = redis.call('ZSCORE', leases_key(stage), id)
if why == 'due' and not (due and tonumber(due) <= now) then return {} end
if why == 'crashed' and not (lease_end and tonumber(lease_end) <= now) then return {} end
if why == 'lost' and not waits then return {} end
release(id)
local run = redis.call('HINCRBY', record_key(id), 'run', 1)
local crashes = tonumber(get(id, 'crashes')[1] or 0)
if why == 'crashed' then
  crashes = redis.call('HINCRBY', record_key(id), 'crashes', 1)
  set(id, stage .. '.status', 'retrying')
end
resume(id, stage)
publish(id)
return {run, crashes}
