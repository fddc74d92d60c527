#!lua
-- ARGV: key, found (JSON), seconds, most. Keep a result for so long, and the newest `most` of all in all.
local key = 'coop:result:' .. ARGV[1]
redis.call('SET', key, ARGV[2], 'EX', ARGV[3])
redis.call('ZADD', 'coop:results', now, key)
-- Some of these have ended by themselves; their places in the list go with their turn.
local excess = redis.call('ZCARD', 'coop:results') - tonumber(ARGV[4])
if excess > 0 then
  for _, oldest in ipairs(redis.call('ZRANGE', 'coop:results', 0, excess - 1)) do
    redis.call('DEL', oldest)
    redis.call('ZREM', 'coop:results', oldest)
  end
end
return 1
