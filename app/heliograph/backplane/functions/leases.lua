-- Leases: who is one of the fleet, and who holds a lock. All times are the server's own, so
-- no replica's clock counts. The keys of one function share a hash tag.

-- registry: zset, replica -> ms at which its lease ends. A lease that has ended can be renewed
--           until somebody buries it; after that, never.
-- steady:   hash, replica -> ms since which its lease has not lapsed
-- dead:     zset, replica -> ms at which it was buried or left; until all it held is cleaned up
-- graves:   zset, the same of a day, cleaned up or not

local DAY_MS = 24 * 3600 * 1000

local function lay_down(dead, graves, id, now)
  redis.call('ZADD', dead, now, id)
  redis.call('ZADD', graves, now, id)
  redis.call('ZREMRANGEBYSCORE', graves, '-inf', now - DAY_MS)
end

-- KEYS registry steady dead graves. ARGV id ttl_ms former
-- former: the id that it had before, or empty. It was not buried when Redis lost its memory; but
-- what it held elsewhere is to be cleaned up all the same.
register('replica_enlist', function(keys, args)
  local now = now_ms()
  redis.call('ZADD', keys[1], now + args[2], args[1])
  redis.call('HSET', keys[2], args[1], now)
  if args[3] ~= '' and not redis.call('ZSCORE', keys[4], args[3]) then
    lay_down(keys[3], keys[4], args[3], now)
  end
  return 1
end)

-- KEYS registry steady. ARGV id ttl_ms. 0: it was buried, or Redis lost its memory.
register('replica_renew', function(keys, args)
  local now = now_ms()
  local ends = redis.call('ZSCORE', keys[1], args[1])
  if not ends then
    return 0
  end
  if tonumber(ends) < now then
    redis.call('HSET', keys[2], args[1], now)
  end
  redis.call('ZADD', keys[1], now + args[2], args[1])
  return 1
end)

-- KEYS registry steady dead graves. ARGV id. It goes by itself; the reaper looks for what it left.
register('replica_leave', function(keys, args)
  if redis.call('ZREM', keys[1], args[1]) == 1 then
    redis.call('HDEL', keys[2], args[1])
    lay_down(keys[3], keys[4], args[1], now_ms())
  end
  return 1
end)

-- KEYS registry steady dead graves fence. ARGV id token ttl_ms
-- Bury those whose lease ended. After an outage of Redis everybody's has: so only one who has
-- been steady for a lease since then may bury, which gives the others the time to renew.
-- Returns all whose things are still to be cleaned up.
register('replica_bury', function(keys, args)
  if redis.call('GET', keys[5]) ~= args[2] then
    return {}
  end
  local now = now_ms()
  local ends = redis.call('ZSCORE', keys[1], args[1])
  local since = redis.call('HGET', keys[2], args[1])
  if ends and since and tonumber(ends) >= now and since + args[3] <= now then
    for _, id in ipairs(redis.call('ZRANGE', keys[1], '-inf', '(' .. now, 'BYSCORE')) do
      redis.call('ZREM', keys[1], id)
      redis.call('HDEL', keys[2], id)
      lay_down(keys[3], keys[4], id, now)
    end
  end
  return redis.call('ZRANGE', keys[3], 0, -1)
end)

-- KEYS dead fence. ARGV id token
register('replica_forget', function(keys, args)
  if redis.call('GET', keys[2]) ~= args[2] then
    return 0
  end
  return redis.call('ZREM', keys[1], args[1])
end)

-- Locks. lock: hash with owner and token; fence: the last token given out.

-- KEYS lock fence. ARGV owner ttl_ms. The token, or 0 when somebody else holds it.
register('lock_acquire', function(keys, args)
  local held = redis.call('HMGET', keys[1], 'owner', 'token')
  if held[1] == args[1] then -- asked again
    redis.call('PEXPIRE', keys[1], args[2])
    return tonumber(held[2])
  elseif held[1] then
    return 0
  end
  -- At least the time in microseconds: a token grows even if a failover lost the last one.
  local time = redis.call('TIME')
  local token = math.max(tonumber(redis.call('GET', keys[2]) or 0) + 1,
    time[1] * 1000000 + time[2])
  local text = string.format('%.0f', token)
  redis.call('SET', keys[2], text, 'PX', math.max(DAY_MS, 2 * args[2]))
  redis.call('HSET', keys[1], 'owner', args[1], 'token', text)
  redis.call('PEXPIRE', keys[1], args[2])
  return token
end)

-- KEYS lock fence. ARGV owner ttl_ms. 0: it is not the owner's any more.
register('lock_renew', function(keys, args)
  if redis.call('HGET', keys[1], 'owner') ~= args[1] then
    return 0
  end
  redis.call('PEXPIRE', keys[1], args[2])
  redis.call('PEXPIRE', keys[2], math.max(DAY_MS, 2 * args[2]))
  return 1
end)

-- KEYS lock. ARGV owner
register('lock_release', function(keys, args)
  if redis.call('HGET', keys[1], 'owner') ~= args[1] then
    return 0
  end
  return redis.call('DEL', keys[1])
end)
