-- ARGV: model. Returns {waiting, queued and claimed, entry_us, ready children, mode or ''}.
local model = ARGV[1]
local raw = redis.call('HMGET', model_key(model), 'entry_us', 'mode')
local later = redis.call('ZCOUNT', retries_key(model), '(' .. int(now), '+inf')
return {waiting_count(model) + later, entry_count(model), raw[1] or '0', ready_children(model), raw[2] or ''}
