-- Serve, pause or drain a model.
-- ARGV: model, mode. Returns a wake-up or ''.
local model, mode = ARGV[1], ARGV[2]
redis.call('HDEL', model_key(model), 'mode')  -- a first write that a full Redis admits
if mode ~= 'serving' then redis.call('HSET', model_key(model), 'mode', mode) end
return waiting_count(model) > 0 and wake(model) or ''
