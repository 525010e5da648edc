-- Appends messages to rooms' streams and publishes them, in one step for all the rooms.
-- KEYS  for each room its stream (also the channel's name), its origins and, if it has some, its ids; then the archive,
--       if there is one
-- ARGV  PUBLISH or SPUBLISH, most entries (a sixteenth more until they are cut off), most bytes, milliseconds they are
--       kept, milliseconds the origins are, origin, life of this Redis (empty: it is asked, '-': nobody knows), fence
--       (reserved: read over), most bytes of the archive and milliseconds that it keeps (empty: there is none); then for
--       each room: envelope head, epoch and offset of the newest entry its node has seen (empty: of none), '1' if it has
--       ids, the number that is on its way in front of these (empty: none is), how many messages, and for each of these:
--       its number at this origin, its bytes, with an archive what is kept of it there (nothing: it is no event), with
--       ids its own (nothing: it has none)
-- Answers for each room: how many were appended (fewer than given if some had been before), epoch and offset of its
-- newest entry, with ids the EPOCH-OFFSET of each message that has one; or what is wrong with its keys, as text.
--
-- The origins of a room outlive its stream. Beside each origin's 'last number, milliseconds' they have, no longer than
-- what Redis keeps compactly, 'said' (of the archive); 'tail', packed: where numbering goes on (offset, milliseconds,
-- epoch), what the stream holds (entries, bytes of all up to now, no less than the bytes that are there, no later than
-- the milliseconds of its oldest entry), and the life of Redis; 'before', of the epoch before: events before the two
-- epochs, the highest offset that anybody has seen, the one that was here then, the two epochs; 'before2' to 'before8',
-- the same of those before that (a slot of a Cluster may move on before everybody has read); 'sweep', from how many
-- on to look for origins that have ended. Each ends with a number that is later than any milliseconds: to the version
-- before this, an origin that spoke just now.
--
-- To read an entry costs Redis more than to append one. What 'tail' says of a stream is believed while there are as
-- many entries as it says and none newer than it says; what few calls need is made when it is needed (rare.lua).
--
-- One function in four files, one behind the other: head, rare, archive, rooms.

local call, try, format, match = redis.call, redis.pcall, string.format, string.match
local floor, ceil, pack = math.floor, math.ceil, struct.pack
local capacity, bytes_max = tonumber(ARGV[2]), tonumber(ARGV[3])
local kept, kept_origins = tonumber(ARGV[4]), tonumber(ARGV[5])
-- To cut off one entry costs more than to append one, to cut off several little more: so many may be too many.
local spare = floor(capacity / 16)
local origin, life, has_archive = ARGV[6], ARGV[7], ARGV[9] ~= ''
local archive = has_archive and KEYS[#KEYS]
-- A number, if Lua counts exactly up to there, and one that stands for none.
local highest, unknown = 9000000000000000, 281474976710655
-- What is written as a whole number of 64 bits is written quickest; Lua has it where Redis is not built for 32.
local digits_form, id_form = '%.0f', '%.0f-%.0f'
if format('%d', highest) == '9000000000000000' then
  digits_form, id_form = '%d', '%d-%d'
end
local tail_form, tail_bytes, tail_end = '>I6I6I7I4I6I6I6c8', 64, ' 99999999999999'
if life == '' then
  -- Whoever may not ask learns of a failover by what was seen alone.
  local info = try('INFO', 'server')
  life = type(info) == 'string' and match(info, 'run_id:(%x+)') or '-'
end
life = string.sub(life .. '       ', 1, 8)
local is_life_known = life ~= '-       '
local time = call('TIME')
local micros = time[1] * 1000000 + time[2]
local clock = floor(micros / 1000)
-- A sixteenth of the time that each is kept, and which one it is.
local part, part_origins = ceil(kept / 16), ceil(kept_origins / 16)
local now, now_origins = floor(clock / part), floor(clock / part_origins)

-- Lua takes more for a number than we write: 'nan' and '-inf' would be in every sum from then on.
local function digits(text)
  local number = text and #text < 17 and string.find(text, '^%d+$') and tonumber(text)
  return number and number < highest and number or nil
end
-- What an entry counts as: what Redis (7.0, jemalloc) takes for one of this length at most.
local function weigh(bytes)
  return ceil(bytes * 1.25) + 128
end
local function whole(number)
  return format(digits_form, number)
end

