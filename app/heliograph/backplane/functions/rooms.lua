-- A room's log. KEYS: meta (hash), log (list); both live under the room's hash tag.
--
-- meta: epoch, seq (of the last entry), term (the server process that gave it out),
--       bytes (in the log), prior (the epoch before this one), fresh (ms, expiry renewed)
-- log:  "epoch seq at number envelope", oldest first; sequences are contiguous, also across
--       epochs, so that an entry's index follows from its sequence.
-- policy: "keep_ms max_entries max_bytes meta_ms term lossy release"
--       lossy: "1" when a failover may have lost the log's end, so that a new term is a new
--       epoch; release: "1" when the caller publishes after replication.

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

-- Policies are few, and taking one apart costs more than all the rest.
local policies, known = {}, 0

local function read_policy(text)
  local policy = policies[text]
  if policy then
    return policy
  end
  local words = {}
  for word in string.gmatch(text, '%S+') do
    words[#words + 1] = word
  end
  policy = {
    keep = tonumber(words[1]), entries = tonumber(words[2]), bytes = tonumber(words[3]),
    meta = tonumber(words[4]), term = words[5], lossy = words[6] == '1', held = words[7] == '1',
  }
  if known >= 100 then
    policies, known = {}, 0
  end
  policies[text], known = policy, known + 1
  return policy
end

-- The room's present state, made when there is none; a new term begins a new epoch when the
-- log's end may be lost. Writes only what changed. Returns epoch, seq, bytes, prior, now.
local function room_open(meta_key, log_key, policy)
  local meta = redis.call('HMGET', meta_key, 'epoch', 'seq', 'term', 'bytes', 'fresh', 'prior')
  local epoch, bytes, prior = meta[1], tonumber(meta[4] or 0), meta[6] or ''
  local now = now_ms()
  if not epoch then
    epoch = new_epoch('')
    bytes = 0
    redis.call('DEL', log_key)
    redis.call('HSET', meta_key, 'epoch', epoch, 'seq', 0, 'term', policy.term, 'bytes', 0)
  elseif meta[3] ~= policy.term then
    if policy.lossy then
      prior, epoch = epoch, new_epoch(epoch)
      redis.call('HSET', meta_key, 'epoch', epoch, 'prior', prior, 'term', policy.term)
    else
      redis.call('HSET', meta_key, 'term', policy.term)
    end
  end
  -- Expiries are renewed now and then only, which is cheaper than at every entry.
  if now - (meta[5] or 0) > policy.keep / 4 then
    redis.call('HSET', meta_key, 'fresh', now)
    redis.call('PEXPIRE', meta_key, policy.meta)
    redis.call('PEXPIRE', log_key, policy.keep * 1.5)
  end
  return epoch, tonumber(meta[2] or 0), bytes, prior, now
end

local function entry_at(entry)
  return tonumber(string.match(entry, '^%S+ %S+ (%S+) '))
end

-- Remove what is too old or too much; returns the bytes that are left.
local function room_trim(log_key, policy, bytes, now)
  local length = redis.call('LLEN', log_key)
  while length > 0 do
    local first = redis.call('LINDEX', log_key, 0)
    if length <= policy.entries and bytes <= policy.bytes
        and entry_at(first) >= now - policy.keep then
      break
    end
    redis.call('LPOP', log_key)
    bytes = bytes - #first
    length = length - 1
  end
  return bytes
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
  policy = read_policy(policy)
  local epoch, seq, bytes, _, now = room_open(meta_key, log_key, policy)
  if retried == '1' then
    local found, at, entry = room_find(log_key, id)
    if found then
      return found, at, entry
    end
  end
  seq = seq + 1
  local entry = string.format('%s %d %d %s %s ', epoch, seq, now, number or '-', id) .. envelope
  bytes = bytes + #entry
  if redis.call('RPUSH', log_key, entry) == 1 then
    redis.call('PEXPIRE', log_key, policy.keep * 1.5)
  end
  if seq % 32 == 0 or bytes > policy.bytes then
    bytes = room_trim(log_key, policy, bytes, now)
  end
  redis.call('HSET', meta_key, 'seq', seq, 'bytes', bytes)
  if not policy.held then
    redis.call('SPUBLISH', channel, entry)
  end
  return epoch, seq, entry
end

-- KEYS meta, log. ARGV channel, policy, id, retried, envelope.
-- Returns {{epoch, seq}, {entries to be released}}.
register('room_publish', function(keys, args)
  local epoch, seq, entry = room_append(
    keys[1], keys[2], args[1], args[2], args[3], args[4], args[5], nil)
  return {{epoch, seq}, read_policy(args[2]).held and {entry} or {}}
end)

-- Where a room stands. KEYS meta, log. ARGV policy. Returns {epoch, seq}.
register('room_position', function(keys, args)
  local epoch, seq = room_open(keys[1], keys[2], read_policy(args[1]))
  return {epoch, seq}
end)

-- The caller waits until replicas have what it read: that takes a write to wait for.
local function note_read(meta_key, policy, now)
  if policy.held then
    redis.call('HSET', meta_key, 'read', now)
  end
end

-- What came after a position. KEYS meta, log. ARGV policy, epoch, seq, mode.
-- Returns {epoch, seq, complete, {entries}}. complete: 1 when the entries are exactly what
-- came after it. mode "resume" (a subscriber that was away) also gets what there is when it is
-- not, and lets a log that lost its end begin a new epoch; mode "replay" gets nothing then.
register('room_since', function(keys, args)
  local policy = read_policy(args[1])
  local epoch, seq, _, prior, now = room_open(keys[1], keys[2], policy)
  local known, since, resume = args[2], tonumber(args[3]), args[4] == 'resume'
  if known == epoch and since > seq and resume then
    prior, epoch = epoch, new_epoch(epoch)
    redis.call('HSET', keys[1], 'epoch', epoch, 'prior', prior)
  end
  local length = redis.call('LLEN', keys[2])
  local missing = seq - since
  local complete = known == epoch and missing >= 0 and missing <= length
  local from = 0
  if complete then
    from = missing
  elseif resume then
    -- What is left of the prior epoch after that sequence, and all of this one: that began with
    -- a lower sequence than is known, if the log had lost its end.
    from = length
    if known == prior and missing < length then
      local of_this_one, mark = 0, epoch .. ' '
      while of_this_one < length
          and string.sub(redis.call('LINDEX', keys[2], -1 - of_this_one), 1, #mark) == mark do
        of_this_one = of_this_one + 1
      end
      from = math.max(missing, of_this_one)
    end
  end
  local entries = {}
  if from > 0 then
    entries = redis.call('LRANGE', keys[2], -from, -1)
    note_read(keys[1], policy, now)
  end
  return {epoch, seq, complete and 1 or 0, entries}
end)
