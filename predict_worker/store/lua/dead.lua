-- The dead letters of a model, newest first.
-- ARGV: model, limit, cursor (a moment or '+inf'), its job id or '', owner, 1 if of that owner alone.
-- Returns {cursor or '', its job id, moment, job id, …}.
local dead, owner = dead_key(ARGV[1]), ARGV[6] == '1' and ARGV[5]
redis.call('ZREMRANGEBYSCORE', dead, '-inf', int(now - settings.record_ttl_ms * 1000))
return newest_first(tonumber(ARGV[2]), ARGV[3], ARGV[4], by_moment(dead, ARGV[3]), function(id)
  return not owner or redis.call('HGET', job_key(id), 'owner') == owner
end)
