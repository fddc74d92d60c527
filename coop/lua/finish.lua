#!lua flags=allow-oom
-- ARGV: id, run, stage, token, status, body, message id, stage status, output, metrics, spent.
-- The job's last word, by the holder of its lease. Returns 1, or 0 when fenced off.
local id, run, stage, token, status = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if not holds(id, run, stage, token) then
  return get(id, stage .. '.by')[1] == token and 1 or 0
end
if ARGV[9] ~= '' then set(id, 'found.' .. stage, ARGV[9]) end
set(id, stage .. '.status', ARGV[8], stage .. '.ended_at', now, stage .. '.by', token)
conclude(id, status, ARGV[6], ARGV[7])
if status == 'succeeded' then
  -- The mean that acceptance answers are made of follows the last twenty jobs or so.
  -- A job that was driven again did nothing in between.
  local began = get(id, 'started_at', 'restarted_at')
  local took = now - tonumber(began[2] or began[1])
  local mean = tonumber(redis.call('GET', 'coop:mean_job_ms') or took)
  redis.call('SET', 'coop:mean_job_ms', math.floor(mean + (took - mean) / 20))
else
  set(id, 'failed_stage', stage)
end
add_metrics(ARGV[10])
add_spent(id, ARGV[11])
return 1
