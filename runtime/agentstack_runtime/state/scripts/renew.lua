-- KEYS: the lock, its newest token. ARGV: who holds it, lease in ms, time to live of the token in ms.
-- Returns whether that was so.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
-- The token outlives the lock however long that is held.
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
