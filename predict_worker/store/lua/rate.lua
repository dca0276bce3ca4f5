-- Count a request against each of a caller's rates, or against none where one of them is used up.
-- ARGV: caller, then of each rate its counter, quota and window in ms.
-- Returns whether it is granted, then of each rate what remains and in how many ms all is there again.
local caller, granted, left = ARGV[1], 1, {}

for at = 2, #ARGV, 3 do
  if tonumber(redis.call('GET', rate_key(caller, ARGV[at])) or 0) >= tonumber(ARGV[at + 1]) then granted = 0 end
end

for at = 2, #ARGV, 3 do
  local key, used = rate_key(caller, ARGV[at]), nil
  if granted == 1 then
    used = redis.call('INCR', key)
    if used == 1 then redis.call('PEXPIRE', key, ARGV[at + 2]) end
  else
    used = tonumber(redis.call('GET', key) or 0)
  end
  local reset = redis.call('PTTL', key)
  left[#left + 1] = tonumber(ARGV[at + 1]) - used
  left[#left + 1] = reset < 0 and tonumber(ARGV[at + 2]) or reset
end

return {granted, unpack(left)}
