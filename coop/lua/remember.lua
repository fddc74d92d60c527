#!lua
-- ARGV: key, found (JSON), seconds, most. Keep a result for so long, and the newest `most` of all in all.
local key, seconds = 'coop:result:' .. ARGV[1], tonumber(ARGV[3])
redis.call('SET', key, ARGV[2], 'EX', seconds)
redis.call('ZADD', 'coop:results', now, key)
redis.call('ZREMRANGEBYSCORE', 'coop:results', '-inf', now - seconds * 1000)
local excess = redis.call('ZCARD', 'coop:results') - tonumber(ARGV[4])
if excess > 0 then
  local oldest = redis.call('ZPOPMIN', 'coop:results', excess)
  for i = 1, #oldest, 2 do redis.call('DEL', oldest[i]) end
end
return 1
