-- A page of the archive of a Redis, as of one moment.
-- KEYS  archive
-- ARGV  most entries, most bytes, then, if there is a place after which to read, its id and its life
-- Answers nothing for no archive, else its newest entry's life and id, and 1 if entries at that place or before have
-- been lost, then for each entry: life, id, room's stream, epoch, offset, time, record. What has no such fields is
-- answered with empty ones.
local archive, most, bytes_max, after, life = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
local newest = redis.call('XREVRANGE', archive, '+', '-', 'COUNT', 1)[1]
if not newest then
  return {}
end
if newest[2][1] ~= 'a' or not string.find(newest[2][2], '^%d+$') then
  return redis.error_reply('FOREIGN entry ' .. newest[1] .. ' is none of a gateway')
end
local function number_of(id)
  return tonumber(string.match(id, '%d+$'))
end
-- Numbers rise with ids. Where they do not, Redis has come back without its newest entries, and has given their numbers
-- to others since: these may even have smaller ids, of a clock that is behind.
local function has_lost(read)
  if number_of(newest[1]) < read then
    return true
  end
  local behind = redis.call('XRANGE', archive, '(' .. after, '+', 'COUNT', 1)[1]
  local there = redis.call('XREVRANGE', archive, after, '-', 'COUNT', 1)[1]
  return behind and number_of(behind[1]) <= read or there and there[1] ~= after and number_of(there[1]) >= read
end
local answer, from = { newest[2][2], newest[1], 0 }, '-'
-- In another life of the archive nothing has been read.
if after and life == newest[2][2] then
  if has_lost(number_of(after)) then
    answer[3] = 1
    return answer
  end
  from = '(' .. after
end
local entries, bytes = 0, 0
-- In pieces, as large as what was found so far lets expect: what is not answered is not to be held either.
local piece = 4
while entries < most and bytes < bytes_max do
  local found = redis.call('XRANGE', archive, from, '+', 'COUNT', math.min(piece, most - entries))
  if #found == 0 then
    break
  end
  for _, entry in ipairs(found) do
    if bytes >= bytes_max then
      break
    end
    local fields = entry[2]
    from, entries = '(' .. entry[1], entries + 1
    local is_ours = fields[1] == 'a' and #fields >= 14
    bytes = bytes + (is_ours and #fields[14] or 0)
    answer[#answer + 1] = is_ours and fields[2] or ''
    answer[#answer + 1] = entry[1]
    for place = 6, 14, 2 do
      answer[#answer + 1] = is_ours and fields[place] or ''
    end
  end
  piece = math.min(2 * piece, 64, math.ceil((bytes_max - bytes) * entries / math.max(bytes, 1)))
end
return answer
