-- Read jobs; one past its deadline is expired by the reading.
-- ARGV: job ids. Returns for each: {its fields…, 'position', n} or {}.
local answer = {}
for at = 1, #ARGV do
  local id = ARGV[at]
  local raw = redis.call('HMGET', job_key(id), 'state', 'deadline', 'model', 'reply', 'before')
  if not raw[1] then
    answer[#answer + 1] = {}
  else
    if raw[2] and now > tonumber(raw[2]) and not FINAL[raw[1]] then
      expire_job(id, raw[3], raw[4])
    end
    local fields = redis.call('HGETALL', job_key(id))
    local claimed = tonumber(redis.call('HGET', model_key(raw[3]), 'claimed') or '0')
    fields[#fields + 1] = 'position'
    fields[#fields + 1] = math.max(0, tonumber(raw[5]) - claimed)
    answer[#answer + 1] = fields
  end
end
send_replies()
return answer
