-- Where a room's stream stands, and a page of what is in it, as of one moment.
-- KEYS  stream, origins
-- ARGV  most entries, most bytes, then the position after which to read: epoch, milliseconds, offset; or 'before' and
--       an id; without either: the newest entries, the newest first
-- Answers nothing for no stream, else epoch and id of the newest entry there is or was; of the epoch before: its number,
-- the highest offset that anybody has seen and the one that Redis had, each followed by those of the epochs before that
-- if the position is of one of these; then for each entry: epoch, id, head, message.
local stream, entries_max, bytes_max = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
-- A number, if Lua counts exactly up to there.
local highest = 9000000000000000
local function digits(text)
  local number = text and #text < 17 and string.find(text, '^%d+$') and tonumber(text)
  return number and number < highest and number or nil
end
local newest = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
local at, last_number = string.match(newest and newest[1] or '0-0', '^(%d+)-(%d+)$')
if newest and (newest[2][1] ~= 'e' or not digits(newest[2][2]) or not digits(at) or not digits(last_number)) then
  return redis.error_reply('FOREIGN entry ' .. newest[1] .. ' is none of a gateway')
end
-- No node lets one become as long: it is somebody else's, and to look through it would take Redis long.
if newest and redis.call('XLEN', stream) > 16384 then
  return redis.error_reply('FOREIGN stream of more entries than a gateway keeps')
end
-- As append/rooms.lua packs it.
local kept = redis.call('HMGET', KEYS[2], 'tail', 'before')
local answer, known, offset = nil, nil, nil
if kept[1] and #kept[1] == 64 then
  local last, millis, epoch = struct.unpack('>I6I6I7', kept[1])
  if epoch < highest then
    known, offset = epoch, last
    local text = string.format('%.0f', epoch)
    answer = { text, string.format('%.0f-%.0f', millis, offset), '0', '0', '0' }
    local before, oldest = { {}, {}, {} }, text
    -- The epoch in front of the oldest so far.
    local function take(value)
      local seen, kept_then, of, followed_by = string.match(value or '', '^%d+ %d+ (%d+) (%d+) (%d+) (%d+)$')
      if followed_by ~= oldest or not digits(seen) or not digits(kept_then) or not digits(of) then
        return false
      end
      for place, number in ipairs({ of, seen, kept_then }) do
        before[place][#before[place] + 1] = number
      end
      oldest = of
      return true
    end
    -- Mostly a node is at the last one, or was as it ended.
    if take(kept[2]) and ARGV[5] and ARGV[3] ~= text and ARGV[3] ~= oldest then
      local earlier = redis.call('HMGET', KEYS[2], 'before2', 'before3', 'before4', 'before5', 'before6', 'before7',
        'before8')
      for _, value in ipairs(earlier) do
        if not take(value) then
          break
        end
      end
    end
    if oldest ~= text then
      for place = 1, 3 do
        answer[2 + place] = table.concat(before[place], ' ')
      end
    end
  end
end
if newest then
  local of, number = digits(newest[2][2]), tonumber(last_number)
  if not answer then
    answer = { newest[2][2], newest[1], '0', '0', '0' }
  elseif of > known then
    local last = string.format('%.0f', offset)
    answer = { newest[2][2], newest[1], answer[1], last, last }
  elseif of == known and number >= offset then
    answer[2] = newest[1]
  end
end
if not answer then
  return {}
end
if entries_max == 0 or not newest then
  return answer
end

local reads, from, to, skips = 'XRANGE', '-', '+', nil
if not ARGV[3] then
  reads, from, to = 'XREVRANGE', '+', '-'
elseif ARGV[3] == 'before' then
  reads, from, to = 'XREVRANGE', '(' .. ARGV[4], '-'
elseif ARGV[3] == answer[1] then
  from = '(' .. ARGV[4] .. '-' .. ARGV[5]
else
  -- Another epoch, perhaps of another Redis, whose clock may be behind; by so much that nothing is as new, if it is.
  skips = tonumber(ARGV[5])
  local millis = tonumber(ARGV[4]) - 60000
  if tonumber(at) >= millis then
    from = string.format('%.0f-0', math.max(0, millis))
  end
end
local entries, bytes, piece, looked = 0, 0, 4, 0
-- In pieces, as large as what was found so far lets expect: what is not answered is not to be held either.
while entries < entries_max and bytes < bytes_max do
  local found = redis.call(reads, stream, from, to, 'COUNT', math.min(piece, entries_max - entries))
  if #found == 0 then
    break
  end
  for _, entry in ipairs(found) do
    if bytes >= bytes_max then
      break
    end
    local fields = entry[2]
    from, looked = '(' .. entry[1], looked + 1
    local is_known = skips and (fields[2] == ARGV[3] and tonumber(string.match(entry[1], '%d+$')) <= skips
      or (digits(fields[2]) or 0) < (digits(ARGV[3]) or 0))
    if fields[1] == 'e' and fields[3] == 'h' and fields[5] == 'm' and not is_known then
      entries, bytes = entries + 1, bytes + #fields[6]
      answer[#answer + 1] = fields[2]
      answer[#answer + 1] = entry[1]
      answer[#answer + 1] = fields[4]
      answer[#answer + 1] = fields[6]
    end
  end
  piece = math.min(2 * piece, 64, math.max(1, math.ceil((bytes_max - bytes) * looked / math.max(bytes, 1))))
end
return answer
