#!lua
-- ARGV: id, client, priority, fingerprint, max_queue, worker_alive_ms, not_after_ms, own_share, key of the webhook-id
-- that is spent with it (or ''), mark, seconds, list of its first message (or ''), message, SHA-1 of the client's
-- record that the caller goes by (or ''), then the job's fields and values.
-- Returns {'new', position, estimate, accepted_at, 1 if the message was sent}, {'replay', position, estimate, record},
-- {'conflict'}, {'full', waiting}, {'late'}, {'changed'} or {'spent'}.
local id, client, priority, fingerprint, max_queue = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local worker_alive_ms, not_after_ms, own_share = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local spent, mark, seconds, list, message, client_sha1 = ARGV[9], ARGV[10], ARGV[11], ARGV[12], ARGV[13], ARGV[14]
-- Redis was frozen meanwhile, and the caller has been told that nothing was accepted.
if now > not_after_ms then return {'late'} end
if client_sha1 ~= '' and redis.sha1hex(redis.call('HGET', 'coop:clients', client) or '') ~= client_sha1 then
  return {'changed'}
end
if spent ~= '' and not redis.call('SET', spent, mark, 'NX', 'EX', seconds) then
  -- The same call again, whose answer was lost on its way, has left its own mark.
  if redis.call('GET', spent) ~= mark then return {'spent'} end
end
local known = get(id, 'fingerprint', 'answer_position', 'answer_estimate')
if known[1] then
  if known[1] ~= fingerprint then return {'conflict'} end
  return {'replay', tonumber(known[2]), tonumber(known[3]), redis.call('HGETALL', record_key(id))}
end
local queued = redis.call('ZCARD', 'coop:jobs:all:queued')
-- A client that has few jobs waiting is let in all the same: others cannot fill the queue against it.
local own = 'coop:jobs:client:' .. client .. ':queued'
if queued >= max_queue and redis.call('ZCARD', own) >= own_share then return {'full', queued} end

local ahead = 0
for _, each in ipairs({'high', 'normal', 'low'}) do
  ahead = ahead + redis.call('ZCARD', waiting_key('metadata', each))
  if each == priority then break end
end
-- How long it may take: the jobs ahead shared out over the fleet's slots, at the mean time of recent jobs.
local slots = 0
local load = redis.call('HGETALL', 'coop:slots')
for i = 1, #load, 2 do
  if tonumber(redis.call('ZSCORE', 'coop:workers', load[i]) or 0) >= now - worker_alive_ms then
    slots = slots + tonumber(string.match(load[i + 1], '%d+'))
  end
end
local mean_ms = tonumber(redis.call('GET', 'coop:mean_job_ms') or 30000)
local estimate = math.ceil((ahead / math.max(slots, 1) + 1) * mean_ms / 1000)
set(id, 'id', id, 'client', client, 'priority', priority, 'fingerprint', fingerprint, 'accepted_at', now,
  'status', 'queued', 'stage', 'metadata', 'run', 1, 'answer_position', ahead, 'answer_estimate', estimate,
  unpack(ARGV, 15))
index(id, client, now, nil, 'queued')
redis.call('ZADD', waiting_key('metadata', priority), now, id)
-- The job is kept already: a message that cannot be sent is left to the reaper.
local sent = list ~= '' and type(redis.pcall('LPUSH', list, message)) == 'number'
publish(id)
return {'new', ahead, estimate, now, sent and 1 or 0}
