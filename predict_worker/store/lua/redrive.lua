-- A dead letter goes back to its queue; what other ranges of it have answered stays.
-- ARGV: job id, queue bound of the model.
-- Returns {'redriven'|'unknown'|'alive'|'gone'|'full'|'full_total', wake-up or '', model,
--          microseconds until there is room}.
local id = ARGV[1]
local job = job_key(id)
local raw = redis.call('HMGET', job, 'state', 'model', 'priority', 'entries', 'kept', 'ranges', 'attempts', 'once')
if not raw[1] then return {'unknown', '', '', '0'} end
if not raw[5] then return {'alive', '', '', '0'} end
local model, priority, kept = raw[2], raw[3], {}
local parts = cjson.decode(raw[5])
for _, part in ipairs(parts) do kept[part[1]] = true end
for range = 0, tonumber(raw[6]) - 1 do
  local needed = kept[range] and in_key(id, range) or out_key(id, range)
  if redis.call('EXISTS', needed) == 0 then return {'gone', '', '', '0'} end
end
local total = tonumber(redis.call('GET', entries_key()) or '0')
local mode = redis.call('HGET', model_key(model), 'mode')
local bound, entries = passed_bound(mode, entry_count(model), total, #parts, tonumber(ARGV[2]))
if bound then return {bound, '', model, int(work_us(model, entries) / 10)} end

redis.call('ZREM', dead_key(model), id)
redis.call('PERSIST', job)
if raw[8] then redis.call('PERSIST', once_key(raw[8])) end
local entry_ids = {}
for entry_id in string.gmatch(raw[4], '[^,]+') do entry_ids[#entry_ids + 1] = entry_id end
for range = 0, tonumber(raw[6]) - 1 do
  redis.call('PERSIST', kept[range] and in_key(id, range) or out_key(id, range))
  redis.call('HDEL', job, 'retries_' .. range, 'postponed_' .. range)
end
for _, part in ipairs(parts) do
  -- Its attempts go on from here, and it waits from now on.
  entry_ids[part[1] + 1] = redis.call('XADD', queue_key(model, priority), '*',
    'j', id, 'k', part[1], 'n', part[2], 'b', part[3], 'h', part[4], 'r', raw[7] .. ' ' .. int(now))
end
redis.call('HDEL', job, 'finished', 'started', 'deadline', 'error', 'facts', 'kept', 'strikes', 'losses', 'reply')
local before = redis.call('HINCRBY', model_key(model), 'submitted', #parts) - #parts
redis.call('HSET', job, 'state', 'queued', 'left', #parts, 'entries', table.concat(entry_ids, ','),
  'before', before)
redis.call('INCRBY', entries_key(), #parts)
return {'redriven', wake(model) or '', model, '0'}
