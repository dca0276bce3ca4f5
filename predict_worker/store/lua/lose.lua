-- Shared by recover and sweep: what happens to an entry whose consumer is lost.

-- The job is over its bound. Where another range has failed for good, it fails as that has.
local function give_up(job_id, model, loss)
  local raw = redis.call('HMGET', job_key(job_id), 'priority', 'entries', 'reply', 'strikes', 'losses', 'error')
  if raw[6] then
    remove_entries(job_id, model, raw[1], raw[2])
    end_job(job_id, model, 'failed')
    reply(raw[3], job_id)
    return
  end
  bury(job_id, model, cjson.encode({code = loss == 'timeout' and 'timeout' or 'worker_died',
    title = loss == 'timeout' and 'Prediction exceeded its hard limit' or 'Worker process died',
    detail = 'given up after ' .. (raw[4] or '0') .. ' deaths of a worker process that ran this job alone, ' ..
      (raw[5] or '0') .. ' losses of a whole worker'}))
end

-- Jobs that this script has counted the loss of: several of its ranges may be lost at once.
local counted = {}

local function lose(model, priority, entry_id, loss, alone)
  local stream = queue_key(model, priority)
  local entry = redis.call('XRANGE', stream, entry_id, entry_id)[1]
  local job_id = entry and entry[2][2]
  local raw = job_id and redis.call('HMGET', job_key(job_id), 'state', 'attempts')
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
    remember(job_id, {attempt = tonumber(raw[2]), loss = loss, alone = alone, at_us = int(now)})
    if strikes >= settings.max_strikes or losses >= settings.max_node_losses then
      give_up(job_id, model, loss)
      return
    end
  end
  redis.call('XCLAIM', stream, GROUP, SUSPECTS, 0, entry_id, 'JUSTID')
  redis.call('RPUSH', suspects_key(model), priority .. ' ' .. entry_id)
end
