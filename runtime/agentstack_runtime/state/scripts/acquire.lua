-- KEYS: the lock, its newest token. ARGV: who wants it, lease in ms, time to live of the token in ms.
-- Returns the token as text, or '' where somebody else holds the lock.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return ''
end
local newest = redis.call('GET', KEYS[2])
if holder and newest then
  -- Asked again, since the answer was not heard: another token would fence out whoever heard the first answer.
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return newest
end
-- The time in microseconds, which a double holds exactly: tokens grow even where a failover lost the last one.
local time = redis.call('TIME')
local token = tonumber(time[1]) * 1000000 + tonumber(time[2])
if newest and token <= tonumber(newest) then
  token = tonumber(newest) + 1
end
local text = string.format('%.0f', token)
redis.call('SET', KEYS[2], text, 'PX', ARGV[3])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return text
