-- A delivery is due now, whatever became of it, with all its attempts before it.
-- ARGV: delivery id. Returns {0 if it is gone, wake-up or ''}.
local id = ARGV[1]
local delivery = delivery_key(id)
local raw = redis.call('HMGET', delivery, 'receiver', 'state')
if not raw[1] then return {0, ''} end
redis.call('HSET', delivery, 'state', 'pending', 'tries', 0)
redis.call('PERSIST', delivery)
if redis.call('ZADD', receiver_key(raw[1]), int(now), id) == 1 then redis.call('INCR', pending_key()) end
attend(raw[1])
return {1, wake_deliverer()}
