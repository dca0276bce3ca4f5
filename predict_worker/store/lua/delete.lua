-- Remove a job and its data, whatever its state.
-- ARGV: job id. Returns 1, or 0 if there was none.
local id = ARGV[1]
local raw = redis.call('HMGET', job_key(id), 'state', 'model', 'priority', 'entries', 'reply', 'ranges', 'once',
  'told')
if not raw[1] then return 0 end
remove_entries(id, raw[2], raw[3], raw[4])
for range = 0, tonumber(raw[6]) - 1 do redis.call('UNLINK', out_key(id, range)) end
redis.call('ZREM', deadlines_key(raw[2]), id)
redis.call('ZREM', dead_key(raw[2]), id)
if raw[7] then redis.call('UNLINK', once_key(raw[7])) end
-- What nobody has been told yet nobody will be; claims skip what is gone.
for number = 1, tonumber(raw[8] or '0') do redis.call('UNLINK', delivery_key(id .. '-' .. number)) end
redis.call('UNLINK', job_key(id))
reply(raw[5], id)
send_replies()
return 1
