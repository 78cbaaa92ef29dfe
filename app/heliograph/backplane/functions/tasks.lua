-- Tasks of all replicas. The keys of one function share the hash tag of tasks.
--
-- records: hash, task -> JSON, for as long as the task runs
-- stops:   hash, task -> ms at which somebody asked for its end
-- item:    set, the tasks of an item; owned: set, the tasks of a replica
-- ended:   JSON of how a task ended, for a while; buried: there while a dead replica may return

-- KEYS records item owned buried ended. ARGV task json
-- 1: it is registered; 0: it has ended already; -1: its replica has been declared dead.
register('task_put', function(keys, args)
  if redis.call('EXISTS', keys[4]) == 1 then
    return -1
  elseif redis.call('EXISTS', keys[5]) == 1 then
    return 0
  end
  redis.call('HSET', keys[1], args[1], args[2])
  redis.call('SADD', keys[2], args[1])
  redis.call('SADD', keys[3], args[1])
  return 1
end)

-- KEYS records stops. ARGV task channel command. Ask for its end, whoever runs it; with an
-- empty channel only the flag is set. 0: it is not running.
register('task_stop', function(keys, args)
  if redis.call('HEXISTS', keys[1], args[1]) == 0 then
    return 0
  end
  redis.call('HSETNX', keys[2], args[1], now_ms())
  if args[2] ~= '' then
    redis.call('PUBLISH', args[2], args[3])
  end
  return 1
end)

-- KEYS records stops item owned ended. ARGV task json expiry_s channel message tell
-- It has ended; who asked for that, by the flag or otherwise (tell), is told. 0: it was known.
register('task_drop', function(keys, args)
  if redis.call('HDEL', keys[1], args[1]) == 0 then
    -- A registration that is still on its way comes too late.
    redis.call('SET', keys[5], args[2], 'EX', args[3], 'NX')
    return 0
  end
  redis.call('SREM', keys[3], args[1])
  redis.call('SREM', keys[4], args[1])
  redis.call('SET', keys[5], args[2], 'EX', args[3])
  if redis.call('HDEL', keys[2], args[1]) == 1 or args[6] == '1' then
    redis.call('PUBLISH', args[4], args[5])
  end
  return 1
end)

local function with_stop(stops, task, json)
  return {json, redis.call('HEXISTS', stops, task)}
end

-- KEYS records stops ended. ARGV task. {json, asked to stop}, or nothing.
register('task_get', function(keys, args)
  local json = redis.call('HGET', keys[1], args[1])
  if json then
    return with_stop(keys[2], args[1], json)
  end
  json = redis.call('GET', keys[3])
  return json and {json, 0} or {}
end, {'no-writes'})

-- KEYS records stops. The running tasks: {{json, asked to stop}, ...}.
register('task_all', function(keys, args)
  local found = {}
  local records = redis.call('HGETALL', keys[1])
  for index = 1, #records, 2 do
    found[#found + 1] = with_stop(keys[2], records[index], records[index + 1])
  end
  return found
end, {'no-writes'})

-- KEYS records stops set. The same of the tasks in a set.
register('task_some', function(keys, args)
  local found = {}
  for _, task in ipairs(redis.call('SMEMBERS', keys[3])) do
    local json = redis.call('HGET', keys[1], task)
    if json then
      found[#found + 1] = with_stop(keys[2], task, json)
    end
  end
  return found
end, {'no-writes'})

-- KEYS records stops owned buried. ARGV expiry_s. From now on its replica registers no task;
-- those it has, as in task_some.
register('task_bury', function(keys, args)
  redis.call('SET', keys[4], now_ms(), 'EX', args[1])
  local found = {}
  for _, task in ipairs(redis.call('SMEMBERS', keys[3])) do
    local json = redis.call('HGET', keys[1], task)
    if json then
      found[#found + 1] = with_stop(keys[2], task, json)
    else
      redis.call('SREM', keys[3], task)
    end
  end
  return found
end)
