-- Documents: their hot log, and who is in them. All keys live under the hash tag of the
-- document's room, so an update is logged and relayed in one step.
--
-- head (hash): life, base, mark, seq, rights, updated
--   life: the document's; one that was deleted and made again has another
--   base: sequence of the last update that was trimmed; mark: of that update, or made up when
--         the log began. seq: of the last update. rights: changes with the users' rights.
--   updated: nanoseconds since 1970.
-- updates (list): 8 bytes of mark, then the update; from base + 1 to seq.
-- users (hash): sid -> "replica {json}".
--
-- Updates are trimmed by document_trim alone. A head without updates is only a cache of what
-- SQL has, and expires.

local MARK = 8
local IDLE_MS = 3600 * 1000

local function head_of(key)
  local values = redis.call('HMGET', key, 'life', 'base', 'mark', 'seq', 'rights', 'updated')
  if not values[1] then
    return nil
  end
  return {
    life = values[1], base = tonumber(values[2]), mark = values[3], seq = tonumber(values[4]),
    rights = values[5], updated = values[6],
  }
end

local function number(value)
  return string.format('%d', value)
end

-- It stays as long as there are updates which SQL has not. Always a write, so that a reader
-- can wait until a replica of Redis has all that it was told.
local function keep(head_key, head)
  redis.call('HSET', head_key, 'base', number(head.base))
  if head.seq > head.base then
    redis.call('PERSIST', head_key)
  else
    redis.call('PEXPIRE', head_key, IDLE_MS)
  end
end

-- Whether the caller's place is one of this log; its updates, if they are still here.
local function knows(head, updates_key, life, seq, mark)
  if head.life ~= life or seq > head.seq or seq < head.base then
    return false
  end
  if seq == head.base then
    return head.mark == mark
  end
  return string.sub(redis.call('LINDEX', updates_key, seq - head.seq - 1), 1, MARK) == mark
end

local function last_mark(head, updates_key)
  if head.seq == head.base then
    return head.mark
  end
  return string.sub(redis.call('LINDEX', updates_key, -1), 1, MARK)
end

local function after(head, updates_key, seq)
  if seq == head.seq then
    return {}
  end
  return redis.call('LRANGE', updates_key, seq - head.seq, -1)
end

-- KEYS head, updates. Returns nil, or {life, base, mark, seq, rights, updated, {updates}}.
register('document_read', function(keys)
  local head = head_of(keys[1])
  if not head then
    return nil
  end
  keep(keys[1], head)
  return {head.life, head.base, head.mark, head.seq, head.rights, head.updated,
          redis.call('LRANGE', keys[2], 0, -1)}
end)

-- Begin the log at what SQL has. KEYS head, updates. ARGV the life that was read here ('' for
-- none), SQL's life, sequence and time, a new mark, a new value for rights.
-- Returns 'begun', 'wiped' (it was another life's), 'lifted' (SQL is ahead: the end of this
-- log was lost; what there is counts as newer) or 'kept'.
register('document_begin', function(keys, args)
  local head = head_of(keys[1])
  local seen, life, seq, updated, mark = args[1], args[2], tonumber(args[3]), args[4], args[5]
  local how = 'begun'
  if head then
    if head.life == life then
      if head.seq >= seq then
        return 'kept'
      end
      how = 'lifted'
    elseif head.life == seen then
      how = 'wiped'
    else
      return 'kept'
    end
  end
  local last = seq
  if how == 'lifted' then
    last = seq + redis.call('LLEN', keys[2])
    updated = head.updated
  else
    redis.call('DEL', keys[2])
  end
  redis.call('HSET', keys[1], 'life', life, 'base', number(seq), 'mark', mark,
    'seq', number(last), 'rights', args[6], 'updated', updated)
  keep(keys[1], {base = seq, seq = last})
  return how
end)

-- KEYS room meta, room log, head, updates. ARGV channel, policy, id, retried, life, seq, mark.
-- Returns {{state, seq, mark, rights, {updates}, room epoch, room seq}, {}}.
register('document_since', function(keys, args)
  local head = head_of(keys[3])
  if not head then
    return {{'absent'}, {}}
  end
  keep(keys[3], head)
  local seq = tonumber(args[6])
  if not knows(head, keys[4], args[5], seq, args[7]) then
    return {{'moved'}, {}}
  end
  local epoch, at = room_open(keys[1], keys[2], read_policy(args[2]))
  return {{'ok', head.seq, last_mark(head, keys[4]), head.rights, after(head, keys[4], seq),
           epoch, at}, {}}
end)

