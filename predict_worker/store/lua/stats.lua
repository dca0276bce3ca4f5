-- ARGV: model. Returns {waiting, queued and claimed, entry_us, ready children}.
local model = ARGV[1]
return {waiting_count(model), entry_count(model),
  redis.call('HGET', model_key(model), 'entry_us') or '0', ready_children(model)}
