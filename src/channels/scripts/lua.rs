//! What Redis is to do in one step, in its own language.

/// `EVAL` of a message for the keys of one host: `KEYS` are its destinations, `ARGV` a message for
/// each, a capacity for each, the time and the expiry. The reply is how many keys were full and did
/// not get their message. As the layer's, but for keys that are no queues: they do not keep the message from the
/// others, and the reply is then the number of the full ones, the number of theirs, and what Redis says of one. With
/// four more arguments, nothing is done and the reply is `FENCED` without the first of them, a key; the second is where
/// a mark is left, the third the mark's number and the fourth its expiry: who does not hear the reply can read it there.
pub const SEND: &str = "\
local full, foreign, said = 0, 0, ''
local now = ARGV[2 * #KEYS + 1]
local expiry = ARGV[2 * #KEYS + 2]
local fence, mark = ARGV[2 * #KEYS + 3], ARGV[2 * #KEYS + 4]
local number, kept = ARGV[2 * #KEYS + 5], ARGV[2 * #KEYS + 6]
if fence and redis.call('EXISTS', fence) == 0 then
  return 'FENCED'
end
for i = 1, #KEYS do
  local waiting = redis.pcall('ZCOUNT', KEYS[i], '-inf', '+inf')
  if type(waiting) == 'table' then
    if not string.find(waiting.err, 'WRONGTYPE', 1, true) then
      return waiting
    end
    foreign, said = foreign + 1, waiting.err
  elseif waiting < tonumber(ARGV[i + #KEYS]) then
    redis.call('ZADD', KEYS[i], now, ARGV[i])
    redis.call('EXPIRE', KEYS[i], expiry)
  else
    full = full + 1
  end
end
if mark then
  redis.call('ZADD', mark, number, table.concat({number, #KEYS, full, foreign}, ':'))
  redis.call('EXPIRE', mark, kept)
end
if foreign > 0 then
  return {full, foreign, said}
end
return full
";

/// `EVAL` of taking what waits: `KEYS` are a fence, what an earlier call has kept, where this one keeps what it takes,
/// and the receivers. `ARGV` are the most messages and bytes after which no more are taken, how many of one receiver
/// before the next one has its turn, and the expiry in seconds. The reply is the messages, each receiver's lowest score
/// first. The first write is one that a full Redis does not refuse, and after that one it refuses none: nothing is
/// popped and not kept.
pub const TAKE: &str = "\
if redis.call('EXISTS', KEYS[1]) == 0 then
  return {}
end
redis.call('DEL', KEYS[2], KEYS[3])
local most, bytes_most, turn = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
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
      redis.call('ZADD', KEYS[3], popped[j + 1], popped[j])
      taken[#taken + 1] = popped[j]
      bytes = bytes + #popped[j]
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
