-- KEYS: messages, positions by id. ARGV: id, message, number of messages expected or '', time to live in ms.
-- Returns {1, position}, or {0, number of messages} where that is another than expected.
local length = redis.call('LLEN', KEYS[1])
if length == 0 then
  -- Where memory is short, Redis may have evicted one of the two keys: the positions would name messages that are gone.
  redis.call('DEL', KEYS[2])
end
local known = redis.call('HGET', KEYS[2], ARGV[1])
if known then
  return {1, tonumber(known)}
end
if ARGV[3] ~= '' and tonumber(ARGV[3]) ~= length then
  return {0, length}
end
length = redis.call('RPUSH', KEYS[1], ARGV[2])
redis.call('HSET', KEYS[2], ARGV[1], length)
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return {1, length}
