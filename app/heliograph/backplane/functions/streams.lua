-- Answers in flight. KEYS: log (list), index (hash), both under the tag of the room of the
-- chat's owner, in which the answer is published.
--
-- log:   "run replica origin", then the parts as they were published; origin is the sequence
--        before the first of them, so an answer's sequence follows from the length.
-- index: "chat/message" -> "run replica", of all that streams in the user's chats.
-- run:   names one writing of an answer; "-" when it was ended in the name of a dead replica,
--        so that the dead, should it live, is refused.

local LIFE_SECONDS = 86400
local GRAVE_SECONDS = 3600

local function header_of(log)
  local header = redis.call('LINDEX', log, 0)
  if header then
    local run, replica, origin = string.match(header, '^(%S+) (%S+) (%S+)$')
    return run, replica, tonumber(origin)
  end
end

local function begin_log(log, run, replica, origin, text)
  redis.call('DEL', log)
  redis.call('RPUSH', log, string.format('%s %s %d', run, replica, origin))
  if text then
    redis.call('RPUSH', log, text)
  end
  redis.call('EXPIRE', log, LIFE_SECONDS)
end

local function begin_indexed(keys, field, run, replica, origin, text)
  begin_log(keys[1], run, replica, origin, text)
  redis.call('HSET', keys[2], field, run .. ' ' .. replica)
  redis.call('EXPIRE', keys[2], LIFE_SECONDS)
end

-- Claim an answer. ARGV field, run, replica. Returns "", or "run replica" of whose it is.
register('stream_begin', function(keys, args)
  local run, replica = header_of(keys[1])
  -- A replica asks only for what it does not write: what it left there, it did not remove yet.
  if run and run ~= '-' and run ~= args[2] and replica ~= args[3] then
    return run .. ' ' .. replica
  end
  begin_indexed(keys, args[1], args[2], args[3], 0)
  return ''
end)

-- Append a delta and publish its event. KEYS room's meta, room's log, log. ARGV channel,
-- policy, id, retried, envelope, run, seq, kind ("+", or "=": the text is all there is), text.
-- Returns {"done", "lost" (the log is not as its writer left it) or "taken" (it is not the
-- writer's), {entries to be released}}; only "done" has done anything.
register('stream_append', function(keys, args)
  local run, replica, origin = header_of(keys[3])
  if not run then
    return {'lost', {}}
  end
  if run ~= args[6] then
    return {'taken', {}}
  end
  local seq = tonumber(args[7])
  local length = redis.call('LLEN', keys[3])
  local last = origin + length - 1
  if last == seq - 1 then
    if args[8] == '=' then
      begin_log(keys[3], run, replica, seq - 1, args[9])
    else
      redis.call('RPUSH', keys[3], args[9])
      if length % 256 == 0 then
        redis.call('EXPIRE', keys[3], LIFE_SECONDS)
      end
    end
  elseif last ~= seq then -- else it is there: this is a retry, or the log was restored
    return {'lost', {}}
  end
  local _, _, entry = room_append(
    keys[1], keys[2], args[1], args[2], args[3], args[4], args[5], nil)
  return {'done', read_policy(args[2]).held and {entry} or {}}
end)

-- Write a log anew. ARGV field, run, replica, seq, sure ("1": the answer is the writer's
-- whatever the log says), text (only when seq is not 0). Returns "done" or "taken".
register('stream_restore', function(keys, args)
  local run = header_of(keys[1])
  if run and run ~= args[2] and args[5] ~= '1' then
    return 'taken'
  end
  begin_indexed(keys, args[1], args[2], args[3], math.max(tonumber(args[4]) - 1, 0), args[6])
  return 'done'
end)

-- Remove a log. ARGV field, run, dead ("1": ended in the name of a dead replica).
register('stream_end', function(keys, args)
  local run = header_of(keys[1])
  if run == args[2] then
    redis.call('DEL', keys[1])
    if args[3] == '1' then
      redis.call('RPUSH', keys[1], '- - 0')
      redis.call('EXPIRE', keys[1], GRAVE_SECONDS)
    end
  end
  local by = redis.call('HGET', keys[2], args[1])
  if by and string.match(by, '^%S+') == args[2] then
    redis.call('HDEL', keys[2], args[1])
  end
end)
