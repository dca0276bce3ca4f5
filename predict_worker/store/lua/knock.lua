-- A token to publish if deliveries are due and nobody is at them, or not fast enough; else ''.
local first = redis.call('ZRANGE', due_key(), 0, 0, 'WITHSCORES')
if not first[1] or tonumber(first[2]) > now then return '' end
return wake_deliverer(tonumber(first[2]) < now - 1000000)
