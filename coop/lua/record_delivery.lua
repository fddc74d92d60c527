#!lua flags=allow-oom
-- ARGV: id, run, token, attempt (JSON), delivery status, delay_ms, metrics. One POST to the callback was tried.
-- Returns 1, or 0 when fenced off.
local id, run, token, status = ARGV[1], ARGV[2], ARGV[3], ARGV[5]
if not holds(id, run, 'deliver', token) then
  return get(id, 'deliver.by')[1] == token and 1 or 0
end
release(id)
redis.call('HDEL', record_key(id), 'crashes')
local attempts = get(id, 'delivery_attempts')[1]
set(id, 'delivery_attempts', attempts and (attempts .. '\n' .. ARGV[4]) or ARGV[4], 'delivery_status', status,
  'deliver.by', token, 'deliver.ended_at', now)
redis.call('HINCRBY', record_key(id), 'delivery_tries', 1)
if status == 'pending' then
  local at = now + tonumber(ARGV[6])
  redis.call('ZADD', 'coop:due', at, id)
  set(id, 'next_attempt_at', at, 'deliver.status', 'retrying')
else
  set(id, 'stage', '', 'deliver.status', status == 'delivered' and 'succeeded' or 'failed')
end
add_metrics(ARGV[7])
publish(id)
return 1
