-- What no event brings: overdue jobs, lapsed leases, lost wake-ups.
-- ARGV: model. Returns {wake-up or '', expired, reclaimed}.
local model = ARGV[1]
local expired, reclaimed = 0, 0

for _, id in ipairs(redis.call('ZRANGEBYSCORE', deadlines_key(model), '-inf', int(now), 'LIMIT', 0, 300)) do
  local raw = redis.call('HMGET', job_key(id), 'state', 'reply')
  if raw[1] and not FINAL[raw[1]] then
    expire_job(id, model, raw[2])
    expired = expired + 1
  else
    redis.call('ZREM', deadlines_key(model), id)
  end
end

local suspects, known = {}, nil
for _, priority in ipairs(PRIORITIES) do
  local stream, from = queue_key(model, priority), '-'
  while from and reclaimed < 300 do
    local lapsed = redis.pcall('XPENDING', stream, GROUP, 'IDLE', settings.lease_ms, from, '+', 300)
    for _, pending in ipairs(lapsed) do
      if pending[2] == RETRIES then
        -- They have no lease either, but a moment.
        local retried = priority .. ' ' .. pending[1]
        if not redis.call('ZSCORE', retries_key(model), retried) then
          redis.call('ZADD', retries_key(model), int(now), retried)
        end
      elseif pending[2] ~= SUSPECTS then
        redis.call('ZREM', slots_key(model), '@' .. pending[2])
        lose(model, priority, pending[1], 'node', false)
        reclaimed = reclaimed + 1
      else
        -- Suspects have no lease, but the list must know them all.
        known = known or redis.call('LRANGE', suspects_key(model), 0, -1)
        suspects[#suspects + 1] = priority .. ' ' .. pending[1]
      end
    end
    from = #lapsed == 300 and '(' .. lapsed[300][1]
  end
end
if known then
  local listed = {}
  for _, suspect in ipairs(known) do listed[suspect] = true end
  for _, suspect in ipairs(suspects) do
    if not listed[suspect] then redis.call('RPUSH', suspects_key(model), suspect) end
  end
end

-- Whether something has waited for so long that the measured time of an entry tells nothing: behind
-- a long batch, or before the first was measured.
local function late()
  if redis.call('ZCOUNT', retries_key(model), '-inf', int(now - settings.sent_retry_us)) > 0 then return true end
  local since = int((now - settings.sent_retry_us) / 1000)
  for _, priority in ipairs(PRIORITIES) do
    local stream = queue_key(model, priority)
    local group = redis.call('XLEN', stream) > 0 and redis.pcall('XINFO', 'GROUPS', stream)[1]
    local last = group and group[8] or '0-0'
    if #redis.call('XRANGE', stream, '(' .. last, since, 'COUNT', 1) > 0 then return true end
    local idle_ms = int(settings.sent_retry_us / 1000)
    if group and #redis.call('XPENDING', stream, GROUP, 'IDLE', idle_ms, '-', '+', 1, SUSPECTS) > 0 then
      return true
    end
  end
  return false
end

send_replies()
return {waiting_count(model) > 0 and wake(model, late()) or '', expired, reclaimed}
