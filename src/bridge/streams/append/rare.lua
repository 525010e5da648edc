-- What few calls need: epochs before, bounds, ids, nodes that have ended.
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

