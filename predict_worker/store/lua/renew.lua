-- Extend the lease of entries that this consumer still owns, and its wake-up.
-- ARGV: model, consumer, then for each entry: priority, entry id.
local model, consumer = ARGV[1], ARGV[2]
for at = 3, #ARGV, 2 do
  local stream, entry_id = queue_key(model, ARGV[at]), ARGV[at + 1]
  -- pcall: a Redis that has lost everything has no group.
  if #redis.pcall('XPENDING', stream, GROUP, entry_id, entry_id, 1, consumer) == 1 then
    -- JUSTID: does not count as a delivery.
    redis.call('XCLAIM', stream, GROUP, consumer, 0, entry_id, 'JUSTID')
  end
end
-- Last: this write a full Redis admits only after another.
redis.call('ZADD', slots_key(model), 'XX', int(now + settings.lease_us), '@' .. consumer)
return 1
