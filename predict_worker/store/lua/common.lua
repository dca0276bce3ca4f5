-- Shared by the scripts; comes after the key functions of keys.py. Paragraphs that a script does not
-- need are left out when it is loaded, so each is one definition. All moments are microseconds of
-- Redis' own clock: clocks of hosts differ.

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local PRIORITIES = {'high', 'normal', 'low'}

local FINAL = {succeeded = true, failed = true, cancelled = true, expired = true}

-- Lua would print a large number as 1.7e+15.
local function int(number) return string.format('%.0f', number) end

-- Now as text: a number would be printed anew for each command.
local stamp = int(now)

-- Entries of a model: queued and claimed.
local function entry_count(model)
  local count = 0
  for _, priority in ipairs(PRIORITIES) do
    count = count + redis.call('XLEN', queue_key(model, priority))
  end
  return count
end

-- Entries that may be claimed now; of those that nobody has claimed yet such as are at least so urgent.
local function waiting_count(model, least)
  local count = redis.call('LLEN', suspects_key(model)) + redis.call('ZCOUNT', retries_key(model), '-inf', int(now))
  for _, priority in ipairs(PRIORITIES) do
    local stream = queue_key(model, priority)
    local length = redis.call('XLEN', stream)
    if length > 0 then
      local pending = redis.pcall('XPENDING', stream, GROUP)
      count = count + length - (pending.err and 0 or pending[1])
    end
    if priority == least then break end
  end
  return count
end

local function ready_children(model)
  return redis.call('ZCOUNT', ready_key(model), '(' .. stamp, '+inf')
end

-- How long the ready children need for so many entries, as far as is measured.
local function work_us(model, entries)
  local entry_us = tonumber(redis.call('HGET', model_key(model), 'entry_us') or '0')
  return entries * entry_us / math.max(1, ready_children(model))
end

-- Which bound so many more entries would pass (or 'draining'), and the entries within it; else nil.
local function passed_bound(mode, entries, total, more, model_bound)
  if mode == 'draining' then return 'draining', entries end
  if entries + more > model_bound then return 'full', entries end
  if total + more > settings.queue_max_jobs then return 'full_total', total end
end

-- As many wake-ups as the work is worth: another child pays once the entries in the system
-- stand for more than spread_us of one child's time.
local function worth_slots(entries, entry_us, ready)
  return math.max(1, math.min(math.ceil(entries * entry_us / settings.spread_us), ready))
end

local function wanted_slots(model)
  local entry_us = tonumber(redis.call('HGET', model_key(model), 'entry_us') or '0')
  return worth_slots(entry_count(model), entry_us, ready_children(model))
end

local function enough(alive, slots) return alive > 0 and alive >= slots end

local function alive_slots(model)
  return redis.call('ZCOUNT', slots_key(model), '(' .. stamp, '+inf')
end

-- A child that has just run out of work still listens: rung, it is there at once, without a message.
-- Its slot lapses like a sent one until it steps.
local function ring(model)
  for _, consumer in ipairs(redis.call('ZRANGEBYSCORE', listeners_key(), '(' .. int(now), '+inf')) do
    if redis.call('ZSCORE', ready_key(model), consumer) then
      redis.call('ZREM', listeners_key(), consumer)
      redis.call('ZADD', slots_key(model), int(now + settings.sent_retry_us), '@' .. consumer)
      redis.call('RPUSH', bell_key(consumer), model)
      redis.call('PEXPIRE', bell_key(consumer), 5000)
      return true
    end
  end
  return false
end

-- A token to publish, or false if a child was rung. A `sent` slot is the token itself, which ends in its
-- interval; a `running` slot is '@' and the consumer.
local function issue(model)
  if ring(model) then return false end
  local slots, interval = slots_key(model), settings.sent_retry_us
  local lapsed = redis.call('ZRANGEBYSCORE', slots, '-inf', int(now), 'LIMIT', 0, 1)[1] or ''
  redis.call('ZREM', slots, lapsed)  -- also where none has: a first write that a full Redis admits
  local before = string.match(lapsed, '^%d+%-%d+%-(%d+)$')
  if before then interval = math.min(tonumber(before) * 2, settings.sent_retry_max_us) end
  local number = redis.call('HINCRBY', model_key(model), 'wakeups', 1)
  local token = string.match(base, '{(%d+)}') .. '-' .. number .. '-' .. int(interval)
  redis.call('ZADD', slots, int(now + interval), token)
  return token
end

