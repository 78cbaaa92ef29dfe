-- Sessions: what is kept of each, and which replica owns it. One key a session, a hash:
--
-- user, secret:  who may recover it, with what; an empty secret: nobody
-- owner:         the replica that holds it; empty while it is on its way to another
-- generation:    grows whenever the owner changes; an owner with an old one is none any more
-- revision:      of the rooms; what is older than what is there comes late and is dropped
-- data:          the rest, as the owner wrote it
-- caller:ID:     ms until which that replica waits for an answer of the session
--
-- Of a session that ended at its second owner or a later one there stay generation and
-- `ended`, the owner, for a while: a former owner that was frozen must not bring it back.
--
-- An owner may have taken another name: it gives the one it wrote last, and its present one.

local CALLER = 'caller:'

-- Whether the record is the owner's: true also when there is none, then `missing` too.
local function owned(key, before, generation, now)
  local was = redis.call('HMGET', key, 'generation', 'owner', 'ended')
  if not was[1] then
    return true, true
  end
  local same = was[2] == before or (now and was[2] == now)
  return was[1] == generation and not was[3] and same, false
end

local function write(key, owner, generation, revision, ttl, user, secret, data)
  local there = redis.call('HGET', key, 'revision')
  if there and tonumber(there) > tonumber(revision) then
    redis.call('HSET', key, 'owner', owner)
  else
    redis.call('HSET', key, 'owner', owner, 'generation', generation, 'revision', revision,
      'user', user, 'secret', secret, 'data', data)
  end
  redis.call('PEXPIRE', key, ttl)
end

-- KEYS record. ARGV owner before, generation, owner, revision, ttl_ms, user, secret, data
-- 0: it is another's.
register('session_save', function(keys, args)
  if not owned(keys[1], args[1], args[2], args[3]) then
    return 0
  end
  write(keys[1], args[3], args[2], args[4], args[5], args[6], args[7], args[8])
  return 1
end)

-- KEYS record. ARGV owner before, generation, owner, revision, ttl_ms
-- 0: it is another's; 2: it has to be saved, what is there is old or nothing.
register('session_renew', function(keys, args)
  local mine, missing = owned(keys[1], args[1], args[2], args[3])
  if not mine then
    return 0
  end
  if missing or redis.call('HGET', keys[1], 'revision') ~= args[4] then
    return 2
  end
  if args[1] ~= args[3] then
    redis.call('HSET', keys[1], 'owner', args[3])
  end
  redis.call('PEXPIRE', keys[1], args[5])
  return 1
end)

-- KEYS record. ARGV owner before, generation, revision, ttl_ms, user, secret, data
-- The owner lets go of it, for another one.
register('session_release', function(keys, args)
  local mine = owned(keys[1], args[1], args[2], '')
  if mine then
    write(keys[1], '', args[2], args[3], args[4], args[5], args[6], args[7])
  end
  return mine and 1 or 0
end)

-- KEYS record. ARGV secret, user, taker, ttl_ms, asked, held
-- asked: "owner:generation" of an owner that was asked to let go of it, whatever it answered;
-- held: the generation in which the taker has it already, else 0.
-- {}: there is no record; {'gone'}: it ended; {'refused'}: not with that, or not any more;
-- {'ask', owner, generation}: ask it first;
-- {'taken', generation, revision, data, caller...}: it is the taker's; the callers if the
-- generation is a new one.
register('session_take', function(keys, args)
  local key = keys[1]
  local was = redis.call('HMGET', key, 'secret', 'user', 'owner', 'generation', 'revision',
    'data', 'ended')
  if was[7] then
    return {'gone'}
  end
  if not was[4] then
    return {}
  end
  if was[1] == '' or was[1] ~= args[1] or was[2] ~= args[2] then
    return {'refused'}
  end
  local owner, generation = was[3], was[4]
  local taken = {'taken', generation, was[5], was[6]}
  if owner ~= args[3] or generation ~= args[6] then
    if owner ~= args[3] and owner ~= '' and args[5] ~= owner .. ':' .. generation then
      return {'ask', owner, generation}
    end
    taken[2] = string.format('%d', generation + 1)
    redis.call('HSET', key, 'owner', args[3], 'generation', taken[2])
    local now = now_ms()
    local fields = redis.call('HGETALL', key)
    for index = 1, #fields, 2 do
      if string.sub(fields[index], 1, #CALLER) == CALLER then
        if tonumber(fields[index + 1]) > now then
          taken[#taken + 1] = string.sub(fields[index], #CALLER + 1)
        else
          redis.call('HDEL', key, fields[index])
        end
      end
    end
  end
  redis.call('PEXPIRE', key, args[4])
  return taken
end)

-- KEYS record. ARGV owner, generation, ttl_ms. 0: it is another's.
register('session_forget', function(keys, args)
  local key = keys[1]
  if not owned(key, args[1], args[2]) then
    local was = redis.call('HMGET', key, 'ended', 'generation')
    return was[1] == args[1] and was[2] == args[2] and 1 or 0 -- asked again
  end
  redis.call('DEL', key)
  if args[2] ~= '1' then
    redis.call('HSET', key, 'ended', args[1], 'generation', args[2])
    redis.call('PEXPIRE', key, args[3])
  end
  return 1
end)

-- KEYS record. ARGV user, caller or '', ms for which it waits
-- {owner, generation}, or {} when the user has no such session.
register('session_find', function(keys, args)
  local was = redis.call('HMGET', keys[1], 'user', 'owner', 'generation')
  if not was[1] or was[1] ~= args[1] then
    return {}
  end
  if args[2] ~= '' then
    local field, now = CALLER .. args[2], now_ms()
    local till = tonumber(redis.call('HGET', keys[1], field) or 0)
    redis.call('HSET', keys[1], field, string.format('%d', math.max(till, now + args[3])))
  end
  return {was[2], was[3]}
end)
