-- Cancel a queued or running job: it leaves the queue; what a worker still computes is discarded.
-- ARGV: job id. Returns its state before, or ''.
local id = ARGV[1]
local raw = redis.call('HMGET', job_key(id), 'state', 'model', 'priority', 'entries', 'reply')
if not raw[1] then return '' end
if not FINAL[raw[1]] then
  remove_entries(id, raw[2], raw[3], raw[4])
  end_job(id, raw[2], 'cancelled')
  reply(raw[5], id)
  send_replies()
end
return raw[1]
