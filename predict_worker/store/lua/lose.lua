-- Shared by recover and sweep: what happens to an entry whose consumer is lost.

-- The job is over its bound: it fails and is kept, with its inputs, in the dead letters.
local function bury(job_id, model, loss, history)
  local raw = redis.call('HMGET', job_key(job_id), 'priority', 'entries', 'reply', 'strikes', 'losses')
  local stream, range = queue_key(model, raw[1]), 0
  for entry_id in string.gmatch(raw[2], '[^,]+') do
    local entry = redis.call('XRANGE', stream, entry_id, entry_id)[1]
    if entry and entry[2][12] then
      redis.call('SET', in_key(job_id, range), entry[2][12], 'PX', settings.record_ttl_ms)
    else
      redis.call('PEXPIRE', in_key(job_id, range), settings.record_ttl_ms)
    end
    acknowledge(model, raw[1], entry_id)
    range = range + 1
  end
  local failure = {code = loss == 'timeout' and 'timeout' or 'worker_died',
    title = loss == 'timeout' and 'Prediction exceeded its hard limit' or 'Worker process died',
    detail = 'given up after ' .. (raw[4] or '0') .. ' deaths of a worker process that ran this job alone, ' ..
      (raw[5] or '0') .. ' losses of a whole worker'}
  end_job(job_id, model, 'failed', 'error', cjson.encode(failure))
  redis.call('ZADD', dead_key(model), int(now), job_id)
  redis.call('ZREMRANGEBYSCORE', dead_key(model), '-inf', int(now - settings.record_ttl_ms * 1000))
  reply(raw[3], job_id)
end

-- Jobs that this script has counted the loss of: several of its ranges may be lost at once.
local counted = {}

local function lose(model, priority, entry_id, loss, alone)
  local stream = queue_key(model, priority)
  local entry = redis.call('XRANGE', stream, entry_id, entry_id)[1]
  local job_id = entry and entry[2][2]
  local raw = job_id and redis.call('HMGET', job_key(job_id), 'state', 'history', 'attempts')
  if not raw or not raw[1] or FINAL[raw[1]] then
    acknowledge(model, priority, entry_id)
    return
  end
  if loss ~= 'handback' and not counted[job_id] then
    counted[job_id] = true
    local strikes, losses = 0, 0
    if loss == 'node' then
      losses = redis.call('HINCRBY', job_key(job_id), 'losses', 1)
    elseif alone then
      strikes = redis.call('HINCRBY', job_key(job_id), 'strikes', 1)
    end
    local history = cjson.decode(raw[2] or '[]')
    history[#history + 1] = {attempt = tonumber(raw[3]), loss = loss, alone = alone, at_us = int(now)}
    redis.call('HSET', job_key(job_id), 'history', cjson.encode(history))
    if strikes >= settings.max_strikes or losses >= settings.max_node_losses then
      bury(job_id, model, loss)
      return
    end
  end
  redis.call('XCLAIM', stream, GROUP, SUSPECTS, 0, entry_id, 'JUSTID')
  redis.call('RPUSH', suspects_key(model), priority .. ' ' .. entry_id)
end
