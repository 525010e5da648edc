-- A page of the archive of a Redis, as of one moment.
-- KEYS  archive
-- ARGV  most entries, most bytes, then the id after which to read, if there is one
-- Answers nothing for no archive, else its newest entry's life and id, then for each entry: life, id, room's stream,
-- epoch, offset, time, record.
local archive, most, bytes_max = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local newest = redis.call('XREVRANGE', archive, '+', '-', 'COUNT', 1)[1]
if not newest then
  return {}
end
if newest[2][1] ~= 'a' then
  return redis.error_reply('FOREIGN entry ' .. newest[1] .. ' is none of a gateway')
end
local answer = { newest[2][2], newest[1] }
local from, entries, bytes = ARGV[3] and '(' .. ARGV[3] or '-', 0, 0
-- In pieces: what is not answered is not to be held either.
while entries < most and bytes < bytes_max do
  local found = redis.call('XRANGE', archive, from, '+', 'COUNT', math.min(64, most - entries))
  if #found == 0 then
    break
  end
  for _, entry in ipairs(found) do
    if bytes >= bytes_max then
      break
    end
    local fields = entry[2]
    from, entries = '(' .. entry[1], entries + 1
    if fields[1] == 'a' and #fields >= 14 then
      bytes = bytes + #fields[14]
      answer[#answer + 1] = fields[2]
      answer[#answer + 1] = entry[1]
      for place = 6, 14, 2 do
        answer[#answer + 1] = fields[place]
      end
    end
  end
end
return answer
