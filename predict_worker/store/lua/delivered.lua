-- A waiter has these results: they may go sooner.
-- ARGV: job ids.
for at = 1, #ARGV do
  local id = ARGV[at]
  local raw = redis.call('HMGET', job_key(id), 'ranges', 'expires')
  local sooner = now + settings.delivered_ttl_ms * 1000
  if raw[2] and tonumber(raw[2]) > sooner then
    for range = 0, tonumber(raw[1]) - 1 do
      redis.call('PEXPIRE', out_key(id, range), settings.delivered_ttl_ms)
    end
    redis.call('HSET', job_key(id), 'expires', int(sooner))
  end
end
return 1
