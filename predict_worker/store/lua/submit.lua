-- Admit and store jobs; say which wake-ups must be published.
-- ARGV: number of kinds, then what jobs of a kind have in common: model, priority, request, deadline_us or '', reply
--       channel, idempotency digest or '', fingerprint, queue bound of the model, owner, digest, hooks (JSON) or '',
--       header; then for each job: kind (from 0), id, request id, number of ranges, and for each range: rows, bytes,
--       payload ('' though it has bytes: in its own key).
-- Returns for each job what it failed with, or {'accepted'|'replayed'|'conflict'|'full'|'full_total'|'full_memory'|
--         'full_hooks'|'draining'|'late', job id, wake-up or '', created, or of what is refused the microseconds
--         until there is room, position}
local arguments = ARGV

-- Where each job's arguments begin, and which jobs are stored: one may be sent again after a broken connection.
local starts, keys, stored = {}, {}, {}
local start = 2 + 12 * arguments[1]
while start <= #arguments do
  starts[#starts + 1], keys[#keys + 1] = start, job_key(arguments[start + 1])
  start = start + 4 + 3 * arguments[start + 3]
end
if redis.call('EXISTS', unpack(keys)) > 0 then
  for number, key in ipairs(keys) do stored[arguments[starts[number] + 1]] = redis.call('EXISTS', key) == 1 end
end

-- What the jobs have in common is read once and written once, at the end; between, it is counted on.
local queues, owners, added = {}, {}, 0
local total = tonumber(redis.call('GET', entries_key()) or '0')

local function queue_of(model)
  local queue = queues[model]
  if not queue then
    local raw = redis.call('HMGET', model_key(model), 'submitted', 'claimed', 'entry_us', 'mode')
    queue = {submitted = tonumber(raw[1] or '0'), claimed = tonumber(raw[2] or '0'), entry_us = tonumber(raw[3] or '0'),
      mode = raw[4], added = 0, entries = entry_count(model), ready = ready_children(model), alive = alive_slots(model)}
    queues[model] = queue
  end
  return queue
end

-- Redis' own count of its memory, read at most ten times a second.
local memory = redis.call('HMGET', memory_key(), 'at', 'used', 'max')
if not memory[1] or now - tonumber(memory[1]) > 100000 or now < tonumber(memory[1]) then
  local info = redis.call('INFO', 'memory')
  memory = {stamp, string.match(info, 'used_memory:(%d+)'), string.match(info, 'maxmemory:(%d+)')}
end
local used, maximum = tonumber(memory[2]), tonumber(memory[3])

-- The job that has the key already, and whether it is the same.
local function earlier(once, fingerprint)
  local known = redis.call('GET', once_key(once))
  if not known then return nil end
  local id, before = string.match(known, '^(%S+) (.*)$')
  if redis.call('EXISTS', job_key(id)) == 1 then return id, before == fingerprint end
end

local function is_apart(at) return arguments[at + 2] == '' and arguments[at + 1] ~= '0' end

-- Why a job is not taken, and the microseconds until there is room; nil for one that is.
local function refusal(id, model, priority, deadline_us, model_bound, hooks, at, ranges)
  local queue, bytes, lost = queue_of(model), 0, false
  -- Who comes back when a tenth of the entries is done finds room.
  local bound, entries = passed_bound(queue.mode, queue.entries, total, ranges, tonumber(model_bound))
  if bound then return bound, work_us(model, entries) / 10 end
  if hooks ~= '' and tonumber(redis.call('GET', pending_key()) or '0') >= settings.max_deliveries then
    return 'full_hooks', 0
  end
  if deadline_us ~= '' then
    local ahead_us = work_us(model, waiting_count(model, priority))
    if ahead_us > tonumber(deadline_us) then return 'late', ahead_us - tonumber(deadline_us) end
  end
  for range = 0, ranges - 1 do
    bytes = bytes + arguments[at + 3 * range + 1]
    -- A payload of its own was refused by a full Redis, or lost: nothing may be half stored.
    lost = lost or is_apart(at + 3 * range) and redis.call('EXISTS', in_key(id, range)) == 0
  end
  if lost or maximum > 0 and used + bytes > maximum * settings.max_memory_share then
    return 'full_memory', work_us(model, queue.entries) / 10
  end
  used = used + bytes
end

-- First an XADD: a full Redis refuses it, but not after a write that needs no memory.
local function add(id, stream, header, at, range)
  local apart = is_apart(at)
  local fields = {'j', id, 'k', range, 'n', arguments[at], 'b', arguments[at + 1], 'h', header}
  if not apart then fields[11], fields[12] = 'p', arguments[at + 2] end
  local entry_id = redis.call('XADD', stream, '*', unpack(fields))
  if apart then redis.call('PERSIST', in_key(id, range)) end
  return entry_id
end

local function woken(model, queue)
  local slots = worth_slots(queue.entries, queue.entry_us, queue.ready)
  if queue.mode == 'paused' or enough(queue.alive, slots) then return '' end
  local token = issue(model)
  queue.alive = alive_slots(model)
  return token or ''
end

-- Inputs of what is not taken. They go last: a full Redis admits that, and after it what it must refuse.
local unwanted = {}

local function submit(start)
  local kind, id, request_id, ranges = unpack(arguments, start, start + 3)
  kind, ranges = 2 + 12 * kind, tonumber(ranges)
  local model, priority, request, deadline_us, channel, once, fingerprint, model_bound, owner, digest, hooks, header =
    unpack(arguments, kind, kind + 11)

  local function refuse(reason, other_id, wait_us)
    for range = 0, ranges - 1 do unwanted[#unwanted + 1] = in_key(id, range) end
    return {reason, other_id, '', int(wait_us), 0}
  end

  if stored[id] then return {'replayed', id, '', '0', 0} end
  if once ~= '' then
    local known_id, same = earlier(once, fingerprint)
    if known_id then return refuse(same and 'replayed' or 'conflict', known_id, 0) end
  end
  local reason, wait_us = refusal(id, model, priority, deadline_us, model_bound, hooks, start + 4, ranges)
  if reason then return refuse(reason, id, wait_us) end

  local queue, stream, entry_ids = queue_of(model), queue_key(model, priority), {}
  local before = queue.submitted
  for range = 0, ranges - 1 do entry_ids[range + 1] = add(id, stream, header, start + 4 + 3 * range, range) end
  queue.submitted, queue.entries, queue.added = before + ranges, queue.entries + ranges, queue.added + ranges
  total, added = total + ranges, added + ranges
  redis.call('XADD', owned_key(owner), '*', 'j', id)
  owners[owner] = true
  -- What the scripts read often comes first: a small hash is a list.
  local job = {'state', 'queued', 'created', stamp, 'left', arguments[start + 3], 'ranges', arguments[start + 3],
    'model', model, 'priority', priority, 'entries', table.concat(entry_ids, ','), 'before', before, 'owner', owner,
    'request', request, 'digest', digest, 'request_id', request_id}
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
  stored[id] = true
  return {'accepted', id, woken(model, queue), stamp, math.max(0, before - queue.claimed)}
end

local answers = {}
for number, first in ipairs(starts) do
  local done, answer = pcall(submit, first)
  -- Redis 7 raises a table.
  answers[number] = done and answer or {err = type(answer) == 'table' and answer.err or tostring(answer)}
end

if added > 0 then
  for model, queue in pairs(queues) do
    if queue.added > 0 then redis.call('HINCRBY', model_key(model), 'submitted', queue.added) end
  end
  redis.call('INCRBY', entries_key(), added)
  redis.call('HSET', memory_key(), 'at', memory[1], 'used', int(used), 'max', memory[3])
  for owner in pairs(owners) do
    redis.call('PEXPIRE', owned_key(owner), settings.record_ttl_ms)
    if now % 16 == 0 then
      redis.call('XTRIM', owned_key(owner), 'MINID', '~', int(now / 1000 - settings.record_ttl_ms))
    end
  end
end
for _, key in ipairs(unwanted) do redis.call('UNLINK', key) end
return answers