-- A token, or false also if the model is paused or enough wake-ups are alive: as many as the work is worth, or
-- as could be of use to work that is late.
local function wake(model, late)
  if enough(alive_slots(model), late and ready_children(model) or wanted_slots(model)) then return false end
  return redis.call('HGET', model_key(model), 'mode') ~= 'paused' and issue(model)
end

-- Takes an entry out of its queue; answers whether it was still there. Redis may have lost the claim
-- (with its last second of writes, or to a replica that took over) and kept the entry.
-- XACK first: at maxmemory a script whose first write needs memory is refused.
local function acknowledge(model, priority, entry_id)
  local stream = queue_key(model, priority)
  local pending = redis.call('XACK', stream, GROUP, entry_id) == 1
  redis.call('LREM', suspects_key(model), 1, priority .. ' ' .. entry_id)
  local queued = redis.call('XDEL', stream, entry_id) == 1
  if queued then
    redis.call('DECR', entries_key())
    -- Positions are measured by what has left the queue, whichever way.
    if not pending then redis.call('HINCRBY', model_key(model), 'claimed', 1) end
  end
  return pending or queued
end

-- Takes every entry of a job out of its queue, with its inputs.
local function remove_entries(job_id, model, priority, entry_ids)
  local range = 0
  for entry_id in string.gmatch(entry_ids or '', '[^,]+') do
    acknowledge(model, priority, entry_id)
    redis.call('ZREM', retries_key(model), priority .. ' ' .. entry_id)
    redis.call('UNLINK', in_key(job_id, range))
    range = range + 1
  end
end

local NO_PAYLOAD = 4294967295

