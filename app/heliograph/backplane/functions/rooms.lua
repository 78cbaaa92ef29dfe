-- A room's log. KEYS: meta (hash), log (list); both live under the room's hash tag.
--
-- meta: epoch, seq (of the last entry), term (the server process that gave it out),
--       bytes (in the log), prior (the epoch before this one), fresh (ms, expiry renewed)
-- log:  "epoch seq at number envelope", oldest first; sequences are contiguous, also across
--       epochs, so that an entry's index follows from its sequence.
-- policy: "keep_ms max_entries max_bytes meta_ms term lossy release"
--       lossy: "1" when a failover may have lost the log's end, so that a new term is a new
--       epoch; release: "1" when the caller publishes after replication.

local META_FIELDS = {'epoch', 'seq', 'term', 'bytes', 'fresh', 'prior'}

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function new_epoch(before)
  -- Microseconds: no two logs of a room begin in the same one.
  local time = redis.call('TIME')
  local epoch = string.format('%x%05x', time[1], time[2])
  if epoch == before then
    epoch = epoch .. 'x'
  end
  return epoch
end

local function words(text)
  local found = {}
  for word in string.gmatch(text, '%S+') do
    found[#found + 1] = word
  end
  return found
end

-- The room's present state, made when there is none; a new term begins a new epoch when the
-- log's end may be lost. Writes only what changed.
local function room_open(meta_key, log_key, policy)
  local meta = redis.call('HMGET', meta_key, unpack(META_FIELDS))
  local now = now_ms()
  local room = {
    epoch = meta[1], seq = tonumber(meta[2] or 0), term = meta[3],
    bytes = tonumber(meta[4] or 0), prior = meta[6] or '', now = now,
  }
  if not room.epoch then
    room.epoch = new_epoch('')
    redis.call('DEL', log_key)
    room.bytes = 0
    redis.call('HSET', meta_key, 'epoch', room.epoch, 'seq', 0, 'term', policy[5], 'bytes', 0)
  elseif room.term ~= policy[5] then
    if policy[6] == '1' then
      room.prior = room.epoch
      room.epoch = new_epoch(room.epoch)
      redis.call('HSET', meta_key, 'epoch', room.epoch, 'prior', room.prior, 'term', policy[5])
    else
      redis.call('HSET', meta_key, 'term', policy[5])
    end
  end
  -- Expiries are renewed now and then only, which is cheaper than at every entry.
  if now - tonumber(meta[5] or 0) > policy[1] / 4 then
    redis.call('HSET', meta_key, 'fresh', now)
    redis.call('PEXPIRE', meta_key, policy[4])
    redis.call('PEXPIRE', log_key, policy[1] * 1.5)
    room.renewed = true
  end
  return room
end

local function entry_at(entry)
  return tonumber(string.match(entry, '^%S+ %S+ (%S+) '))
end

local function room_trim(log_key, room, policy)
  local oldest = room.now - policy[1]
  local length = redis.call('LLEN', log_key)
  while length > 0 do
    local first = redis.call('LINDEX', log_key, 0)
    if length <= tonumber(policy[2]) and room.bytes <= tonumber(policy[3])
        and entry_at(first) >= oldest then
      break
    end
    redis.call('LPOP', log_key)
    room.bytes = room.bytes - #first
    length = length - 1
  end
end

-- An entry that a retried publish has brought in already: sequence and entry, or nothing.
local function room_find(log_key, id)
  local mark = ' ' .. id .. ' '
  for _, entry in ipairs(redis.call('LRANGE', log_key, -2000, -1)) do
    if string.find(entry, mark, 1, true) then
      local epoch, seq = string.match(entry, '^(%S+) (%S+) ')
      return epoch, tonumber(seq), entry
    end
  end
end

-- Append an entry, once; publish it unless it is released later. Returns epoch, seq, entry.
local function room_append(meta_key, log_key, channel, policy, id, retried, envelope, number)
  if type(policy) == 'string' then
    policy = words(policy)
  end
  local room = room_open(meta_key, log_key, policy)
  if retried == '1' then
    local epoch, seq, entry = room_find(log_key, id)
    if epoch then
      return epoch, seq, entry
    end
  end
  local seq = room.seq + 1
  local entry = string.format('%s %d %d %s %s ', room.epoch, seq, room.now, number or '-', id)
    .. envelope
  local length = redis.call('RPUSH', log_key, entry)
  room.bytes = room.bytes + #entry
  if length == 1 then
    redis.call('PEXPIRE', log_key, policy[1] * 1.5)
  end
  if seq % 32 == 0 or room.bytes > tonumber(policy[3]) then
    room_trim(log_key, room, policy)
  end
  redis.call('HSET', meta_key, 'seq', seq, 'bytes', room.bytes)
  if policy[7] ~= '1' then
    redis.call('SPUBLISH', channel, entry)
  end
  return room.epoch, seq, entry
end

-- KEYS meta, log. ARGV channel, policy, id, retried, envelope.
-- Returns {{epoch, seq}, {entries to be released}}.
register('room_publish', function(keys, args)
  local policy = words(args[2])
  local epoch, seq, entry = room_append(
    keys[1], keys[2], args[1], policy, args[3], args[4], args[5], nil)
  return {{epoch, seq}, policy[7] == '1' and {entry} or {}}
end)

-- Where a room stands. KEYS meta, log. ARGV policy. Returns {epoch, seq}.
register('room_position', function(keys, args)
  local room = room_open(keys[1], keys[2], words(args[1]))
  return {room.epoch, room.seq}
end)

-- The caller waits until replicas have what it read: that takes a write to wait for.
local function note_read(meta_key, room, policy)
  if policy[7] == '1' then
    redis.call('HSET', meta_key, 'read', room.now)
  end
end

-- What came after a position. KEYS meta, log. ARGV policy, epoch, seq, mode.
-- Returns {epoch, seq, complete, {entries}}. complete: 1 when the entries are exactly what
-- came after it. mode "resume" (a subscriber that was away) also gets what there is when it is
-- not, and lets a log that lost its end begin a new epoch; mode "replay" gets nothing then.
register('room_since', function(keys, args)
  local policy = words(args[1])
  local room = room_open(keys[1], keys[2], policy)
  local epoch, seq, resume = args[2], tonumber(args[3]), args[4] == 'resume'
  if epoch == room.epoch and seq > room.seq and resume then
    room.prior = room.epoch
    room.epoch = new_epoch(room.epoch)
    redis.call('HSET', keys[1], 'epoch', room.epoch, 'prior', room.prior)
  end
  local length = redis.call('LLEN', keys[2])
  local missing = room.seq - seq
  if epoch == room.epoch and missing >= 0 and missing <= length then
    local entries = {}
    if missing > 0 then
      entries = redis.call('LRANGE', keys[2], -missing, -1)
      note_read(keys[1], room, policy)
    end
    return {room.epoch, room.seq, 1, entries}
  end
  if not resume then
    return {room.epoch, room.seq, 0, {}}
  end
  -- Another epoch: what is left of the prior one after that sequence, and all of this one.
  local from = -length
  if epoch == room.prior and missing < length then
    from = -math.max(missing, 0)
  end
  local entries = {}
  if length > 0 and from < 0 then
    entries = redis.call('LRANGE', keys[2], from, -1)
    note_read(keys[1], room, policy)
  end
  return {room.epoch, room.seq, 0, entries}
end)