-- KEYS as above. ARGV channel, policy, id, retried, life, seq, mark, rights, updated, then for
-- each update: mark, update, envelope.
-- Returns {{state, first seq, {updates that the caller lacked}}, {entries to be released}}.
register('document_append', function(keys, args)
  local head = head_of(keys[3])
  if not head then
    return {{'absent'}, {}}
  end
  local seq = tonumber(args[6])
  if not knows(head, keys[4], args[5], seq, args[7]) then
    return {{'moved'}, {}}
  end
  local held = read_policy(args[2]).held
  local entries = {}
  local missed = after(head, keys[4], seq)
  if args[4] == '1' then
    for index, update in ipairs(missed) do
      if string.sub(update, 1, MARK) == args[10] then
        -- It came in already, and the answer was lost.
        local others = {}
        for at = 1, index - 1 do
          others[at] = missed[at]
        end
        if held then
          for at = 1, (#args - 9) / 3 do
            local _, _, entry = room_find(keys[2], args[3] .. '.' .. at)
            entries[#entries + 1] = entry
          end
        end
        return {{'ok', seq + index, others}, entries}
      end
    end
  end
  if head.rights ~= args[8] then
    return {{'rights', head.rights}, {}}
  end
  local last = head.seq
  for at = 10, #args, 3 do
    last = last + 1
    redis.call('RPUSH', keys[4], args[at] .. args[at + 1])
    local _, _, entry = room_append(keys[1], keys[2], args[1], args[2],
      args[3] .. '.' .. (at - 7) / 3, args[4], args[at + 2], number(last))
    if held then
      entries[#entries + 1] = entry
    end
  end
  redis.call('HSET', keys[3], 'seq', number(last), 'updated', args[9])
  redis.call('PERSIST', keys[3])
  return {{'ok', head.seq + 1, missed}, entries}
end)

-- Drop what SQL has: the updates up to a sequence, if they are still those that were read.
-- KEYS head, updates. ARGV life, sequence, mark of its update.
-- Returns whether no update is left.
register('document_trim', function(keys, args)
  local head = head_of(keys[1])
  if not head or head.life ~= args[1] then
    return 1
  end
  -- Another replica may have trimmed a part already. The mark says that it is the same log.
  local upto = tonumber(args[2])
  if upto > head.base and upto <= head.seq then
    local count = upto - head.base
    local last = string.sub(redis.call('LINDEX', keys[2], count - 1), 1, MARK)
    if last == args[3] then
      redis.call('LTRIM', keys[2], count, -1)
      redis.call('HSET', keys[1], 'base', number(upto), 'mark', last)
      head.base = upto
    end
  end
  keep(keys[1], head)
  return head.seq == head.base and 1 or 0
end)

-- KEYS head, updates. ARGV the life that is over; '' for any.
register('document_forget', function(keys, args)
  local head = head_of(keys[1])
  if head and (args[1] == '' or head.life == args[1]) then
    redis.call('DEL', keys[1], keys[2])
  end
  return 1
end)

-- KEYS head. ARGV a new value.
register('document_rights', function(keys, args)
  if redis.call('EXISTS', keys[1]) == 1 then
    redis.call('HSET', keys[1], 'rights', args[1])
  end
  return 1
end)

-- KEYS users. ARGV sid, record, replica: '' or where it must be if it is there.
-- Returns {record before or false, all}.
register('member_enter', function(keys, args)
  local before = redis.call('HGET', keys[1], args[1])
  if args[3] == '' or not before or string.match(before, '^(%S+) ') == args[3] then
    redis.call('HSET', keys[1], args[1], args[2])
  end
  return {before, redis.call('HVALS', keys[1])}
end)

-- KEYS room meta, room log, users. ARGV channel, policy, id, retried, sid, replica, envelope.
-- Returns {{whether it was there}, {entries to be released}}.
register('member_leave', function(keys, args)
  local entry, _
  local record = redis.call('HGET', keys[3], args[5])
  if record and string.match(record, '^(%S+) ') == args[6] then
    redis.call('HDEL', keys[3], args[5])
    _, _, entry = room_append(keys[1], keys[2], args[1], args[2], args[3], args[4], args[7], nil)
  elseif args[4] == '1' then
    _, _, entry = room_find(keys[2], args[3])
  end
  return {{entry and 1 or 0}, entry and read_policy(args[2]).held and {entry} or {}}
end)
