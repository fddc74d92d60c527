#!lua
-- ARGV: id, fingerprint, max_queue, worker_alive_ms, not_after_ms, own_share, then the record's fields and values.
-- Returns {'new' | 'replay', position, estimate, record} or {'conflict'}, {'full', waiting}, {'late'}.
local id, fingerprint, max_queue = ARGV[1], ARGV[2], tonumber(ARGV[3])
local known = get(id, 'fingerprint', 'answer_position', 'answer_estimate')
if known[1] then
  if known[1] ~= fingerprint then return {'conflict'} end
  return {'replay', tonumber(known[2]), tonumber(known[3]), redis.call('HGETALL', record_key(id))}
end
-- Redis was frozen meanwhile, and the caller has been told that nothing was accepted.
if now > tonumber(ARGV[5]) then return {'late'} end
local queued = redis.call('ZCARD', 'coop:jobs:all:queued')
-- A client that has few jobs waiting is let in all the same: others cannot fill the queue against it.
local own = 'coop:jobs:client:' .. string.match(id, '^[^:]*') .. ':queued'
if queued >= max_queue and redis.call('ZCARD', own) >= tonumber(ARGV[6]) then return {'full', queued} end

local fields = {}
for i = 7, #ARGV do fields[#fields + 1] = ARGV[i] end
set(id, unpack(fields))
local job = get(id, 'client', 'priority')
local ahead = 0
for _, priority in ipairs({'high', 'normal', 'low'}) do
  ahead = ahead + redis.call('ZCARD', waiting_key('metadata', priority))
  if priority == job[2] then break end
end
-- How long it may take: the jobs ahead shared out over the fleet's slots, at the mean time of recent jobs.
local slots = 0
local load = redis.call('HGETALL', 'coop:slots')
for i = 1, #load, 2 do
  if tonumber(redis.call('ZSCORE', 'coop:workers', load[i]) or 0) >= now - tonumber(ARGV[4]) then
    slots = slots + tonumber(string.match(load[i + 1], '%d+'))
  end
end
local mean_ms = tonumber(redis.call('GET', 'coop:mean_job_ms') or 30000)
local estimate = math.ceil((ahead / math.max(slots, 1) + 1) * mean_ms / 1000)
set(id, 'accepted_at', now, 'status', 'queued', 'run', 1, 'answer_position', ahead, 'answer_estimate', estimate)
index(id, job[1], now, nil, 'queued')
wait_for(id, 'metadata')
publish(id)
return {'new', ahead, estimate, redis.call('HGETALL', record_key(id))}
