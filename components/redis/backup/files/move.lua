-- MIGRATE commands for up to 16 keys of each of some slots, as `redis-cli --pipe` sends them, since a key's name may hold
-- any byte; nothing if there are no keys. To be called and sent until then.
-- ARGV: host, port, first slot, last slot, REPLACE or nothing, user, password
-- https://redis.io/docs/latest/commands/migrate/
local host, port, first, last, replace, user, password = unpack(ARGV)
local KEYS_AT_ONCE, TIMEOUT_MS = 16, 600000

local sent = {}
for slot = tonumber(first), tonumber(last) do
  local keys = redis.call('CLUSTER', 'GETKEYSINSLOT', slot, KEYS_AT_ONCE)
  if #keys > 0 then
    local words = {'MIGRATE', host, port, '', '0', tostring(TIMEOUT_MS)}
    if replace ~= '' then
      table.insert(words, replace)
    end
    for _, word in ipairs({'AUTH2', user, password, 'KEYS', unpack(keys)}) do
      table.insert(words, word)
    end
    table.insert(sent, '*' .. #words .. '\r\n')
    for _, word in ipairs(words) do
      table.insert(sent, '$' .. #word .. '\r\n' .. word .. '\r\n')
    end
  end
end
return table.concat(sent)
