-- Admit and store a job; say which wake-up must be published.
-- ARGV: id, model, priority, request, deadline_us or '', reply channel, idempotency digest or '',
--       fingerprint, queue bound of the model, owner, digest, request id, hooks (JSON) or '', then for each range:
--       rows, bytes, header, payload ('' though it has bytes: in its own key).
-- Returns {'accepted'|'replayed'|'conflict'|'full'|'full_total'|'full_memory'|'full_hooks'|'late', job id, wake-up or '',
--          created, or of what is refused the microseconds until there is room, position}
local id, model, priority, request = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local deadline_us, channel, once, fingerprint, owner = ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[10]
local ranges = (#ARGV - 13) / 4

local function refuse(reason, other_id, wait_us)
  for range = 0, ranges - 1 do redis.call('UNLINK', in_key(id, range)) end
  return {reason, other_id or id, '', int(wait_us or 0), 0}
end

-- The same submit sent again after a broken connection.
if redis.call('EXISTS', job_key(id)) == 1 then return {'replayed', id, '', '0', 0} end
if once ~= '' then
  local known = redis.call('GET', once_key(once))
  if known then
    local known_id, known_fingerprint = string.match(known, '^(%S+) (.*)$')
    if redis.call('EXISTS', job_key(known_id)) == 1 then
      return refuse(known_fingerprint == fingerprint and 'replayed' or 'conflict', known_id)
    end
  end
end

-- Who comes back when a tenth of the entries is done finds room.
local bound, entries = passed_bound(model, ranges, ARGV[9])
if bound then return refuse(bound, id, work_us(model, entries) / 10) end

local hooks = ARGV[13]
if hooks ~= '' and tonumber(redis.call('GET', pending_key()) or '0') >= settings.max_deliveries then
  return refuse('full_hooks', id)
end

if deadline_us ~= '' then
  local ahead_us = work_us(model, waiting_count(model, priority))
  if ahead_us > tonumber(deadline_us) then return refuse('late', id, ahead_us - tonumber(deadline_us)) end
end

-- Redis' own count of its memory, read at most ten times a second.
local function memory_full()
  local seen = redis.call('HMGET', memory_key(), 'at', 'used', 'max')
  if not seen[1] or now - tonumber(seen[1]) > 100000 or now < tonumber(seen[1]) then
    local info = redis.call('INFO', 'memory')
    seen = {int(now), string.match(info, 'used_memory:(%d+)'), string.match(info, 'maxmemory:(%d+)')}
    return seen, true
  end
  return seen, false
end
local seen, fresh = memory_full()
local used, maximum, bytes = tonumber(seen[2]), tonumber(seen[3]), 0
for range = 0, ranges - 1 do bytes = bytes + tonumber(ARGV[15 + 4 * range]) end
if maximum > 0 and used + bytes > maximum * settings.max_memory_share then
  return refuse('full_memory', id, work_us(model, entry_count(model)) / 10)
end
for range = 0, ranges - 1 do
  -- A payload of its own was refused by a full Redis, or lost: nothing may be half stored.
  if ARGV[17 + 4 * range] == '' and ARGV[15 + 4 * range] ~= '0' and redis.call('EXISTS', in_key(id, range)) == 0 then
    return refuse('full_memory', id, work_us(model, entry_count(model)) / 10)
  end
end

local before = redis.call('HINCRBY', model_key(model), 'submitted', ranges) - ranges
redis.call('HSET', memory_key(), 'at', seen[1], 'used', int(used + bytes), 'max', seen[3])
local entry_ids = {}
for range = 0, ranges - 1 do
  local at = 14 + 4 * range
  local fields = {'j', id, 'k', range, 'n', ARGV[at], 'b', ARGV[at + 1], 'h', ARGV[at + 2]}
  if ARGV[at + 3] == '' and ARGV[at + 1] ~= '0' then
    redis.call('PERSIST', in_key(id, range))
  else
    fields[11], fields[12] = 'p', ARGV[at + 3]
  end
  entry_ids[range + 1] = redis.call('XADD', queue_key(model, priority), '*', unpack(fields))
end
redis.call('INCRBY', entries_key(), ranges)
local owned = owned_key(owner)
redis.call('XADD', owned, '*', 'j', id)
redis.call('PEXPIRE', owned, settings.record_ttl_ms)
if now % 16 == 0 then redis.call('XTRIM', owned, 'MINID', '~', int(now / 1000 - settings.record_ttl_ms)) end
-- What the scripts read often comes first: a small hash is a list.
local job = {'state', 'queued', 'created', int(now), 'left', ranges, 'ranges', ranges, 'model', model,
  'priority', priority, 'entries', table.concat(entry_ids, ','), 'before', before, 'owner', owner,
  'request', request, 'digest', ARGV[11], 'request_id', ARGV[12]}
if hooks ~= '' then job[#job + 1] = 'hooks'; job[#job + 1] = hooks end
if channel ~= '' then job[#job + 1] = 'reply'; job[#job + 1] = channel end
if deadline_us ~= '' then
  local deadline = int(now + tonumber(deadline_us))
  job[#job + 1] = 'deadline'; job[#job + 1] = deadline
  redis.call('ZADD', deadlines_key(model), deadline, id)
end
if once ~= '' then
  job[#job + 1] = 'once'; job[#job + 1] = once
  redis.call('SET', once_key(once), id .. ' ' .. fingerprint)
end
redis.call('HSET', job_key(id), unpack(job))
local claimed = tonumber(redis.call('HGET', model_key(model), 'claimed') or '0')
return {'accepted', id, wake(model) or '', int(now), math.max(0, before - claimed)}