local function id_frame(job_id)
  return struct.pack('>I4I4', #job_id, NO_PAYLOAD) .. job_id
end

local MESSAGE_BYTES = 1048576

-- One message for each channel and script; sent by send_replies().
local outbox = {}

local function reply(channels, job_id, frame)
  for channel in string.gmatch(channels or '', '[^,]+') do
    local box = outbox[channel]
    if not box then box = {size = 0}; outbox[channel] = box end
    if not frame or box.size + #frame > MESSAGE_BYTES then frame = id_frame(job_id) end
    box[#box + 1] = frame
    box.size = box.size + #frame
  end
end

local function send_replies()
  for channel, box in pairs(outbox) do
    redis.call('PUBLISH', REPLY .. channel, table.concat(box))
  end
end

-- Whether this script has made deliveries due.
local announced = false

-- When a receiver wants attention next: its deliveries wait for a moment, or for the end of a lease.
local function attend(receiver)
  local first = redis.call('ZRANGE', receiver_key(receiver), 0, 0, 'WITHSCORES')
  if first[1] then redis.call('ZADD', due_key(), first[2], receiver) else redis.call('ZREM', due_key(), receiver) end
  return tonumber(first[2])
end

-- The end of a job is told to whom its submit has chosen, from the script that ends it on: none is forgotten.
-- The facts are those of now: the job may be redriven, or gone, before they are sent.
local function announce(job_id, state, hooks)
  local facts = cjson.encode(redis.call('HGETALL', job_key(job_id)))
  for _, hook in ipairs(cjson.decode(hooks)) do
    local endpoint, url, receiver, events = unpack(hook)
    if string.find(events, state, 1, true) then
      local id = job_id .. '-' .. redis.call('HINCRBY', job_key(job_id), 'told', 1)
      redis.call('HSET', delivery_key(id), 'state', 'pending', 'created', int(now), 'tries', 0, 'job', job_id,
        'owner', redis.call('HGET', job_key(job_id), 'owner'), 'event', state, 'endpoint', endpoint,
        'url', url, 'receiver', receiver, 'facts', facts)
      redis.call('ZADD', receiver_key(receiver), int(now), id)
      redis.call('INCR', pending_key())
      redis.call('ZADD', deliveries_key(), int(now), id)
      attend(receiver)
      announced = true
    end
  end
end

-- A token to publish, or '' if a worker is at the deliveries or has been told of them. What is late is worth one
-- more; a token lapses late, since it is sent to nobody where no worker takes it.
local function wake_deliverer(late)
  local alive = redis.call('ZCOUNT', deliverers_key(), '(' .. int(now), '+inf')
  if alive > 0 and not (late and alive < 8) then return '' end
  redis.call('ZREMRANGEBYSCORE', deliverers_key(), '-inf', int(now))  -- a first write that a full Redis admits
  local token = string.match(base, '{(%d+)}') .. '-' .. int(now)
  redis.call('ZADD', deliverers_key(), int(now + 60000000), token)
  return token
end

-- Gives a job its final state; its entries are dealt with by the caller, who has read the fields that follow the
-- state. One that is kept as a dead letter keeps the outputs of the ranges that are done.
local function close_job(job_id, model, state, once, ranges, hooks, deadline, kept, ...)
  local job = job_key(job_id)
  redis.call('HSET', job, 'state', state, 'finished', stamp, ...)
  redis.call('PEXPIRE', job, settings.record_ttl_ms)
  if deadline then redis.call('ZREM', deadlines_key(model), job_id) end
  if once then redis.call('PEXPIRE', once_key(once), settings.record_ttl_ms) end
  if hooks then announce(job_id, state, hooks) end
  if ranges == 1 then return end
  local ttl_ms = state == 'succeeded' and settings.result_ttl_ms or kept and settings.record_ttl_ms
  for range = 0, ranges - 1 do  -- the outputs of the first have waited for the last
    if ttl_ms then
      redis.call('PEXPIRE', out_key(job_id, range), ttl_ms)
    else
      redis.call('UNLINK', out_key(job_id, range))
    end
  end
end

local function end_job(job_id, model, state, ...)
  local raw = redis.call('HMGET', job_key(job_id), 'once', 'ranges', 'hooks', 'deadline', 'kept')
  close_job(job_id, model, state, raw[1], tonumber(raw[2]), raw[3], raw[4], raw[5], ...)
end

local function expire_job(job_id, model, channels)
  local raw = redis.call('HMGET', job_key(job_id), 'priority', 'entries')
  remove_entries(job_id, model, raw[1], raw[2])
  end_job(job_id, model, 'expired')
  reply(channels, job_id)
end

-- Adds to a job's history, of which the newest are kept.
local function remember(job_id, event)
  local history = cjson.decode(redis.call('HGET', job_key(job_id), 'history') or '[]')
  if #history >= 50 then table.remove(history, 1) end
  history[#history + 1] = event
  redis.call('HSET', job_key(job_id), 'history', cjson.encode(history))
end

-- A job is given up: it fails and is kept, with the inputs of all that it has not answered, in the dead
-- letters. The failure is JSON; further fields of the job may follow it.
local function bury(job_id, model, failure, ...)
  local raw = redis.call('HMGET', job_key(job_id), 'priority', 'entries', 'reply')
  local stream, range, kept = queue_key(model, raw[1]), 0, {}
  for entry_id in string.gmatch(raw[2], '[^,]+') do
    local entry = redis.call('XRANGE', stream, entry_id, entry_id)[1]
    if entry then
      local fields = entry[2]
      if fields[11] == 'p' then
        redis.call('SET', in_key(job_id, range), fields[12], 'PX', settings.record_ttl_ms)
      else
        redis.call('PEXPIRE', in_key(job_id, range), settings.record_ttl_ms)
      end
      acknowledge(model, raw[1], entry_id)
      redis.call('ZREM', retries_key(model), raw[1] .. ' ' .. entry_id)
      kept[#kept + 1] = {range, fields[6], fields[8], fields[10]}
    end
    range = range + 1
  end
  redis.call('HSET', job_key(job_id), 'kept', cjson.encode(kept))
  end_job(job_id, model, 'failed', 'error', failure, ...)
  redis.call('ZADD', dead_key(model), int(now), job_id)
  redis.call('ZREMRANGEBYSCORE', dead_key(model), '-inf', int(now - settings.record_ttl_ms * 1000))
  reply(raw[3], job_id)
end

-- A page of a list as {cursor or '', its id, moment, id, …}: at most so many that are ``wanted(id)``, after
-- the moment and id of the cursor. ``read(seen, last_moment)`` gives the next hundred as id, moment, id, …
local function newest_first(limit, cursor, cursor_id, read, wanted)
  local answer, last_moment, last_id, seen = {'', ''}, '', '', 0
  while seen < 1000 do
    local found = read(seen, last_moment)
    for at = 1, #found, 2 do
      local id, moment = found[at], found[at + 1]
      if not (moment == cursor and id >= cursor_id) and wanted(id) then
        if #answer == 2 + 2 * limit then
          answer[1], answer[2] = last_moment, last_id
          return answer
        end
        answer[#answer + 1], answer[#answer + 2] = moment, id
      end
      last_moment, last_id = moment, id
    end
    if #found < 200 then return answer end
    seen = seen + 100
  end
  answer[1], answer[2] = last_moment, last_id
  return answer
end

-- For ``newest_first``: of a set by moments.
local function by_moment(set, cursor)
  return function(seen)
    return redis.call('ZREVRANGEBYSCORE', set, cursor, '-inf', 'WITHSCORES', 'LIMIT', seen, 100)
  end
end
