-- The jobs of an owner, newest first.
-- ARGV: owner, limit, cursor (a stream id or '+'), its job id or '', state or '', model or ''.
-- Returns {cursor or '', its job id, moment, job id, …}.
local owned, limit, from, state, model = owned_key(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[5], ARGV[6]
local answer, last_moment, last_id, read = {'', ''}, '', '', 0
while read < 1000 do
  local entries = redis.call('XREVRANGE', owned, from, '-', 'COUNT', 100)
  for _, entry in ipairs(entries) do
    local moment, id = entry[1], entry[2][2]
    local passed = moment == ARGV[3] and id >= ARGV[4]
    local raw = not passed and redis.call('HMGET', job_key(id), 'state', 'model')
    if raw and raw[1] and (state == '' or raw[1] == state) and (model == '' or raw[2] == model) then
      if #answer == 2 + 2 * limit then
        answer[1], answer[2] = last_moment, last_id
        return answer
      end
      answer[#answer + 1], answer[#answer + 2] = moment, id
    end
    last_moment, last_id = moment, id
  end
  if #entries < 100 then return answer end
  read, from = read + 100, '(' .. last_moment
end
answer[1], answer[2] = last_moment, last_id
return answer
