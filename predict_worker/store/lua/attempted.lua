-- What became of one attempt to deliver.
-- ARGV: delivery id, receiver, its tries when it was claimed, 'delivered', 'failed' or the microseconds until the next
--       attempt, milliseconds that the receiver pauses for, attempt (JSON, without its moment), body that was sent, or ''.
-- Returns 1, or 0 if the delivery is gone.
local id, receiver, tries, verdict, hold_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local delivery = delivery_key(id)
local raw = redis.call('HMGET', delivery, 'state', 'tries', 'log')

redis.call('ZREM', deliverers_key(), '')  -- a first write that a full Redis admits
if not raw[1] then  -- the job was deleted
  if redis.call('ZREM', receiver_key(receiver), id) == 1 then redis.call('DECR', pending_key()) end
  attend(receiver)
  return 0
end
local log = '[' .. int(now) .. ',' .. ARGV[6] .. ']'
if raw[3] then
  local _, count = string.gsub(raw[3], '\n', '')
  log = (count < 49 and raw[3] or string.match(raw[3], '\n(.*)')) .. '\n' .. log
end
redis.call('HSET', delivery, 'log', log)
if ARGV[7] ~= '' then
  redis.call('HSET', delivery, 'body', ARGV[7])
  redis.call('HDEL', delivery, 'facts')
end
if hold_ms > 0 then redis.call('SET', hold_key(receiver), '', 'PX', hold_ms) end
-- Of one that was claimed again meanwhile only a success counts.
if raw[1] ~= 'pending' or (raw[2] ~= tries and verdict ~= 'delivered') then return 1 end
if verdict == 'delivered' or verdict == 'failed' then
  redis.call('HSET', delivery, 'state', verdict)
  redis.call('PEXPIRE', delivery, settings.record_ttl_ms)
  if redis.call('ZREM', receiver_key(receiver), id) == 1 then redis.call('DECR', pending_key()) end
else
  redis.call('ZADD', receiver_key(receiver), int(now + tonumber(verdict)), id)
end
attend(receiver)
-- The log forgets what has long come to an end.
redis.call('ZREMRANGEBYSCORE', deliveries_key(), '-inf', int(now - settings.deliveries_ttl_ms * 1000))
return 1
