#!lua flags=allow-oom
-- ARGV: id, run, stage, token, body, message id, metrics, then of each stage its name and its output.
-- The holder of the first stage's lease ends the whole job with what is known already. Returns 1, or 0 when fenced off.
local id, run, stage, token = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if not holds(id, run, stage, token) then
  return get(id, stage .. '.by')[1] == token and 1 or 0
end
for i = 8, #ARGV, 2 do set(id, 'found.' .. ARGV[i], ARGV[i + 1], ARGV[i] .. '.status', 'skipped') end
set(id, stage .. '.status', 'succeeded', stage .. '.ended_at', now, stage .. '.by', token)
conclude(id, 'succeeded', ARGV[5], ARGV[6])
add_metrics(ARGV[7])
return 1
