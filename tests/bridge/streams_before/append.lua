-- Appends messages to a room's stream and publishes them, in one step.
-- KEYS  stream (also the channel's name), origins, then the archive if there is one
-- ARGV  PUBLISH or SPUBLISH, most entries, most bytes, milliseconds they are kept, origin, envelope
--       head, with an archive its most bytes and the milliseconds that it keeps, then for each message: its number
--       at this origin, its bytes, with an archive what is kept of it there (nothing: it is no event)
-- Answers how many were appended: fewer than given if some had been before (a lost answer).
local stream, origins, archive = KEYS[1], KEYS[2], KEYS[3]
local first_argument, step = archive and 9 or 7, archive and 3 or 2
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
-- Lua takes more for a number than we write: 'nan' and '-inf' would be in every sum from then on.
local function count(text)
  return text and #text < 16 and string.find(text, '^%d+$') and tonumber(text) or nil
end
-- Bytes appended up to and with an entry, as its field b says; older versions wrote none.
local function total_of(fields)
  return fields[7] == 'b' and count(fields[8]) or nil
end

local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local millis = math.floor(micros / 1000)
local epoch, offset, total = string.format('%.0f', micros), 0, 0
local tail = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
if tail then
  local at, number = string.match(tail[1], '^(%d+)-(%d+)$')
  -- Nothing may fail once the first entry is written: what was appended and not published would be a repeat next time.
  if tail[2][1] ~= 'e' or not string.find(tail[2][2], '^%d+$') then
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

-- The archive has all rooms of this Redis, one entry behind the other: each counts them from 1 in a life of the
-- archive, and the bytes up to its own. Within a room times rise, whatever the clock does.
local archived, life, place, weight, said = nil, string.format('%.0f', micros), 0, 0, micros
if archive then
  archived = math.floor(micros / 1000)
  local newest = redis.call('XREVRANGE', archive, '+', '-', 'COUNT', 1)[1]
  if newest then
    if newest[2][1] ~= 'a' or not string.find(newest[2][2], '^%d+$') then
      return redis.error_reply('FOREIGN entry ' .. newest[1] .. ' is none of a gateway')
    end
    local at, number = string.match(newest[1], '^(%d+)-(%d+)$')
    archived, place = math.max(archived, tonumber(at)), tonumber(number)
    life, weight = newest[2][2], count(newest[2][4]) or 0
  end
  local before = redis.call('HGET', origins, 'said')
  said = math.max(said, before and string.find(before, '^%d+$') and #before < 17 and tonumber(before) + 1 or 0)
end
local began, held_before = said, weight
local function archive_entry(record)
  place, weight = place + 1, weight + weigh(#stream + #record)
  redis.call('XADD', archive, string.format('%.0f-%.0f', archived, place), 'a', life, 'b', string.format('%.0f', weight),
    'r', stream, 'e', epoch, 'o', string.format('%.0f', offset), 't', string.format('%.0f', said), 'j', record)
  said = said + 1
end
-- The oldest go that are too old, and then until the rest is within the bytes; never the newest. Redis does nothing else
-- meanwhile, so a call removes no more than this beside twice of what it adds, and the next ones what is left.
local removes, removes_bytes, node = 1000, 1048576, 100
local function trim_archive(bytes_max, kept_for, added)
  local most, aged = removes + 2 * added, string.format('%.0f-0', archived - kept_for)
  -- By whole nodes of the stream; unless it ended with the limit, what is left of them is in one.
  if redis.call('XTRIM', archive, 'MINID', '~', aged, 'LIMIT', most) <= most - node then
    redis.call('XTRIM', archive, 'MINID', '=', aged)
  end
  redis.call('PEXPIRE', archive, kept_for)
  local newest, most_bytes = string.format('%.0f-%.0f', archived, place), removes_bytes + 2 * (weight - held_before)
  -- Mostly the oldest stays.
  local from, keep, is_over, removed, piece = '-', newest, true, 0, 1
  while is_over do
    for _, entry in ipairs(redis.call('XRANGE', archive, from, '+', 'COUNT', piece)) do
      keep, from = entry[1], '(' .. entry[1]
      local bytes = weigh(#(entry[2][6] or '') + #(entry[2][14] or ''))
      is_over = weight - (count(entry[2][4]) or 0) + bytes > bytes_max and keep ~= newest and removed < most_bytes
      if not is_over then
        break
      end
      removed = removed + bytes
    end
    piece = math.min(2 * piece, 16)
  end
  redis.call('XTRIM', archive, 'MINID', '=', keep)
end

local id = string.format('%.0f-', millis)
local first, messages = offset + 1, {}
for index = first_argument, #ARGV, step do
  local number, message = tonumber(ARGV[index]), ARGV[index + 1]
  if number > last then
    offset, last = offset + 1, number
    total = total + weigh(#head + #message)
    redis.call('XADD', stream, 'MAXLEN', '=', capacity, id .. string.format('%.0f', offset),
      'e', epoch, 'h', head, 'm', message, 'b', string.format('%.0f', total))
    messages[#messages + 1] = message
    if archive and ARGV[index + 2] ~= '' then
      archive_entry(ARGV[index + 2])
    end
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
local is_over, piece = held > bytes_max, 2
while is_over do
  for _, entry in ipairs(redis.call('XRANGE', stream, from, '+', 'COUNT', piece)) do
    keep, from = entry[1], '(' .. entry[1]
    is_over = held > bytes_max and keep ~= newest
    if not is_over then
      break
    end
    held = held - size(entry[2])
  end
  piece = math.min(2 * piece, 16)
end
if keep then
  redis.call('XTRIM', stream, 'MINID', '=', keep)
end

redis.call('HSET', origins, origin, string.format('%.0f %.0f', last, millis))
if said > began then
  trim_archive(tonumber(ARGV[7]), tonumber(ARGV[8]), #messages)
  redis.call('HSET', origins, 'said', string.format('%.0f', said - 1))
end
redis.call('PEXPIRE', origins, ARGV[4])
if redis.call('HLEN', origins) > 64 then
  -- Every boot of a node is an origin; the one that has been silent for longest has ended.
  local all, oldest, quiet = redis.call('HGETALL', origins), nil, math.huge
  for index = 1, #all, 2 do
    local spoke = tonumber(string.match(all[index + 1], '%d+$') or 0)
    if spoke < quiet then
      oldest, quiet = all[index], spoke
    end
  end
  redis.call('HDEL', origins, oldest)
end

local place = struct.pack('>I8I8I8', tonumber(epoch), millis, first)
redis.call(ARGV[1], stream, place .. head .. table.concat(messages))
return #messages
