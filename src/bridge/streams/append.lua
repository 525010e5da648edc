-- Appends messages to rooms' streams and publishes them, in one step for all the rooms.
-- KEYS  for each room its stream (also the channel's name), its origins and, if it has some, its ids; then the archive,
--       if there is one
-- ARGV  PUBLISH or SPUBLISH, most entries, most bytes, milliseconds they are kept, milliseconds the origins are,
--       origin, life of this Redis (empty: it is asked, '-': nobody knows), fence (reserved: read over), most bytes of the
--       archive and milliseconds that it keeps (empty: there is none); then for each room: envelope head, epoch and offset
--       of the newest entry its node has seen (empty: of none), '1' if it has ids, the number that is on its way in front
--       of these (empty: none is), how many messages, and for each of these: its number at this origin, its bytes, with an archive what is kept of it there (nothing: it is no event),
--       with ids its own (nothing: it has none)
-- Answers for each room: how many were appended (fewer than given if some had been before), epoch and offset of its
-- newest entry, with ids the EPOCH-OFFSET of each message that has one; or what is wrong with its keys, as text.
--
-- The origins of a room outlive its stream. Beside each origin's 'last number, milliseconds' they have, no longer than
-- what Redis keeps compactly, 'said' (of the archive); 'tail', where numbering goes on: offset, milliseconds, life of
-- Redis, epoch; 'before', of the epoch before: events before the two epochs, the highest offset that anybody has seen,
-- the one that was here then, the two epochs; 'sweep', from how many on to look for origins that have ended. Each ends
-- with a number that is later than any milliseconds: to the version before this, an origin that spoke just now.
-- A number, if Lua counts exactly up to there.
local highest = 9000000000000000
local function digits(text)
  local number = text and #text < 17 and string.find(text, '^%d+$') and tonumber(text)
  return number and number < highest and number or nil
end
local capacity, bytes_max, kept, kept_origins = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local origin, life = ARGV[6], ARGV[7]
local has_archive = ARGV[9] ~= ''
local archive = has_archive and KEYS[#KEYS]
if life == '' then
  -- Whoever may not ask learns of a failover by what was seen alone.
  local info = redis.pcall('INFO', 'server')
  life = type(info) == 'string' and string.match(info, 'run_id:(%x+)') or '-'
end
life = string.sub(life, 1, 8)
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local clock = math.floor(micros / 1000)

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
local function whole(number)
  return string.format('%.0f', number)
end

-- The epoch before.
local function before_of(room)
  if not room.before then
    local base, base_now, offset, kept_then, epoch, epoch_now =
      string.match(room.before_text or '', '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
    if digits(base) and digits(base_now) and digits(offset) and digits(kept_then) and digits(epoch)
      and digits(epoch_now) == room.epoch then
      room.before = { base = tonumber(base), base_now = tonumber(base_now), offset = tonumber(offset),
        kept = tonumber(kept_then), epoch = tonumber(epoch) }
    else
      room.before = { base = 0, base_now = 0, offset = 0, kept = 0, epoch = 0 }
    end
  end
  return room.before
end

-- Where the numbering of a room stands: where its stream ends, or beyond, where it ended.
local function place(room, newest, text)
  room.epoch, room.offset, room.millis, room.life = 0, 0, 0, ''
  if text then
    local offset, millis, known_life, epoch = string.match(text, '^(%d+) (%d+) (%S+) (%d+)$')
    if digits(epoch) and digits(offset) and digits(millis) then
      room.offset, room.millis, room.life, room.epoch = tonumber(offset), tonumber(millis), known_life, tonumber(epoch)
    end
  end
  if newest then
    local at, number = string.match(newest[1], '^(%d+)-(%d+)$')
    local of = digits(newest[2][2])
    at, number = tonumber(at), tonumber(number)
    if of > room.epoch then
      -- Begun by a version that knows of no tail.
      if room.epoch > 0 then
        local before = before_of(room)
        room.before = { base = before.base_now, offset = room.offset, kept = room.offset, epoch = room.epoch,
          base_now = before.base_now + room.offset }
        room.has_new_before = true
      end
      room.epoch, room.offset = of, number
    elseif of == room.epoch then
      room.offset = math.max(room.offset, number)
    end
    room.millis = math.max(room.millis, at)
    room.total = total_of(newest[2])
  end
  room.total, room.before_call = room.total or 0, room.millis
  room.millis = math.max(room.millis, clock)
end

-- What is wrong with a key is its room's alone, and found before anything is written: what was appended and not
-- published would be a repeat next time.
local function look(room, ids)
  local newest = redis.pcall('XREVRANGE', room.stream, '+', '-', 'COUNT', 1)
  if newest.err then
    return newest.err
  end
  newest = newest[1]
  if newest and (newest[2][1] ~= 'e' or not digits(newest[2][2])) then
    return 'FOREIGN entry ' .. newest[1] .. ' is none of a gateway'
  end
  local known = redis.pcall('HMGET', room.origins, origin, 'tail', 'before', 'said')
  if known.err then
    return known.err
  end
  if ids then
    local there = redis.pcall('ZCARD', ids)
    if type(there) == 'table' then
      return there.err
    end
    room.ids = ids
  end
  if not room.epoch then
    room.is_new, room.has_stream, room.has_tail = not known[1], newest, known[2]
    room.last = known[1] and digits(string.match(known[1], '^%d+')) or 0
    room.before_text, room.said = known[3], math.max(micros, (digits(known[4]) or 0) + 1)
    place(room, newest, known[2])
  end
end

-- Redis has lost what it had answered for, or may have: no number of the old epoch is given out a second time, and
-- everybody is told how far that one was seen.
local function begin_anew(room, epoch, offset)
  local base = before_of(room).base_now
  local before = { base = base, offset = room.offset, kept = room.offset, epoch = room.epoch }
  if epoch > before.epoch then
    before.epoch, before.offset, before.kept = epoch, offset, 0
  elseif epoch == before.epoch then
    before.offset = math.max(before.offset, offset)
  end
  before.base_now = base + before.offset
  if before.epoch > 0 then
    room.before, room.is_told, room.has_new_before = before, true, true
  end
  room.epoch, room.offset = math.max(micros, room.epoch + 1, epoch + 1), 0
  -- Ids rise, although their offsets begin anew.
  room.millis = math.max(clock, room.before_call + 1)
end
local function compare(room, epoch, offset)
  local is_behind = epoch > room.epoch or epoch == room.epoch and offset > room.offset
  local is_another = life ~= '-' and room.life ~= '' and room.life ~= '-' and room.life ~= life
  if is_behind or is_another and room.epoch > 0 or room.offset > highest - 1000000 then
    begin_anew(room, epoch, offset)
  elseif epoch > 0 and epoch < room.epoch and epoch == before_of(room).epoch and offset > room.before.offset then
    room.before.offset, room.is_told, room.has_new_before = offset, true, true
  end
  room.life = life ~= '-' and life or room.life
end

-- The archive has all rooms of this Redis, one entry behind the other: each counts them from 1 in a life of the
-- archive, and the bytes up to its own. Within a room times rise, whatever the clock does.
local archived, archive_life, number, weight, added = clock, whole(micros), 0, 0, 0
local function look_at_archive()
  local newest = redis.pcall('XREVRANGE', archive, '+', '-', 'COUNT', 1)
  if newest.err then
    return newest.err
  end
  newest = newest[1]
  if newest then
    if newest[2][1] ~= 'a' or not string.find(newest[2][2], '^%d+$') then
      return 'FOREIGN entry ' .. newest[1] .. ' is none of a gateway'
    end
    local at, counted = string.match(newest[1], '^(%d+)-(%d+)$')
    archived, number = math.max(archived, tonumber(at)), tonumber(counted)
    archive_life, weight = newest[2][2], count(newest[2][4]) or 0
  end
end
local archive_fault = archive and look_at_archive()
local held_before = weight
local function archive_entry(room, record)
  number, weight, added = number + 1, weight + weigh(#room.stream + #record), added + 1
  redis.call('XADD', archive, whole(archived) .. '-' .. whole(number), 'a', archive_life, 'b', whole(weight),
    'r', room.stream, 'e', whole(room.epoch), 'o', whole(room.offset), 't', whole(room.said), 'j', record)
  room.said, room.has_said = room.said + 1, true
end
-- The oldest go that are too old, and then until the rest is within the bytes; never the newest. Redis does nothing else
-- meanwhile, so a call removes no more than this beside twice of what it adds, and the next ones what is left.
local removes, removes_bytes, node = 1000, 1048576, 100
local function trim_archive(most_held, kept_for)
  local most, aged = removes + 2 * added, string.format('%.0f-0', archived - kept_for)
  -- By whole nodes of the stream; unless it ended with the limit, what is left of them is in one.
  if redis.call('XTRIM', archive, 'MINID', '~', aged, 'LIMIT', most) <= most - node then
    redis.call('XTRIM', archive, 'MINID', '=', aged)
  end
  redis.call('PEXPIRE', archive, kept_for)
  local newest, most_bytes = whole(archived) .. '-' .. whole(number), removes_bytes + 2 * (weight - held_before)
  -- Mostly the oldest stays.
  local from, keep, is_over, removed, piece = '-', newest, true, 0, 1
  while is_over do
    for _, entry in ipairs(redis.call('XRANGE', archive, from, '+', 'COUNT', piece)) do
      keep, from = entry[1], '(' .. entry[1]
      local bytes = weigh(#(entry[2][6] or '') + #(entry[2][14] or ''))
      is_over = weight - (count(entry[2][4]) or 0) + bytes > most_held and keep ~= newest and removed < most_bytes
      if not is_over then
        break
      end
      removed = removed + bytes
    end
    piece = math.min(2 * piece, 16)
  end
  redis.call('XTRIM', archive, 'MINID', '=', keep)
end

-- The entries are of different versions, or somebody else's, and do not say how many bytes there are: those of the
-- newest stay that are within them.
local function bound_uncounted(room)
  local held, from, keep, piece = 0, '+', nil, 2
  repeat
    local entries = redis.call('XREVRANGE', room.stream, from, '-', 'COUNT', piece)
    for _, entry in ipairs(entries) do
      held, from = held + size(entry[2]), '(' .. entry[1]
      if held > bytes_max and keep then
        redis.call('XTRIM', room.stream, 'MINID', '=', keep)
        return
      end
      keep = entry[1]
    end
    piece = math.min(2 * piece, 16)
  until #entries == 0
end
-- The oldest go that are too old, and then until the rest is within the bytes, as many in one call as of the archive;
-- the newest stays whatever its size. What the oldest one is then.
local function bound(room, newest, added_bytes)
  local aged = room.millis - kept
  local oldest = redis.call('XRANGE', room.stream, '-', '+', 'COUNT', 1)[1]
  if tonumber(string.match(oldest[1], '^%d+')) < aged then
    redis.call('XTRIM', room.stream, 'MINID', '=', string.format('%.0f-0', aged))
    oldest = redis.call('XRANGE', room.stream, '-', '+', 'COUNT', 1)[1]
  end
  local least, held = size(oldest[2]), total_of(oldest[2])
  held = held and room.total - held + least
  if not held or held < least then
    return bound_uncounted(room)
  end
  -- As many as are to go if they are as large as the oldest.
  local piece = math.min(16, math.max(0, math.ceil((held - bytes_max) / least)) + 1)
  local from, keep, removed = '-', nil, 0
  local is_over, most = held > bytes_max, removes_bytes + 2 * added_bytes
  while is_over do
    for _, entry in ipairs(redis.call('XRANGE', room.stream, from, '+', 'COUNT', piece)) do
      keep, from = entry[1], '(' .. entry[1]
      is_over = held > bytes_max and keep ~= newest and removed < most
      if not is_over then
        break
      end
      local bytes = size(entry[2])
      held, removed = held - bytes, removed + bytes
    end
  end
  if keep then
    redis.call('XTRIM', room.stream, 'MINID', '=', keep)
  end
end

-- A room that is spoken in does not say so each time: the first who speaks in a sixteenth of the time adds that.
local function renew(key, millis, is_new, last)
  local part = math.ceil(millis / 16)
  if is_new or math.floor(last / part) ~= math.floor(clock / part) then
    redis.call('PEXPIRE', key, whole(millis + part))
  end
end

-- Events of the room up to one, in all its epochs, and back.
local function place_of(room, score)
  local before = before_of(room)
  if score > before.base_now then
    return whole(room.epoch) .. '-' .. whole(score - before.base_now)
  end
  return whole(before.epoch) .. '-' .. whole(math.max(0, score - before.base))
end
local function forget_ids(room)
  local oldest = redis.call('XRANGE', room.stream, '-', '+', 'COUNT', 1)[1]
  local of, offset = digits(oldest[2][2]), tonumber(string.match(oldest[1], '%d+$'))
  local before = before_of(room)
  local base = of == room.epoch and before.base_now or of == before.epoch and before.base
  if base then
    redis.call('ZREMRANGEBYSCORE', room.ids, '-inf', '(' .. whole(base + offset))
  end
  redis.call('PEXPIRE', room.ids, whole(kept + math.ceil(kept / 16)))
end

local function tail_of(room)
  local life_of = room.life ~= '' and room.life or '-'
  return string.format('%.0f %.0f %s %.0f', room.offset, room.millis, life_of, room.epoch)
end
local function keep_before(room)
  local was = room.before
  redis.call('HSET', room.origins, 'before', string.format('%.0f %.0f %.0f %.0f %.0f %.0f', was.base, was.base_now,
    was.offset, was.kept, was.epoch, room.epoch))
  room.has_new_before = false
end
-- Every boot of a node is an origin. Those go that have been silent for ten minutes, and beyond 1,024 those that have
-- been for longest; the next look is when there are twice as many as are left.
local function forget_origins(room)
  local there = redis.call('HLEN', room.origins)
  if there <= 64 then
    return
  end
  local sweep = string.match(redis.call('HGET', room.origins, 'sweep') or '', '^(%d+) %d+$')
  if there <= math.min(digits(sweep) or 64, 1024) then
    return
  end
  local ours = { tail = true, before = true, sweep = true, said = true }
  local all, gone, left = redis.call('HGETALL', room.origins), {}, {}
  for index = 1, #all, 2 do
    local name, spoke = all[index], tonumber(string.match(all[index + 1], '%d+$') or 0)
    if name ~= origin and not ours[name] then
      local list = spoke < clock - 600000 and gone or left
      list[#list + 1] = { name, spoke }
    end
  end
  if #left >= 1024 then
    table.sort(left, function(one, other)
      return one[2] > other[2]
    end)
    while #left > 768 do
      gone[#gone + 1] = table.remove(left)
    end
  end
  for _, entry in ipairs(gone) do
    redis.call('HDEL', room.origins, entry[1])
  end
  redis.call('HSET', room.origins, 'sweep', string.format('%.0f %.0f', math.min(2 * #left, 1024), highest))
end

local has_written = false
-- Appends what a room has to say, and publishes it; what Redis says if it cannot.
local function append(room, head, from, messages, has_ids, answer)
  local step = 2 + (has_archive and 1 or 0) + (has_ids and 1 or 0)
  local first, published, at = room.offset + 1, {}, whole(room.millis) .. '-'
  local before, epoch, said_last = room.total, whole(room.epoch), room.before_call
  -- The entries that are too many go with the last one.
  local final = from + (messages - 1) * step
  for index = from, final, step do
    local sequence, message, id = tonumber(ARGV[index]), ARGV[index + 1], has_ids and ARGV[index + step - 1] or ''
    local score = id ~= '' and redis.call('ZSCORE', room.ids, id)
    if sequence > room.last and not score then
      local total = room.total + weigh(#head + #message)
      local entry, sum = at .. whole(room.offset + 1), whole(total)
      local added
      if index == final then
        added = redis.pcall('XADD', room.stream, 'MAXLEN', '=', capacity, entry, 'e', epoch, 'h', head, 'm', message,
          'b', sum)
      else
        added = redis.pcall('XADD', room.stream, entry, 'e', epoch, 'h', head, 'm', message, 'b', sum)
      end
      if type(added) == 'table' and added.err then
        return added.err
      end
      has_written, room.before_call, room.is_long = true, room.millis, index < final
      room.offset, room.total, published[#published + 1] = room.offset + 1, total, message
      if id ~= '' then
        score = whole(before_of(room).base_now + room.offset)
        redis.call('ZADD', room.ids, score, id)
      end
      if has_archive and ARGV[index + 2] ~= '' then
        archive_entry(room, ARGV[index + 2])
      end
    end
    room.last = math.max(room.last, sequence)
    if has_ids then
      -- What somebody else put there may be no number.
      local known = score and digits(score)
      answer[#answer + 1] = known and place_of(room, known) or ''
    end
  end
  answer[1], answer[2], answer[3] = #published, epoch, whole(room.offset)
  if #published > 0 then
    if room.is_long then
      redis.call('XTRIM', room.stream, 'MAXLEN', '=', capacity)
    end
    bound(room, at .. whole(room.offset), room.total - before)
    renew(room.stream, kept, not room.has_stream, said_last)
    if has_ids then
      forget_ids(room)
    end
    redis.call('HSET', room.origins, origin, string.format('%.0f %.0f', room.last, room.millis), 'tail', tail_of(room))
    if room.is_new then
      forget_origins(room)
    end
  elseif room.is_told then
    redis.call('HSET', room.origins, 'tail', tail_of(room))
    has_written = true
  end
  if #published > 0 or room.is_told then
    if room.has_new_before then
      keep_before(room)
    end
    if room.has_said then
      redis.call('HSET', room.origins, 'said', whole(room.said - 1))
    end
    renew(room.origins, kept_origins, not room.has_tail, said_last)
    room.is_new, room.has_stream, room.has_tail = false, room.has_stream or #published > 0, true
  end
  if room.is_told then
    -- An announcement without messages: the epoch before was seen up to here, and whoever reads is told all of it.
    redis.call(ARGV[1], room.stream, struct.pack('>I8I8I8', room.before.epoch, room.millis, room.before.offset) .. head)
    room.is_told = false
  end
  if #published > 0 then
    local place = struct.pack('>I8I8I8', room.epoch, room.millis, first)
    redis.call(ARGV[1], room.stream, place .. head .. table.concat(published))
  end
end

-- All is looked at before anything is written.
local rooms, by_stream, calls, key, index = {}, {}, {}, 1, 11
local last_key = #KEYS - (archive and 1 or 0)
while key <= last_key do
  local has_ids = ARGV[index + 3] == '1'
  local room = by_stream[KEYS[key]] or { stream = KEYS[key], origins = KEYS[key + 1] }
  by_stream[KEYS[key]] = room
  room.fault = room.fault or archive_fault or look(room, has_ids and KEYS[key + 2])
  local messages = tonumber(ARGV[index + 5])
  calls[#calls + 1] = { room, index, messages, has_ids }
  key = key + (has_ids and 3 or 2)
  index = index + 6 + messages * (2 + (has_archive and 1 or 0) + (has_ids and 1 or 0))
end
local answers = {}
for _, call in ipairs(calls) do
  local room, index, messages, has_ids, answer = call[1], call[2], call[3], call[4], { 0, '0', '0' }
  if not room.fault then
    local epoch, offset = digits(ARGV[index + 1]) or 0, digits(ARGV[index + 2]) or 0
    if room.epoch > 0 or messages > 0 or epoch > 0 then
      compare(room, epoch, offset)
      if room.epoch == 0 then
        begin_anew(room, 0, 0)
      end
      local is_done, fault = true, nil
      if room.last < (digits(ARGV[index + 4]) or 0) then
        -- Redis refused those and takes these: they would be taken for repeats when they are sent again.
        fault = 'BEHIND what was not appended'
      else
        is_done, fault = pcall(append, room, ARGV[index], index + 6, messages, has_ids, answer)
      end
      if not is_done and type(fault) == 'table' then
        fault = fault.err
      end
      room.fault = fault
    end
    -- What Redis says to the first thing that is written it says to all.
    local is_of_room = room.fault and (string.find(room.fault, 'ERR ') or string.find(room.fault, 'WRONGTYPE')
      or string.find(room.fault, 'BEHIND'))
    if room.fault and not has_written and not is_of_room then
      return redis.error_reply(room.fault)
    end
  end
  answers[#answers + 1] = room.fault or answer
end
if added > 0 then
  trim_archive(tonumber(ARGV[9]), tonumber(ARGV[10]))
end
return answers
