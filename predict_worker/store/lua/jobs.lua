-- The jobs of an owner, newest first.
-- ARGV: owner, limit, cursor (a stream id or '+'), its job id or '', state or '', model or ''.
-- Returns {cursor or '', its job id, moment, job id, …}.
local owned, state, model = owned_key(ARGV[1]), ARGV[5], ARGV[6]

local function read(_, last_moment)
  local from, found = last_moment == '' and ARGV[3] or '(' .. last_moment, {}
  for _, entry in ipairs(redis.call('XREVRANGE', owned, from, '-', 'COUNT', 100)) do
    found[#found + 1], found[#found + 2] = entry[2][2], entry[1]
  end
  return found
end

return newest_first(tonumber(ARGV[2]), ARGV[3], ARGV[4], read, function(id)
  local raw = redis.call('HMGET', job_key(id), 'state', 'model')
  return raw[1] and (state == '' or raw[1] == state) and (model == '' or raw[2] == model)
end)
