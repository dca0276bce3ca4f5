-- The dead letters of a model, newest first. ARGV: model, limit. Returns {job id, moment, …}.
local dead = dead_key(ARGV[1])
redis.call('ZREMRANGEBYSCORE', dead, '-inf', int(now - settings.record_ttl_ms * 1000))
return redis.call('ZREVRANGE', dead, 0, tonumber(ARGV[2]) - 1, 'WITHSCORES')
