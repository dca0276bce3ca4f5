-- Deliveries, newest first.
-- ARGV: limit, cursor (a moment or '+inf'), its delivery id or '', owner, 1 if of that owner alone, job id or ''.
-- Returns {cursor or '', its delivery id, moment, delivery id, …}.
local limit, owner, job_id = tonumber(ARGV[1]), ARGV[5] == '1' and ARGV[4], ARGV[6]
local answer, last_moment, last_id, read = {'', ''}, '', '', 0
while read < 1000 do
  local found = redis.call('ZREVRANGEBYSCORE', deliveries_key(), ARGV[2], '-inf', 'WITHSCORES', 'LIMIT', read, 100)
  for at = 1, #found, 2 do
    local id, moment = found[at], found[at + 1]
    local wanted = (job_id == '' or string.sub(id, 1, #job_id) == job_id) and
      not (moment == ARGV[2] and id >= ARGV[3])
    local of = wanted and redis.call('HGET', delivery_key(id), 'owner')
    if of and (not owner or of == owner) then
      if #answer == 2 + 2 * limit then
        answer[1], answer[2] = last_moment, last_id
        return answer
      end
      answer[#answer + 1], answer[#answer + 2] = moment, id
    end
    last_moment, last_id = moment, id
  end
  if #found < 200 then return answer end
  read = read + 100
end
answer[1], answer[2] = last_moment, last_id
return answer
