-- Appends messages to a room's stream and publishes them, in one step.
-- KEYS  stream (also the channel's name), origins
-- ARGV  PUBLISH or SPUBLISH, most entries, milliseconds they are kept, origin, envelope head,
--       then for each message: its number at this origin, its bytes
-- Answers how many were appended: fewer than given if some had been before (a lost answer).
local stream, origins = KEYS[1], KEYS[2]
local capacity, kept, origin, head = ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]

local last = redis.call('HGET', origins, origin)
last = last and tonumber(string.match(last, '^%d+')) or 0

local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local millis = math.floor(micros / 1000)
local epoch, offset = string.format('%.0f', micros), 0
local tail = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
if tail then
  local at, number = string.match(tail[1], '^(%d+)-(%d+)$')
  if tail[2][1] ~= 'e' then
    return redis.error_reply('FOREIGN entry ' .. tail[1] .. ' is none of a gateway')
  end
  epoch, offset, millis = tail[2][2], tonumber(number), math.max(millis, tonumber(at))
end

local id = string.format('%.0f-', millis)
local first, messages = offset + 1, {}
for index = 6, #ARGV, 2 do
  local number = tonumber(ARGV[index])
  if number > last then
    offset, last = offset + 1, number
    redis.call('XADD', stream, 'MAXLEN', '=', capacity, id .. string.format('%.0f', offset),
      'e', epoch, 'h', head, 'm', ARGV[index + 1])
    messages[#messages + 1] = ARGV[index + 1]
  end
end
if #messages == 0 then
  return 0
end
redis.call('XTRIM', stream, 'MINID', '=', string.format('%.0f-0', millis - kept))
redis.call('PEXPIRE', stream, ARGV[3])

redis.call('HSET', origins, origin, string.format('%.0f %.0f', last, millis))
redis.call('PEXPIRE', origins, ARGV[3])
if redis.call('HLEN', origins) > 64 then
  -- Every boot of a node is an origin; the one that has been silent for longest has ended.
  local all, oldest, quiet = redis.call('HGETALL', origins), nil, math.huge
  for index = 1, #all, 2 do
    local said = tonumber(string.match(all[index + 1], '%d+$'))
    if said < quiet then
      oldest, quiet = all[index], said
    end
  end
  redis.call('HDEL', origins, oldest)
end

local place = struct.pack('>I8I8I8', tonumber(epoch), millis, first)
redis.call(ARGV[1], stream, place .. head .. table.concat(messages))
return #messages
