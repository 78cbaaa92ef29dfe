-- Who is connected and which models are in use, in the whole fleet. Every replica has a share
-- with a lease; a share is changed in steps, each of which names the version it builds on, so
-- that what was lost on the way is noticed and the share written anew.
--
-- KEYS of presence: shares (hash, replica -> "ms-of-end version"), members (zset, all scores 0,
-- "replica|user"), holders (hash, user -> number of replicas that have the user).

local function enter(keys, replica, user)
  if redis.call('ZADD', keys[2], 0, replica .. '|' .. user) == 1 then
    redis.call('HINCRBY', keys[3], user, 1)
  end
end

local function leave(keys, replica, user)
  if redis.call('ZREM', keys[2], replica .. '|' .. user) == 1
      and redis.call('HINCRBY', keys[3], user, -1) <= 0 then
    redis.call('HDEL', keys[3], user)
  end
end

local function drop(keys, replica)
  -- From "replica|" on to before "replica}", the next character.
  local found = redis.call('ZRANGE', keys[2], '[' .. replica .. '|', '(' .. replica .. '}', 'BYLEX')
  for _, member in ipairs(found) do
    leave(keys, replica, string.sub(member, #replica + 2))
  end
  redis.call('HDEL', keys[1], replica)
end

local function renew(keys, replica, lease, version)
  redis.call('HSET', keys[1], replica, string.format('%d %s', now_ms() + lease, version))
  for _, key in ipairs(keys) do
    redis.call('PEXPIRE', key, lease * 20) -- when the whole fleet is gone
  end
end

-- KEYS presence. ARGV replica, lease_ms, version before, version, then "+user" or "-user" each.
-- 0: the share is not what it builds on, and has to be written anew.
register('presence_change', function(keys, args)
  local replica, before, version = args[1], args[3], args[4]
  local share = redis.call('HGET', keys[1], replica)
  local there = share and string.match(share, ' (%S+)$')
  if there ~= version then -- else it is renewed, or the step is repeated
    if there ~= before then
      return 0
    end
    for index = 5, #args do
      local user = string.sub(args[index], 2)
      if string.sub(args[index], 1, 1) == '+' then
        enter(keys, replica, user)
      else
        leave(keys, replica, user)
      end
    end
  end
  renew(keys, replica, args[2], version)
  return 1
end)

-- KEYS presence. ARGV replica, lease_ms, version, user... All the replica has.
register('presence_replace', function(keys, args)
  drop(keys, args[1])
  for index = 4, #args do
    enter(keys, args[1], args[index])
  end
  renew(keys, args[1], args[2], args[3])
  return 1
end)

-- KEYS presence. ARGV replica
register('presence_drop', function(keys, args)
  drop(keys, args[1])
  return 1
end)

-- KEYS presence. How many users there are; shares whose lease ended count no more.
register('presence_count', function(keys, args)
  local now = now_ms()
  local shares = redis.call('HGETALL', keys[1])
  for index = 1, #shares, 2 do
    if tonumber(string.match(shares[index + 1], '^%d+')) < now then
      drop(keys, shares[index])
    end
  end
  return redis.call('HLEN', keys[3])
end)

-- Models: a zset, "replica|model" -> ms at which its use ends unless it goes on.

-- KEYS models. ARGV replica, then model and ms each.
register('usage_renew', function(keys, args)
  local now = now_ms()
  redis.call('ZREMRANGEBYSCORE', keys[1], '-inf', now)
  local longest = 0
  for index = 2, #args, 2 do
    redis.call('ZADD', keys[1], now + args[index + 1], args[1] .. '|' .. args[index])
    longest = math.max(longest, tonumber(args[index + 1]))
  end
  if longest > (redis.call('PTTL', keys[1])) then
    redis.call('PEXPIRE', keys[1], longest + 60000)
  end
  return 1
end)

-- KEYS models. ARGV replica. It is dead.
register('usage_drop', function(keys, args)
  for _, member in ipairs(redis.call('ZRANGE', keys[1], 0, -1)) do
    if string.sub(member, 1, #args[1] + 1) == args[1] .. '|' then
      redis.call('ZREM', keys[1], member)
    end
  end
  return 1
end)

-- KEYS models. "replica|model" of all uses.
register('usage_models', function(keys, args)
  return redis.call('ZRANGE', keys[1], '(' .. now_ms(), '+inf', 'BYSCORE')
end)
