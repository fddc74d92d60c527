#!lua
-- ARGV: id. The same message is sent again from the beginning of the time table. Returns 1, or 0 when there is none.
local id = ARGV[1]
local job = get(id, 'outcome', 'callback_url')
if not job[1] or not job[2] or job[2] == '' then return 0 end
release(id)
redis.call('HINCRBY', record_key(id), 'run', 1)
set(id, 'delivery_status', 'pending', 'delivery_tries', 0)
wait_for(id, 'deliver')
publish(id)
return 1
