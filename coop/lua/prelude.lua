-- What every transition of a job shares. Each script is one atomic step; all times are Redis' own clock.
-- The record of a job is the hash coop:job:{id}; everything else here is an index that the same step keeps true.
--
-- Every script's first line declares it (`#!lua`), so Redis refuses it as a whole, before its first command, when it is
-- out of memory, a read-only replica or unable to write its disk: Lua that fails half way is not rolled back. Scripts
-- that bring work in flight to its end may go on above maxmemory (`allow-oom`); they need little and free much.

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local now = now_ms()

local function record_key(id) return 'coop:job:' .. id end
local function waiting_key(stage, priority) return 'coop:waiting:' .. stage .. ':' .. priority end
local function leases_key(stage) return 'coop:leases:' .. stage end

local function get(id, ...) return redis.call('HMGET', record_key(id), ...) end
local function set(id, ...) redis.call('HSET', record_key(id), ...) end

-- Gateways wake whoever watches this job.
local function publish(id) redis.call('PUBLISH', 'coop:changes', id) end

-- `increments`: JSON object, field of the hash coop:metrics -> how much to add.
local function add_metrics(increments)
  if increments == '' then return end
  for field, amount in pairs(cjson.decode(increments)) do
    redis.call('HINCRBYFLOAT', 'coop:metrics', field, tostring(amount))
  end
end

-- The lists by status, of everybody and of the job's client.
local function index(id, client, accepted_at, old, new)
  for _, owner in ipairs({'all', 'client:' .. client}) do
    if old then redis.call('ZREM', 'coop:jobs:' .. owner .. ':' .. old, id) end
    if new then redis.call('ZADD', 'coop:jobs:' .. owner .. ':' .. new, accepted_at, id) end
  end
end

local function move(id, new)
  local job = get(id, 'client', 'accepted_at', 'status')
  if job[3] ~= new then
    index(id, job[1], job[2], job[3], new)
    set(id, 'status', new)
  end
end

-- A message for `stage` is about to be sent: the job waits until a worker claims it.
local function wait_for(id, stage)
  redis.call('ZADD', waiting_key(stage, get(id, 'priority')[1]), now, id)
  set(id, 'stage', stage)
end

-- Nobody works on the job and nothing is planned for it.
local function release(id)
  local job = get(id, 'stage', 'priority')
  if job[1] then
    redis.call('ZREM', leases_key(job[1]), id)
    redis.call('ZREM', waiting_key(job[1], job[2]), id)
  end
  redis.call('ZREM', 'coop:due', id)
  redis.call('HDEL', record_key(id), 'lease', 'next_attempt_at')
end

-- Where a job goes on: audio lives for hours only, and without it transcription needs the download again.
local function resume(id, stage)
  if stage == 'transcribe' and redis.call('EXISTS', 'coop:artifact:' .. id .. ':audio') == 0 then
    stage = 'download'
    redis.call('HDEL', record_key(id), 'download.status', 'download.ended_at', 'download.by')
  end
  wait_for(id, stage)
end

-- What a failed attempt was paid for all the same, as lines of JSON.
local function add_spent(id, lines)
  if lines ~= '' then set(id, 'spent', (get(id, 'spent')[1] or '') .. lines) end
end

-- Fencing: only the holder of the present lease of the present run may write.
local function holds(id, run, stage, token)
  local job = get(id, 'run', 'stage', 'lease')
  return job[1] == run and job[2] == stage and job[3] == token
end

-- The job is over: its outcome is written once and the delivery, if there is one, begins.
local function conclude(id, status, body, message_id)
  release(id)
  local callback_url = get(id, 'callback_url')[1]
  move(id, status)
  set(id, 'outcome', body, 'ended_at', now, 'delivery_id', message_id, 'delivery_tries', 0)
  redis.call('HDEL', record_key(id), 'crashes')
  redis.call('ZADD', 'coop:ended', now, id)
  redis.call('DEL', 'coop:artifact:' .. id .. ':audio', 'coop:artifact:' .. id .. ':extraction')
  if callback_url and callback_url ~= '' then
    set(id, 'delivery_status', 'pending')
    wait_for(id, 'deliver')
  else
    set(id, 'delivery_status', 'none', 'stage', '', 'deliver.status', 'skipped')
  end
  publish(id)
end
