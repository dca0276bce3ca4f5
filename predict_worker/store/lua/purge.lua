-- Cancel the jobs of a model that no child is at work on, some hundred at a time.
-- ARGV: model, priority, first entry id, last entry id or '' for those that there are now.
-- Returns {cancelled, the first entry id to go on with or '', last entry id}.
local model, priority, first = ARGV[1], ARGV[2], ARGV[3]
local last = ARGV[4] ~= '' and ARGV[4] or int(now / 1000)
local stream, cancelled = queue_key(model, priority), 0

local function at_work(entry_ids)
  for entry_id in string.gmatch(entry_ids or '', '[^,]+') do
    local pending = redis.pcall('XPENDING', stream, GROUP, entry_id, entry_id, 1)[1]
    if pending and pending[2] ~= SUSPECTS and pending[2] ~= RETRIES then return true end
  end
  return false
end

local entries = redis.call('XRANGE', stream, first, last, 'COUNT', 300)
for _, entry in ipairs(entries) do
  local id = entry[2][2]
  local raw = redis.call('HMGET', job_key(id), 'state', 'entries', 'reply')
  if raw[1] and not FINAL[raw[1]] and not at_work(raw[2]) then
    remove_entries(id, model, priority, raw[2])
    end_job(id, model, 'cancelled')
    reply(raw[3], id)
    cancelled = cancelled + 1
  end
end
send_replies()
return {cancelled, #entries == 300 and '(' .. entries[300][1] or '', last}
