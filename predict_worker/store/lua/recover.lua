-- A consumer, or all of a node, is lost: its entries wait for a rerun, each alone.
-- ARGV: model, consumer or 'node:', loss. Returns the number of entries.
local model, lost, loss = ARGV[1], ARGV[2], ARGV[3]

local function matches(consumer)
  if consumer == SUSPECTS or consumer == RETRIES then return false end
  return consumer == lost or (string.sub(lost, -1) == ':' and string.sub(consumer, 1, #lost) == lost)
end

local held = {}  -- consumer -> {{priority, entry id}, …}
for _, priority in ipairs(PRIORITIES) do
  local stream = queue_key(model, priority)
  local consumers = redis.call('EXISTS', stream) == 1 and redis.pcall('XINFO', 'CONSUMERS', stream, GROUP) or {}
  for _, info in ipairs(consumers) do
    local consumer, count = info[2], info[4]
    if matches(consumer) then
      held[consumer] = held[consumer] or {}
      for _, pending in ipairs(redis.call('XPENDING', stream, GROUP, '-', '+', count, consumer)) do
        table.insert(held[consumer], {priority, pending[1]})
      end
    end
  end
end

local function remove_from(set, lost_with)
  for _, member in ipairs(redis.call('ZRANGE', set, 0, -1)) do
    if lost_with(member) then redis.call('ZREM', set, member) end
  end
end

-- The slot of a child that held nothing too: one that was rung and died before its step. And every sent
-- one, that the dead may have received: it could have lapsed, and doubled its interval, often before.
local function slot_lost(slot)
  if string.sub(slot, 1, 1) ~= '@' then return loss ~= 'handback' end
  return matches(string.sub(slot, 2))
end

redis.call('ZREM', slots_key(model), '@' .. lost)  -- a first write that a full Redis admits
remove_from(slots_key(model), slot_lost)
remove_from(listeners_key(), matches)
if loss ~= 'handback' then remove_from(ready_key(model), matches) end

local count = 0
for consumer, entries in pairs(held) do
  for _, entry in ipairs(entries) do
    lose(model, entry[1], entry[2], loss, #entries == 1)
    count = count + 1
  end
  for _, priority in ipairs(PRIORITIES) do
    -- Safe here only: within this script nothing of it is pending any more.
    redis.pcall('XGROUP', 'DELCONSUMER', queue_key(model, priority), GROUP, consumer)
  end
end
send_replies()
return count
