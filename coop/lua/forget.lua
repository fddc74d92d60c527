#!lua flags=allow-oom
-- ARGV: older_than_ms, limit. Records that ended before that are removed with all that points at them. Returns how many.
local old = redis.call('ZRANGEBYSCORE', 'coop:ended', '-inf', ARGV[1], 'LIMIT', 0, tonumber(ARGV[2]))
local forgotten = 0
for _, id in ipairs(old) do
  local job = get(id, 'client', 'accepted_at', 'status', 'delivery_status')
  if job[4] == 'pending' then
    -- A callback is still owed; the record is looked at again after another retention.
    redis.call('ZADD', 'coop:ended', now, id)
  else
    release(id)
    if job[1] then index(id, job[1], job[2], job[3], nil) end
    redis.call('DEL', record_key(id), 'coop:artifact:' .. id .. ':audio', 'coop:artifact:' .. id .. ':extraction')
    redis.call('ZREM', 'coop:ended', id)
    forgotten = forgotten + 1
  end
end
return forgotten
