-- Ask for a message on one more reply channel when the job is final.
-- ARGV: job id, channel.
local id, channel = ARGV[1], ARGV[2]
local raw = redis.call('HMGET', job_key(id), 'state', 'reply')
if not raw[1] or FINAL[raw[1]] then return 0 end
local channels = {}
for known in string.gmatch(raw[2] or '', '[^,]+') do
  if known ~= channel then channels[#channels + 1] = known end
end
channels[#channels + 1] = channel
redis.call('PERSIST', job_key(id))  -- it has no lifetime yet: a first write that a full Redis admits
redis.call('HSET', job_key(id), 'reply', table.concat(channels, ','))
return 1
