-- Appends messages to a room's stream and publishes them, in one step.
-- KEYS  stream (also the channel's name), origins
-- ARGV  PUBLISH or SPUBLISH, most entries, most bytes, milliseconds they are kept, origin, envelope
--       head, then for each message: its number at this origin, its bytes
-- Answers how many were appended: fewer than given if some had been before (a lost answer).
local stream, origins = KEYS[1], KEYS[2]
local capacity, bytes_max, kept = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local origin, head = ARGV[5], ARGV[6]

local last = redis.call('HGET', origins, origin)
last = last and tonumber(string.match(last, '^%d+')) or 0

-- What an entry counts as: what Redis (7.0, jemalloc) takes for one of this length at most.
local function weigh(bytes)
  return math.ceil(bytes * 1.25) + 128
end
local function size(fields)
  return weigh(#(fields[4] or '') + #(fields[6] or ''))
end
-- Bytes appended up to and with an entry, as its field b says; older versions wrote none. Lua takes more for a
-- number than we write: 'nan' and '-inf' would be in every sum from then on.
local function total_of(fields)
  local text = fields[7] == 'b' and fields[8] or ''
  return #text < 16 and string.find(text, '^%d+$') and tonumber(text) or nil
end

local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local millis = math.floor(micros / 1000)
local epoch, offset, total = string.format('%.0f', micros), 0, 0
local tail = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
if tail then
  local at, number = string.match(tail[1], '^(%d+)-(%d+)$')
  if tail[2][1] ~= 'e' then
    return redis.error_reply('FOREIGN entry ' .. tail[1] .. ' is none of a gateway')
  end
  epoch, offset, millis = tail[2][2], tonumber(number), math.max(millis, tonumber(at))
  total = total_of(tail[2])
  if not total then
    total = 0
    for _, entry in ipairs(redis.call('XRANGE', stream, '-', '+')) do
      total = total_of(entry[2]) or total + size(entry[2])
    end
  end
end

local id = string.format('%.0f-', millis)
local first, messages = offset + 1, {}
for index = 7, #ARGV, 2 do
  local number, message = tonumber(ARGV[index]), ARGV[index + 1]
  if number > last then
    offset, last = offset + 1, number
    total = total + weigh(#head + #message)
    redis.call('XADD', stream, 'MAXLEN', '=', capacity, id .. string.format('%.0f', offset),
      'e', epoch, 'h', head, 'm', message, 'b', string.format('%.0f', total))
    messages[#messages + 1] = message
  end
end
if #messages == 0 then
  return 0
end
redis.call('XTRIM', stream, 'MINID', '=', string.format('%.0f-0', millis - kept))
redis.call('PEXPIRE', stream, ARGV[4])

-- The oldest go until the rest is within the bytes; the newest stays whatever its size.
local oldest = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
local least, held = size(oldest[2]), total_of(oldest[2])
held = held and total - held + least
-- Not as we count: the entries are of different versions, or somebody else's.
if not held or held < least then
  held = 0
  for _, entry in ipairs(redis.call('XRANGE', stream, '-', '+')) do
    held = held + size(entry[2])
  end
end
local newest, from, keep = id .. string.format('%.0f', offset), '-', nil
local is_over = held > bytes_max
while is_over do
  for _, entry in ipairs(redis.call('XRANGE', stream, from, '+', 'COUNT', 16)) do
    keep, from = entry[1], '(' .. entry[1]
    is_over = held > bytes_max and keep ~= newest
    if not is_over then
      break
    end
    held = held - size(entry[2])
  end
end
if keep then
  redis.call('XTRIM', stream, 'MINID', '=', keep)
end

redis.call('HSET', origins, origin, string.format('%.0f %.0f', last, millis))
redis.call('PEXPIRE', origins, ARGV[4])
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
