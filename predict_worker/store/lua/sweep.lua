-- What no event brings: overdue jobs, lapsed leases, lost wake-ups.
-- ARGV: model. Returns {wake-up or '', expired, reclaimed}.
local model = ARGV[1]
local expired, reclaimed = 0, 0

for _, id in ipairs(redis.call('ZRANGEBYSCORE', deadlines_key(model), '-inf', int(now), 'LIMIT', 0, 300)) do
  local raw = redis.call('HMGET', job_key(id), 'state', 'reply')
  if raw[1] == 'queued' then
    expire_job(id, model, raw[2])
    expired = expired + 1
  else
    redis.call('ZREM', deadlines_key(model), id)  -- running: its end is checked when it finishes
  end
end

local suspects, known = {}, nil
for _, priority in ipairs(PRIORITIES) do
  local stream = queue_key(model, priority)
  local lapsed = redis.pcall('XPENDING', stream, GROUP, 'IDLE', settings.lease_ms, '-', '+', 300)
  for _, pending in ipairs(lapsed.err and {} or lapsed) do
    if pending[2] ~= SUSPECTS then
      redis.call('ZREM', slots_key(model), '@' .. pending[2])
      lose(model, priority, pending[1], 'node', false)
      reclaimed = reclaimed + 1
    else
      -- Suspects have no lease, but the list must know them all.
      known = known or redis.call('LRANGE', suspects_key(model), 0, -1)
      suspects[#suspects + 1] = priority .. ' ' .. pending[1]
    end
  end
end
if known then
  local listed = {}
  for _, suspect in ipairs(known) do listed[suspect] = true end
  for _, suspect in ipairs(suspects) do
    if not listed[suspect] then redis.call('RPUSH', suspects_key(model), suspect) end
  end
end

send_replies()
return {waiting_count(model) > 0 and wake(model) or '', expired, reclaimed}
