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

