-- KEYS: the value (hash of version v, data d, highest fencing token f), and with a fence the newest token of its lock.
-- ARGV: expected version or '', data, time to live in ms, fencing token or '', channel to wake or '', time to live of
-- the token in ms.
-- Returns {1, version}, {0, version} where that is not the expected one, {-1, 0} where the lock has a newer holder.
local version = tonumber(redis.call('HGET', KEYS[1], 'v') or '0')
if ARGV[4] ~= '' then
  local token = tonumber(ARGV[4])
  local newest = tonumber(redis.call('GET', KEYS[2]) or '0')
  local seen = tonumber(redis.call('HGET', KEYS[1], 'f') or '0')
  if token < newest or token < seen then
    return {-1, 0}
  end
end
if ARGV[1] ~= '' and tonumber(ARGV[1]) ~= version then
  return {0, version}
end
redis.call('HSET', KEYS[1], 'v', version + 1, 'd', ARGV[2])
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[1], 'f', ARGV[4])
  if tonumber(ARGV[4]) > tonumber(redis.call('GET', KEYS[2]) or '0') then
    -- A failover lost it: from now on older ones are refused for every value again.
    redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[6])
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
if ARGV[5] ~= '' then
  redis.call('PUBLISH', ARGV[5], version + 1)
end
return {1, version + 1}
