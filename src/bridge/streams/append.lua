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
-- many entries as it says and none newer than it says; what few calls need is made when it is needed.

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

local function make_rare()
  local rare = {}
  local function size(fields)
    return weigh(#(fields[4] or '') + #(fields[6] or ''))
  end
  -- Bytes appended up to and with an entry, as its field b says; older versions wrote none.
  local function total_of(fields)
    local total = fields[7] == 'b' and fields[8] and #fields[8] < 15 and digits(fields[8])
    return total or nil
  end

  -- The epoch before.
  local function before_of(room)
    if not room.before then
      local base, base_now, offset, kept_then, epoch, epoch_now = match(
        call('HGET', room.origins, 'before') or '', '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
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
  rare.before_of = before_of

  local befores = { 'before', 'before2', 'before3', 'before4', 'before5', 'before6', 'before7', 'before8' }
  function rare.keep_before(room)
    local was, there = room.before, call('HMGET', room.origins, unpack(befores))
    if there[1] and digits(match(there[1], '%d+$')) ~= room.epoch then
      -- Each goes one further, up to the first that is not there.
      local moved = { 'HSET', room.origins }
      for place = 2, #befores do
        if not there[place - 1] then
          break
        end
        moved[#moved + 1], moved[#moved + 2] = befores[place], there[place - 1]
      end
      call(unpack(moved))
    end
    call('HSET', room.origins, 'before', format('%.0f %.0f %.0f %.0f %.0f %.0f', was.base, was.base_now, was.offset,
      was.kept, was.epoch, room.epoch))
    room.has_new_before = false
  end

  -- Somebody else has appended, or there is no tail: what the newest entry says.
  function rare.take_newest(room, newest)
    local at, number = match(newest[1], '^(%d+)-(%d+)$')
    local of = newest[2][1] == 'e' and digits(newest[2][2])
    at, number = digits(at), digits(number)
    if not of or not at or not number then
      return 'FOREIGN entry ' .. newest[1] .. ' is none of a gateway'
    end
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
    room.total, room.held = total_of(newest[2]) or 0, false
  end

  -- Redis has lost what it had answered for, or may have: no number of the old epoch is given out a second time, and
  -- everybody is told how far that one was seen.
  function rare.begin_anew(room, epoch, offset)
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
    room.millis = math.max(clock, room.said_last + 1)
  end

  -- The entries are of different versions, or somebody else's, and do not say how many bytes there are: those of the
  -- newest stay that are within them.
  local function bound_uncounted(room)
    local held, from, keep, piece = 0, '+', nil, 2
    repeat
      local entries = call('XREVRANGE', room.stream, from, '-', 'COUNT', piece)
      for _, entry in ipairs(entries) do
        held, from = held + size(entry[2]), '(' .. entry[1]
        if held > bytes_max and keep then
          room.length = room.length - call('XTRIM', room.stream, 'MINID', '=', keep)
          return
        end
        keep = entry[1]
      end
      piece = math.min(2 * piece, 16)
    until #entries == 0
  end

  -- The oldest go that are too old, and then until the rest is within the bytes: no more of them in a call than a
  -- mebibyte beside twice of what it adds, and in the next ones what is left. The newest stays whatever its size.
  function rare.bound(room, newest, added_bytes)
    local aged = room.millis - kept
    local function oldest_of()
      local oldest = call('XRANGE', room.stream, '-', '+', 'COUNT', 1)[1]
      room.oldest = tonumber(match(oldest[1], '^%d+'))
      return oldest
    end
    local oldest = oldest_of()
    if room.oldest < aged then
      room.length = room.length - call('XTRIM', room.stream, 'MINID', '=', format('%.0f-0', aged))
      oldest = oldest_of()
    end
    local least, held = size(oldest[2]), total_of(oldest[2])
    held = held and room.total - held + least
    if not held or held < least then
      room.held = false
      return bound_uncounted(room)
    end
    -- As many as are to go if they are as large as the oldest.
    local piece = math.min(4, math.max(0, ceil((held - bytes_max) / least)) + 1)
    local from, keep, removed = '-', nil, 0
    local is_over, most = held > bytes_max, 1048576 + 2 * added_bytes
    while is_over do
      local entries = call('XRANGE', room.stream, from, '+', 'COUNT', piece)
      is_over = #entries > 0
      for _, entry in ipairs(entries) do
        keep, from = entry[1], '(' .. entry[1]
        is_over = held > bytes_max and keep ~= newest and removed < most
        if not is_over then
          break
        end
        local bytes = size(entry[2])
        held, removed = held - bytes, removed + bytes
      end
      piece = math.min(2 * piece, 16)
    end
    if keep then
      room.length = room.length - call('XTRIM', room.stream, 'MINID', '=', keep)
      room.oldest = tonumber(match(keep, '^%d+'))
    end
    room.held = held
  end

  -- Events of the room up to one, in all its epochs, and back.
  function rare.place_of(room, score)
    local before = before_of(room)
    if score > before.base_now then
      return whole(room.epoch) .. '-' .. whole(score - before.base_now)
    end
    return whole(before.epoch) .. '-' .. whole(math.max(0, score - before.base))
  end
  function rare.forget_ids(room)
    local oldest = call('XRANGE', room.stream, '-', '+', 'COUNT', 1)[1]
    local of, offset = digits(oldest[2][2]), tonumber(match(oldest[1], '%d+$'))
    local before = before_of(room)
    local base = of == room.epoch and before.base_now or of == before.epoch and before.base
    if base then
      call('ZREMRANGEBYSCORE', room.ids, '-inf', '(' .. whole(base + offset))
    end
    call('PEXPIRE', room.ids, whole(kept + part))
  end

  -- Every boot of a node is an origin. Those go that have been silent for ten minutes, and beyond 1,024 those that have
  -- been for longest; the next look is when there are twice as many as are left.
  function rare.forget_origins(room, there)
    local sweep = match(call('HGET', room.origins, 'sweep') or '', '^(%d+) %d+$')
    -- So many have no nodes: they are somebody else's, and to look through them would take Redis long.
    if there <= math.min(digits(sweep) or 64, 1024) or there > 8192 then
      return
    end
    local ours = { tail = true, sweep = true, said = true }
    for _, name in ipairs(befores) do
      ours[name] = true
    end
    local all, gone, left = call('HGETALL', room.origins), {}, {}
    for index = 1, #all, 2 do
      local name, spoke = all[index], tonumber(match(all[index + 1], '%d+$') or 0)
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
      call('HDEL', room.origins, entry[1])
    end
    call('HSET', room.origins, 'sweep', format('%.0f %.0f', math.min(2 * #left, 1024), highest))
  end
  return rare
end
local made
local function rare()
  made = made or make_rare()
  return made
end

-- The archive has all rooms of this Redis, one entry behind the other: each counts them from 1 in a life of the
-- archive, and the bytes up to its own. Within a room times rise, whatever the clock does.
local archive_entry, trim_archive, archive_fault, archived_now
if has_archive then
  local archived, archive_life, number, weight, held_before, added = clock, whole(micros), 0, 0, 0, 0
  local newest = try('XREVRANGE', archive, '+', '-', 'COUNT', 1)
  archive_fault = newest.err
  newest = newest[1]
  if newest then
    local at, counted = match(newest[1], '^(%d+)-(%d+)$')
    at, counted = digits(at), digits(counted)
    if newest[2][1] ~= 'a' or not digits(newest[2][2]) or not at or not counted then
      archive_fault = 'FOREIGN entry ' .. newest[1] .. ' is none of a gateway'
    else
      archived, number, archive_life = math.max(archived, at), counted, newest[2][2]
      weight = newest[2][4] and #newest[2][4] < 16 and digits(newest[2][4]) or 0
      held_before = weight
    end
  end
  archived_now = function()
    return added > 0
  end
  local function put(id, room, record)
    return try('XADD', archive, id, 'a', archive_life, 'b', whole(weight), 'r', room.stream, 'e', room.epoch_text,
      'o', whole(room.offset), 't', whole(room.said), 'j', record)
  end
  archive_entry = function(room, record)
    number, weight, added = number + 1, weight + weigh(#room.stream + #record), added + 1
    local id = whole(archived) .. '-' .. whole(number)
    local put_at = put(id, room, record)
    if type(put_at) == 'table' then
      -- Somebody has removed its newest entries, and they were later than it is now: this one goes behind them or, where
      -- no others are left, to an archive that begins anew.
      if newest then
        id = '*'
      else
        call('PEXPIRE', archive, -1)
      end
      put_at = put(id, room, record)
      if type(put_at) == 'table' then
        error(put_at)
      end
      local at, counted = match(put_at, '^(%d+)-(%d+)$')
      archived, number = tonumber(at), tonumber(counted)
    end
    room.said, room.has_said = room.said + 1, true
  end
  -- The oldest go that are too old, and then until the rest is within the bytes; never the newest. Redis does nothing
  -- else meanwhile, so a call removes no more than this beside twice of what it adds, and the next ones what is left.
  local removes, removes_bytes, node = 1000, 1048576, 100
  trim_archive = function(most_held, kept_for)
    local most, aged = removes + 2 * added, format('%.0f-0', archived - kept_for)
    -- By whole nodes of the stream; unless it ended with the limit, what is left of them is in one.
    if call('XTRIM', archive, 'MINID', '~', aged, 'LIMIT', most) <= most - node then
      call('XTRIM', archive, 'MINID', '=', aged)
    end
    call('PEXPIRE', archive, kept_for)
    local last, most_bytes = whole(archived) .. '-' .. whole(number), removes_bytes + 2 * (weight - held_before)
    -- Mostly the oldest stays.
    local from, keep, is_over, removed, piece = '-', last, true, 0, 1
    while is_over do
      local entries = call('XRANGE', archive, from, '+', 'COUNT', piece)
      is_over = #entries > 0
      for _, entry in ipairs(entries) do
        keep, from = entry[1], '(' .. entry[1]
        local bytes = weigh(#(entry[2][6] or '') + #(entry[2][14] or ''))
        local up_to = entry[2][4] and #entry[2][4] < 16 and digits(entry[2][4]) or 0
        is_over = weight - up_to + bytes > most_held and keep ~= last and removed < most_bytes
        if not is_over then
          break
        end
        removed = removed + bytes
      end
      piece = math.min(2 * piece, 16)
    end
    if removed > 0 then
      call('XTRIM', archive, 'MINID', '=', keep)
    end
  end
end

-- What is wrong with a key is its room's alone, and found before anything is written: what was appended and not
-- published would be a repeat next time.
local function look(room)
  local known
  if has_archive then
    known = try('HMGET', room.origins, origin, 'tail', 'said')
  else
    known = try('HMGET', room.origins, origin, 'tail')
  end
  if known.err then
    return known.err
  end
  local length = try('XLEN', room.stream)
  if type(length) == 'table' then
    return length.err
  end
  local last, tail = known[1], known[2]
  room.last = last and tonumber(match(last, '^%d+')) or 0
  if room.last >= highest then
    room.last = 0
  end
  room.is_new, room.has_stream, room.has_tail, room.length = not last, length > 0, tail, length
  local after = '-'
  if tail and #tail == tail_bytes then
    local offset, millis, epoch, entries, total, held, oldest, life_then = struct.unpack(tail_form, tail)
    if epoch < highest then
      room.epoch, room.offset, room.millis, room.life = epoch, offset, millis, life_then
      if entries == length then
        after = '(' .. format(id_form, millis, offset)
        room.total, room.oldest, room.held = total, oldest, held < unknown and held
      end
    end
  end
  if length > 0 then
    local newest = try('XREVRANGE', room.stream, '+', after, 'COUNT', 1)
    if newest.err then
      return newest.err
    end
    if newest[1] then
      local fault = rare().take_newest(room, newest[1])
      if fault then
        return fault
      end
    end
  else
    room.total, room.held, room.oldest = 0, 0, false
  end
  if has_archive then
    room.said = math.max(micros, (digits(known[3]) or 0) + 1)
  end
  room.said_last = room.millis
  if clock > room.millis then
    room.millis = clock
  end
end

-- What a node has seen, beside what there is.
local function compare(room, epoch, offset)
  local is_behind = epoch > room.epoch or epoch == room.epoch and offset > room.offset
  local is_another = is_life_known and room.life and room.life ~= '-       ' and room.life ~= life
  if is_behind or is_another and room.epoch > 0 or room.epoch == 0 or room.offset > unknown - 1000000 then
    rare().begin_anew(room, epoch, offset)
  elseif epoch > 0 and epoch < room.epoch and epoch == rare().before_of(room).epoch and offset > room.before.offset then
    room.before.offset, room.is_told, room.has_new_before = offset, true, true
  end
  room.life, room.epoch_text = is_life_known and life or room.life or life, whole(room.epoch)
end

local has_written = false
-- The entries; what is published of them, or what Redis says if it cannot.
local function add(room, head, from, messages, has_ids, answer)
  local step = 2 + (has_archive and 1 or 0) + (has_ids and 1 or 0)
  local published, millis, epoch = {}, room.millis, room.epoch_text
  -- The entries that are too many go with the last one.
  local final = from + (messages - 1) * step
  for index = from, final, step do
    local sequence, message, id = tonumber(ARGV[index]), ARGV[index + 1], has_ids and ARGV[index + step - 1] or ''
    local score = id ~= '' and call('ZSCORE', room.ids, id)
    if sequence > room.last and not score then
      local bytes, added = weigh(#head + #message), nil
      local entry, sum = format(id_form, millis, room.offset + 1), whole(room.total + bytes)
      if index == final and room.length >= capacity + spare then
        added = try('XADD', room.stream, 'MAXLEN', '=', capacity, entry, 'e', epoch, 'h', head, 'm', message, 'b', sum)
        room.length = capacity - 1
      else
        added = try('XADD', room.stream, entry, 'e', epoch, 'h', head, 'm', message, 'b', sum)
      end
      if type(added) == 'table' and room.length == 0 and match(added.err, 'equal or smaller') then
        -- Somebody has removed all entries, of which the last was later than it is now.
        call('PEXPIRE', room.stream, -1)
        added = try('XADD', room.stream, entry, 'e', epoch, 'h', head, 'm', message, 'b', sum)
      end
      if type(added) == 'table' and added.err then
        return nil, added.err
      end
      has_written, room.said_last = true, room.millis
      room.offset, room.total, room.length = room.offset + 1, room.total + bytes, room.length + 1
      room.held = room.held and room.held + bytes
      published[#published + 1] = message
      if id ~= '' then
        score = whole(rare().before_of(room).base_now + room.offset)
        call('ZADD', room.ids, score, id)
      end
      if has_archive and ARGV[index + 2] ~= '' then
        archive_entry(room, ARGV[index + 2])
      end
    end
    if sequence > room.last then
      room.last = sequence
    end
    if has_ids then
      -- What somebody else put there may be no number.
      local known = score and digits(score)
      answer[#answer + 1] = known and rare().place_of(room, known) or ''
    end
  end
  return published
end

-- Where numbering goes on, and what there is.
local function tail_of(room)
  local held = room.held
  if not held or held < 0 or held > unknown then
    held = unknown
  end
  return pack(tail_form, room.offset, room.millis, room.epoch, room.length, room.total, held,
    room.oldest or room.millis, room.life) .. tail_end
end

-- Appends what a room has to say, and publishes it; what Redis says if it cannot.
local function append(room, head, from, messages, has_ids, answer)
  local first, before, said_last = room.offset + 1, room.total, room.said_last
  local published, fault = add(room, head, from, messages, has_ids, answer)
  if fault then
    return fault
  end
  answer[1], answer[2], answer[3] = #published, room.epoch_text, whole(room.offset)
  if #published > 0 then
    if room.length > capacity + spare then
      room.length = room.length - call('XTRIM', room.stream, 'MAXLEN', '=', capacity)
    end
    room.oldest = room.oldest or room.millis
    if not room.held or room.held > bytes_max or room.oldest < room.millis - kept then
      rare().bound(room, format(id_form, room.millis, room.offset), room.total - before)
    end
    -- A room that is spoken in does not say so each time: the first who speaks in a sixteenth of the time adds that.
    if not room.has_stream or floor(said_last / part) ~= now then
      call('PEXPIRE', room.stream, whole(kept + part))
    end
    if has_ids then
      rare().forget_ids(room)
    end
    local last = whole(room.last) .. ' ' .. whole(room.millis)
    if room.has_said then
      call('HSET', room.origins, origin, last, 'tail', tail_of(room), 'said', whole(room.said - 1))
    else
      call('HSET', room.origins, origin, last, 'tail', tail_of(room))
    end
    if room.is_new then
      local there = call('HLEN', room.origins)
      if there > 64 then
        rare().forget_origins(room, there)
      end
    end
  elseif room.is_told then
    call('HSET', room.origins, 'tail', tail_of(room))
    has_written = true
  else
    return
  end
  if room.has_new_before then
    rare().keep_before(room)
  end
  if not room.has_tail or floor(said_last / part_origins) ~= now_origins then
    call('PEXPIRE', room.origins, whole(kept_origins + part_origins))
  end
  room.is_new, room.has_stream, room.has_tail = false, room.has_stream or #published > 0, true
  if room.is_told then
    -- An announcement without messages: the epoch before was seen up to here, and whoever reads is told all of it.
    call(ARGV[1], room.stream, pack('>I8I8I8', room.before.epoch, room.millis, room.before.offset) .. head)
    room.is_told = false
  end
  if #published > 0 then
    local place = pack('>I8I8I8', room.epoch, room.millis, first)
    call(ARGV[1], room.stream, place .. head .. table.concat(published))
  end
end

-- All is looked at before anything is written.
local calls, by_stream, key, index = {}, {}, 1, 11
local last_key = #KEYS - (archive and 1 or 0)
while key <= last_key do
  local stream, has_ids, messages = KEYS[key], ARGV[index + 3] == '1', tonumber(ARGV[index + 5])
  local room = by_stream[stream]
  if not room then
    -- All fields at once: a table that grows is moved again and again.
    room = { stream = stream, origins = KEYS[key + 1], epoch = 0, offset = 0, millis = 0, total = 0, last = 0,
      length = 0, said_last = 0, said = 0, is_new = false, has_stream = false, has_tail = false, has_said = false,
      is_told = false, has_new_before = false, life = false, held = false, oldest = false, epoch_text = false,
      fault = false }
    by_stream[stream] = room
    room.fault = archive_fault or look(room) or false
  end
  if has_ids then
    room.ids = KEYS[key + 2]
    local there = try('ZCARD', room.ids)
    room.fault = room.fault or type(there) == 'table' and there.err
  end
  calls[#calls + 1] = { room, index, messages, has_ids }
  key = key + (has_ids and 3 or 2)
  index = index + 6 + messages * (2 + (has_archive and 1 or 0) + (has_ids and 1 or 0))
end
-- What was seen, if it is a number that we count, and far enough from the last one for epochs to go on behind it.
local function seen(text)
  local number = tonumber(text)
  return number and number >= 0 and number <= 8000000000000000 and number or 0
end
local answers = {}
for _, one in ipairs(calls) do
  local room, at, messages, has_ids, answer = one[1], one[2], one[3], one[4], { 0, '0', '0' }
  if not room.fault then
    local epoch, offset = seen(ARGV[at + 1]), seen(ARGV[at + 2])
    if room.epoch > 0 or messages > 0 or epoch > 0 then
      compare(room, epoch, offset)
      local is_done, fault = true, nil
      if ARGV[at + 4] ~= '' and room.last < seen(ARGV[at + 4]) then
        -- Redis refused those and takes these: they would be taken for repeats when they are sent again.
        fault = 'BEHIND what was not appended'
      else
        is_done, fault = pcall(append, room, ARGV[at], at + 6, messages, has_ids, answer)
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
if has_archive and archived_now() then
  trim_archive(tonumber(ARGV[9]), tonumber(ARGV[10]))
end
return answers
