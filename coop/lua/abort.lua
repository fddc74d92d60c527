#!lua flags=allow-oom
-- ARGV: id, run, status, body, message id, metrics. Ends a job over the head of whoever works on it: a cancellation,
-- or a job that killed its workers too often, or waited too long. Returns 1, or 0 when it has ended or moved on to another run.
local id = ARGV[1]
local job = get(id, 'status', 'run', 'stage')
if job[2] ~= ARGV[2] then return 0 end
local stage = job[3]
if job[1] ~= 'queued' and job[1] ~= 'running' then return 0 end
if get(id, stage .. '.attempts')[1] then set(id, stage .. '.status', 'failed', stage .. '.ended_at', now) end
-- A new run fences off whoever works on it; the worker learns it at its next renewal.
redis.call('HINCRBY', record_key(id), 'run', 1)
conclude(id, ARGV[3], ARGV[4], ARGV[5])
set(id, 'failed_stage', stage)
add_metrics(ARGV[6])
return 1
