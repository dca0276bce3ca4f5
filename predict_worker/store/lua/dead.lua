-- The dead letters of a model, newest first.
-- ARGV: model, limit, cursor (a moment or '+inf'), its job id or '', owner, 1 if of that owner alone.
-- Returns {cursor or '', its job id, moment, job id, …}.
local dead, limit, owner = dead_key(ARGV[1]), tonumber(ARGV[2]), ARGV[6] == '1' and ARGV[5]
redis.call('ZREMRANGEBYSCORE', dead, '-inf', int(now - settings.record_ttl_ms * 1000))
local answer, last_moment, last_id, read = {'', ''}, '', '', 0
while read < 1000 do
  local letters = redis.call('ZREVRANGEBYSCORE', dead, ARGV[3], '-inf', 'WITHSCORES', 'LIMIT', read, 100)
  for at = 1, #letters, 2 do
    local id, moment = letters[at], letters[at + 1]
    local passed = moment == ARGV[3] and id >= ARGV[4]
    if not passed and (not owner or redis.call('HGET', job_key(id), 'owner') == owner) then
      if #answer == 2 + 2 * limit then
        answer[1], answer[2] = last_moment, last_id
        return answer
      end
      answer[#answer + 1], answer[#answer + 2] = moment, id
    end
    last_moment, last_id = moment, id
  end
  if #letters < 200 then return answer end
  read = read + 100
end
answer[1], answer[2] = last_moment, last_id
return answer
