-- Publish a finished batch and claim the next one: the only call of a batch.
-- ARGV: model, consumer, token, entry_us, max_rows (0: give way), max_bytes, 1 if it holds entries that
--       it claimed before, listen_us (0: do not), number of outcomes, then for each: priority, entry id,
--       job id, range, payload, staged payload or '', facts (JSON), error (JSON) or '', and of an error
--       that is marked retryable the microseconds until the retry ('+' before: postponed) or 'dead', else ''.
-- Returns {wake-up or '', 1 if the child now listens, wake-up for deliveries or '', {priority, entry id, job id,
--          range, rows, header, payload or false, queue_us, attempt, retries, postponed}, …}
local model, consumer, token = ARGV[1], ARGV[2], ARGV[3]
local entry_us, max_rows, max_bytes = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local holding, listen_us = ARGV[7] == '1', tonumber(ARGV[8])
local slots = slots_key(model)
local mine = '@' .. consumer
local expires = int(now + settings.result_ttl_ms * 1000)

-- The first write needs no memory, so that a full Redis can be drained.
local called = redis.call('ZREM', slots, token) == 1
redis.call('ZREM', listeners_key(), consumer)

local FRAME_PAYLOAD = 16384

local function end_frame(job_id, state, started, attempts, facts, failure, payload)
  local meta = table.concat({job_id, state, started, stamp, attempts, facts, failure}, '\n')
  if payload and #payload > FRAME_PAYLOAD then return nil end
  return struct.pack('>I4I4', #meta, payload and #payload or NO_PAYLOAD) .. meta .. (payload or '')
end

-- The outputs of one range; of several they live at least until the job is final.
local function keep(job_id, range, ranges, payload, staged)
  local out = out_key(job_id, range)
  if staged ~= '' then
    redis.call('RENAME', stage_key(staged), out)
    if ranges == 1 then redis.call('PEXPIRE', out, settings.result_ttl_ms) else redis.call('PERSIST', out) end
  elseif ranges == 1 then
    redis.call('SET', out, payload, 'PX', settings.result_ttl_ms)
  else
    redis.call('SET', out, payload)
  end
end

-- What an error that is marked retryable leads to; false if it is one like any other after all: another
-- range has failed for good, or the job would be past its deadline.
local function later(priority, entry_id, job_id, range, facts, failure, retry)
  local stream = queue_key(model, priority)
  local held = redis.pcall('XPENDING', stream, GROUP, entry_id, entry_id, 1, consumer)
  if #held == 0 then return true end  -- taken from this consumer, it runs elsewhere
  local raw = redis.call('HMGET', job_key(job_id), 'state', 'deadline', 'error', 'attempts')
  local in_time = not raw[2] or now + (tonumber(retry) or 0) <= tonumber(raw[2])
  if not raw[1] or FINAL[raw[1]] or raw[3] or not in_time then return false end
  local postponed = string.sub(retry, 1, 1) == '+'
  if not postponed then
    local told = cjson.decode(failure)
    remember(job_id, {attempt = tonumber(raw[4]), code = told.code, detail = told.detail, at_us = int(now)})
  end
  if retry == 'dead' then
    bury(job_id, model, failure, 'facts', facts)
  else
    redis.call('XCLAIM', stream, GROUP, RETRIES, 0, entry_id, 'JUSTID')
    redis.call('ZADD', retries_key(model), int(now + tonumber(retry)), priority .. ' ' .. entry_id)
    redis.call('HINCRBY', job_key(job_id), (postponed and 'postponed_' or 'retries_') .. range, 1)
  end
  return true
end

-- Entries by their priority, and inputs, that are needed no more once this script ends.
local answered, inputs = {}, {}

-- Whether an outcome counts: its entry is still in the queue. Of a job of one range the record says so: it is
-- not final, and its entry is this one, not an earlier that it had before it was redriven.
local function counts(priority, entry_id, state, ranges, current)
  local alive = state and not FINAL[state]
  if ranges ~= '1' then return acknowledge(model, priority, entry_id) and alive end
  local ids = answered[priority]
  if not ids then ids = {}; answered[priority] = ids end
  ids[#ids + 1] = entry_id
  return alive and current == entry_id
end

-- All at once may be too much for Lua's stack.
local function by_hundreds(list, use)
  for first = 1, #list, 100 do use(unpack(list, first, math.min(first + 99, #list))) end
end

-- As acknowledge() does with one.
local function clear()
  local suspected = next(answered) and redis.call('LLEN', suspects_key(model)) > 0
  for priority, ids in pairs(answered) do
    local stream, pending, queued = queue_key(model, priority), 0, 0
    by_hundreds(ids, function(...)
      pending = pending + redis.call('XACK', stream, GROUP, ...)
      queued = queued + redis.call('XDEL', stream, ...)
    end)
    if queued > 0 then redis.call('DECRBY', entries_key(), queued) end
    if queued > pending then redis.call('HINCRBY', model_key(model), 'claimed', queued - pending) end
    if suspected then
      for _, id in ipairs(ids) do redis.call('LREM', suspects_key(model), 1, priority .. ' ' .. id) end
    end
  end
  by_hundreds(inputs, function(...) redis.call('UNLINK', ...) end)
end

local function finish(priority, entry_id, job_id, range, payload, staged, facts, failure, retry)
  if retry ~= '' and later(priority, entry_id, job_id, range, facts, failure, retry) then return end
  -- Lost on their way, the outputs are computed again: the entry runs anew when its lease has lapsed.
  if staged ~= '' and redis.call('EXISTS', stage_key(staged)) == 0 then return end
  local state, left, ranges, channels, deadline, started, attempts, current, history, once, hooks =
    unpack(redis.call('HMGET', job_key(job_id), 'state', 'left', 'ranges', 'reply', 'deadline', 'started', 'attempts',
      'entries', 'history', 'once', 'hooks'))
  if not counts(priority, entry_id, state, ranges, current) then
    if staged ~= '' then redis.call('UNLINK', stage_key(staged)) end
    return
  end
  inputs[#inputs + 1] = in_key(job_id, range)
  attempts = attempts or '1'
  if history or attempts ~= '1' then  -- a late answer spares it
    redis.call('ZREM', retries_key(model), priority .. ' ' .. entry_id)
  end
  if deadline and now > tonumber(deadline) then
    if staged ~= '' then redis.call('UNLINK', stage_key(staged)) end
    expire_job(job_id, model, channels)
    return
  end
  ranges = tonumber(ranges)
  local before = ranges > 1 and redis.call('HGET', job_key(job_id), 'error')
  if failure == '' then
    keep(job_id, range, ranges, payload, staged)
  elseif not before then
    redis.call('HSET', job_key(job_id), 'error', failure)
  end
  if tonumber(left) > 1 then
    redis.call('HINCRBY', job_key(job_id), 'left', -1)
    return
  end
  local first_failure = before or failure
  state = first_failure == '' and 'succeeded' or 'failed'
  local function close(...)
    close_job(job_id, model, state, once, ranges, hooks, deadline, false, 'left', '0', 'facts', facts, ...)
  end
  if state == 'succeeded' then close('expires', expires) else close() end
  if channels then
    -- Whole in the message only if it is all there is to say of the job.
    local whole = ranges == 1 and staged == '' and not history
    local sent = state == 'succeeded' and payload or nil
    reply(channels, job_id, whole and end_frame(job_id, state, started or stamp, attempts, facts, first_failure, sent))
  end
end

for outcome = 0, tonumber(ARGV[9]) - 1 do
  finish(unpack(ARGV, 10 + 9 * outcome, 18 + 9 * outcome))
end
clear()

local seen = redis.call('HMGET', model_key(model), 'entry_us', 'mode')
if entry_us > 0 then
  local old = tonumber(seen[1] or '0')
  redis.call('HSET', model_key(model), 'entry_us', int(old > 0 and 0.8 * old + 0.2 * entry_us or entry_us))
end

if max_rows == 0 or seen[2] == 'paused' then
  if not holding then redis.call('ZREM', slots, mine) end
  local next_token = waiting_count(model) > 0 and wake(model)
  send_replies()
  return {next_token or '', 0, announced and wake_deliverer() or ''}
end

-- A wake-up that was replaced meanwhile may still take a free place, else it is a duplicate.
if not called and not redis.call('ZSCORE', slots, mine) then
  if enough(alive_slots(model), wanted_slots(model)) then
    send_replies()
    return {'', 0, announced and wake_deliverer() or ''}
  end
end

-- Takes an entry for this consumer, or drops it if its job no longer wants to run.
local skipped = 0
local function take(priority, entry, attempt, retried)
  local fields = entry[2]
  local job_id, range, rows, bytes, header = fields[2], fields[4], fields[6], fields[8], fields[10]
  if fields[1] ~= 'j' or not header or not tonumber(rows) or not tonumber(bytes) then
    acknowledge(model, priority, entry[1])  -- not written by submit: nobody waits for it
    return nil
  end
  local raw = redis.call('HMGET', job_key(job_id), 'state', 'deadline', 'created', 'started', 'attempts', 'reply')
  local overdue = raw[2] and now > tonumber(raw[2])
  if not raw[1] or FINAL[raw[1]] or overdue then
    acknowledge(model, priority, entry[1])
    redis.call('UNLINK', in_key(job_id, range))
    if raw[1] and not FINAL[raw[1]] then expire_job(job_id, model, raw[6]) end
    skipped = skipped + 1
    return nil
  end
  local queued = raw[3]
  if fields[11] == 'r' then  -- it was redriven
    local before, since = string.match(fields[12], '^(%d+) (%d+)$')
    attempt, queued = attempt + tonumber(before), since
  end
  local started = raw[4] or stamp
  if not raw[4] then
    redis.call('HSET', job_key(job_id), 'state', 'running', 'started', started, 'attempts', attempt)
  elseif attempt > tonumber(raw[5]) then
    redis.call('HSET', job_key(job_id), 'attempts', attempt)
  end
  local counts = retried and redis.call('HMGET', job_key(job_id), 'retries_' .. range, 'postponed_' .. range) or {}
  return {priority, entry[1], job_id, range, rows, header, fields[11] == 'p' and fields[12],
    tonumber(started) - tonumber(queued), attempt, tonumber(counts[1] or '0'), tonumber(counts[2] or '0')},
    tonumber(rows), tonumber(bytes)
end

-- XCLAIM counts a delivery where its JUSTID form (leases) does not: so deliveries are attempts.
local function take_back(priority, entry_id, pending)
  local stream = queue_key(model, priority)
  local entry = redis.call('XCLAIM', stream, GROUP, consumer, 0, entry_id)[1]
  if entry then return take(priority, entry, pending[4] + 1, true) end
  redis.call('XACK', stream, GROUP, entry_id)
end

local function rerun()
  while true do
    local suspect = redis.call('LPOP', suspects_key(model))
    if not suspect then return nil end
    local priority, entry_id = string.match(suspect, '^(%a+) (.+)$')
    local pending = redis.call('XPENDING', queue_key(model, priority), GROUP, entry_id, entry_id, 1, SUSPECTS)[1]
    local taken = pending and take_back(priority, entry_id, pending)
    if taken then return taken end
  end
end

local function next_entry(stream)
  local answer = redis.pcall('XREADGROUP', 'GROUP', GROUP, consumer, 'COUNT', 1, 'STREAMS', stream, '>')
  if answer and answer.err then
    if not string.find(answer.err, 'NOGROUP', 1, true) then error(answer.err) end
    -- At 0, never $: what is in the stream already was accepted.
    redis.call('XGROUP', 'CREATE', stream, GROUP, '0')
    answer = redis.call('XREADGROUP', 'GROUP', GROUP, consumer, 'COUNT', 1, 'STREAMS', stream, '>')
  end
  return answer and answer[1][2][1]
end

-- Mostly the urgent first; the others lead every fourth and sixteenth time, so none starves.
local function order()
  local turn = redis.call('HINCRBY', model_key(model), 'turn', 1) - 1
  if turn % 16 == 15 then return {'low', 'normal', 'high'} end
  if turn % 4 == 3 then return {'normal', 'high', 'low'} end
  return PRIORITIES
end

local claim, read, rows, bytes, more = {'', 0, ''}, 0, 0, 0, false
local function add(taken, taken_rows, taken_bytes)
  if taken then
    claim[#claim + 1] = taken
    rows, bytes = rows + taken_rows, bytes + taken_bytes
  end
  more = rows >= max_rows or bytes >= max_bytes or skipped >= 300
end

local suspect = rerun()
if suspect then
  claim[4], more = suspect, true
else
  while not more do
    local member = redis.call('ZRANGEBYSCORE', retries_key(model), '-inf', int(now), 'LIMIT', 0, 1)[1]
    if not member then break end
    redis.call('ZREM', retries_key(model), member)
    local priority, entry_id = string.match(member, '^(%a+) (.+)$')
    local pending = redis.call('XPENDING', queue_key(model, priority), GROUP, entry_id, entry_id, 1, RETRIES)[1]
    if pending then add(take_back(priority, entry_id, pending)) end
  end
  for _, priority in ipairs(order()) do
    local stream = queue_key(model, priority)
    local entry = not more and redis.call('XLEN', stream) > 0 and next_entry(stream)
    while entry do
      read = read + 1
      add(take(priority, entry, 1))
      entry = not more and next_entry(stream)
    end
  end
end

if read > 0 then redis.call('HINCRBY', model_key(model), 'claimed', read) end

if #claim > 3 or holding then
  redis.call('ZADD', slots, int(now + settings.lease_us), mine)
else
  redis.call('ZREM', slots, mine)
  if listen_us > 0 and not more then
    redis.call('ZADD', listeners_key(), int(now + listen_us), consumer)
    claim[2] = 1
  end
end
if more and waiting_count(model) > 0 then claim[1] = wake(model) or '' end
if announced then claim[3] = wake_deliverer() end
send_replies()
return claim
