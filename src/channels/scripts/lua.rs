//! What Redis is to do in one step, in its own language.

/// `EVAL` of messages for the keys of one host: `KEYS` are its destinations, `ARGV` how many messages, the expiry, the
/// last score that has expired, and a capacity for each destination; then of each message its number, the time, and its
/// bytes for each destination. The reply is for each message how many destinations were full and did not get it; then
/// how many are no queues, which do not keep a message from the others, and what Redis says of one. As the layer's, whose
/// `ZREMRANGEBYSCORE` goes before: what has expired does not count, and goes.
///
/// With four more arguments, nothing is done and the reply is `FENCED` without the first of them, a key; the second is
/// where each message leaves a mark: who does not hear the reply can read it there. The third is where earlier marks are,
/// which go, and the fourth is the marks' expiry. The first write is one that a full Redis refuses: then nothing is done.
pub const SEND: &str = "\
local count, expired, keys = tonumber(ARGV[1]), ARGV[3], #KEYS
local further = 3 + keys + count * (keys + 2)
local fence, mark, last = ARGV[further + 1], ARGV[further + 2], ARGV[further + 3]
if fence and redis.call('EXISTS', fence) == 0 then
  return 'FENCED'
end
local waiting, room, foreign, said = {}, {}, 0, ''
for i = 1, keys do
  local there = redis.pcall('ZCOUNT', KEYS[i], '(' .. expired, '+inf')
  if type(there) == 'table' then
    if not string.find(there.err, 'WRONGTYPE', 1, true) then
      return there
    end
    foreign, said = foreign + 1, there.err
  else
    waiting[i], room[i] = there, tonumber(ARGV[3 + i]) - there
  end
end
local missed, marks, at = {}, {}, 3 + keys
for m = 1, count do
  local full = 0
  for i = 1, keys do
    if waiting[i] and room[i] > 0 then
      redis.call('ZADD', KEYS[i], ARGV[at + 2], ARGV[at + 2 + i])
      room[i] = room[i] - 1
    elseif waiting[i] then
      full = full + 1
    end
  end
  missed[m] = full
  marks[2 * m - 1] = ARGV[at + 1]
  marks[2 * m] = table.concat({ARGV[at + 1], keys, full, foreign}, ':')
  at = at + keys + 2
end
for i = 1, keys do
  if waiting[i] and room[i] < tonumber(ARGV[3 + i]) - waiting[i] then
    redis.call('EXPIRE', KEYS[i], ARGV[2])
    redis.call('ZREMRANGEBYSCORE', KEYS[i], 0, expired)
  end
end
if mark then
  local left = redis.pcall('ZADD', mark, unpack(marks))
  if type(left) == 'table' then
    if not string.find(left.err, 'WRONGTYPE', 1, true) then
      return left
    end
    redis.call('DEL', mark)
    redis.call('ZADD', mark, unpack(marks))
  end
  redis.call('EXPIRE', mark, ARGV[further + 4])
  redis.call('DEL', last)
end
missed[count + 1], missed[count + 2] = foreign, said
return missed
";

/// `EVAL` of joining groups, and of renewing memberships: `KEYS` are a fence and the groups, `ARGV` the expiry, then a
/// score and a member for each group. The reply is `FENCED` without the fence, and nothing is done; else the number of
/// keys that are no groups, what Redis says of one, and which of the groups they are, from 1.
pub const JOIN: &str = "\
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 'FENCED'
end
local places, said = {}, ''
for i = 2, #KEYS do
  local joined = redis.pcall('ZADD', KEYS[i], ARGV[2 * i - 2], ARGV[2 * i - 1])
  if type(joined) == 'table' then
    if not string.find(joined.err, 'WRONGTYPE', 1, true) then
      return joined
    end
    places[#places + 1], said = i - 1, joined.err
  else
    redis.call('EXPIRE', KEYS[i], ARGV[1])
  end
end
return {#places, said, places}
";

/// `EVAL` of leaving groups: `KEYS` are a fence and the groups, `ARGV` a member for each. The reply is that of [`JOIN`].
pub const LEAVE: &str = "\
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 'FENCED'
end
local places, said = {}, ''
for i = 2, #KEYS do
  local left = redis.pcall('ZREM', KEYS[i], ARGV[i - 1])
  if type(left) == 'table' then
    if not string.find(left.err, 'WRONGTYPE', 1, true) then
      return left
    end
    places[#places + 1], said = i - 1, left.err
  end
end
return {#places, said, places}
";

/// `EVAL` of setting a session's fence anew: `KEYS` are the next session's fence, this one's, and what is there as long as
/// Redis has not forgotten; `ARGV` is the expiry. The reply is 0, and nothing is done, if the next session has begun.
pub const RENEW: &str = "\
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
redis.call('SET', KEYS[2], '1', 'EX', ARGV[1])
redis.call('SET', KEYS[3], '1', 'EX', ARGV[1])
return 1
";

/// `EVAL` of taking what waits: `KEYS` are a fence, what an earlier call has kept, where this one keeps what it takes,
/// and the receivers. `ARGV` are the most messages and bytes after which no more are taken, how many of one receiver
/// before the next one has its turn, the expiry in seconds, and the bytes of the longest message: of a longer one there
/// is one byte more than that, enough to see that it is too long. The reply is the messages, each receiver's lowest score
/// first. The first write is one that a full Redis does not refuse, and after that one it refuses none: nothing is
/// popped and not kept.
pub const TAKE: &str = "\
if redis.call('EXISTS', KEYS[1]) == 0 then
  return {}
end
redis.call('DEL', KEYS[2], KEYS[3])
local most, bytes_most, turn = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local longest = tonumber(ARGV[5])
local taken, bytes, found = {}, 0, true
while found do
  found = false
  for i = 4, #KEYS do
    if #taken >= most or bytes >= bytes_most then
      found = false
      break
    end
    local popped = redis.pcall('ZPOPMIN', KEYS[i], turn)
    if popped.err and not string.find(popped.err, 'WRONGTYPE', 1, true) then
      return popped
    end
    for j = 1, #popped, 2 do
      local message = popped[j]
      if #message > longest then
        message = string.sub(message, 1, longest + 1)
      end
      redis.call('ZADD', KEYS[3], popped[j + 1], message)
      taken[#taken + 1] = message
      bytes = bytes + #message
      found = true
    end
  end
end
if #taken > 0 then
  redis.call('EXPIRE', KEYS[3], ARGV[4])
end
return taken
";

/// `EVAL` of deleting those of `KEYS` that are no sorted sets.
pub const HEAL: &str = "\
local healed = 0
for i = 1, #KEYS do
  local said = redis.pcall('ZCOUNT', KEYS[i], '-inf', '+inf')
  if type(said) == 'table' and string.find(said.err, 'WRONGTYPE', 1, true) then
    redis.call('DEL', KEYS[i])
    healed = healed + 1
  end
end
return healed
";

/// Messages after which [`TAKE`] takes no more.
pub const TAKEN_MAX: usize = 128;

/// Bytes of messages after which [`TAKE`] takes no more.
pub const TAKEN_BYTES: usize = 256 * 1024;

/// Messages that [`TAKE`] takes of one receiver before the next one has its turn: so many may be beyond its limits.
pub const TAKEN_TURN: usize = 8;
