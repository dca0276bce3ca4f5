-- Claim deliveries that are due.
-- ARGV: token, limit, deliveries of one receiver at once, lease_us, then of each receiver that the caller is busy with:
--       receiver, deliveries.
-- Returns {1 if more are due, {delivery id, its tries}, …}. Where nothing is claimed and no more are due the
-- token is released.
local token, room, width, lease_us = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local busy, claimed, more = {}, {0}, 0
for at = 5, #ARGV, 2 do busy[ARGV[at]] = tonumber(ARGV[at + 1]) end

redis.call('ZREM', deliverers_key(), token)  -- a first write that a full Redis admits
for _, receiver in ipairs(redis.call('ZRANGEBYSCORE', due_key(), '-inf', int(now), 'LIMIT', 0, 100)) do
  local held_ms = redis.call('PTTL', hold_key(receiver))
  local free = math.min(room, width - (busy[receiver] or 0))
  if held_ms > 0 then
    redis.call('ZADD', due_key(), int(now + held_ms * 1000), receiver)
  elseif free <= 0 then
    more = 1
  else
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', receiver_key(receiver), '-inf', int(now), 'LIMIT', 0, free)) do
      if redis.call('EXISTS', delivery_key(id)) == 0 then
        redis.call('ZREM', receiver_key(receiver), id)
        redis.call('DECR', pending_key())
      else
        redis.call('ZADD', receiver_key(receiver), int(now + lease_us), id)
        claimed[#claimed + 1] = {id, redis.call('HINCRBY', delivery_key(id), 'tries', 1)}
        room = room - 1
      end
    end
    if (attend(receiver) or now + 1) <= now then more = 1 end
  end
end
if more == 1 or #claimed > 1 then redis.call('ZADD', deliverers_key(), int(now + lease_us), token) end
claimed[1] = more
return claimed
