-- Where a room's stream stands, and a page of what is in it, as of one moment.
-- KEYS  stream
-- ARGV  most entries, most bytes, then the position after which to read: epoch, milliseconds, offset;
--       without one: the newest entries, the newest first
-- Answers nothing for no stream, else the tail's epoch and id, then for each entry: id, head, message.
local stream, most = KEYS[1], tonumber(ARGV[2])
local tail = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
if not tail then
  return {}
end
if tail[2][1] ~= 'e' or not string.find(tail[2][2], '^%d+$') then
  return redis.error_reply('FOREIGN entry ' .. tail[1] .. ' is none of a gateway')
end
local answer = { tail[2][2], tail[1] }
if ARGV[1] == '0' then
  return answer
end
local found
if not ARGV[3] then
  found = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', ARGV[1])
elseif ARGV[3] == tail[2][2] then
  found = redis.call('XRANGE', stream, '(' .. ARGV[4] .. '-' .. ARGV[5], '+', 'COUNT', ARGV[1])
else
  -- Another life of the stream: all of it that is not older than what is known.
  found = redis.call('XRANGE', stream, ARGV[4] .. '-0', '+', 'COUNT', ARGV[1])
end
local bytes = 0
for _, entry in ipairs(found) do
  local fields = entry[2]
  if bytes >= most then
    break
  end
  if fields[1] == 'e' and fields[3] == 'h' and fields[5] == 'm' then
    bytes = bytes + #fields[6]
    answer[#answer + 1] = entry[1]
    answer[#answer + 1] = fields[4]
    answer[#answer + 1] = fields[6]
  end
end
return answer
