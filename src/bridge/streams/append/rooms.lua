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
