-- Deliveries, newest first.
-- ARGV: limit, cursor (a moment or '+inf'), its delivery id or '', owner, 1 if of that owner alone, job id or ''.
-- Returns {cursor or '', its delivery id, moment, delivery id, …}.
local owner, job_id = ARGV[5] == '1' and ARGV[4], ARGV[6]
return newest_first(tonumber(ARGV[1]), ARGV[2], ARGV[3], by_moment(deliveries_key(), ARGV[2]), function(id)
  if job_id ~= '' and string.sub(id, 1, #job_id) ~= job_id then return false end
  local of = redis.call('HGET', delivery_key(id), 'owner')
  return of and (not owner or of == owner)
end)
