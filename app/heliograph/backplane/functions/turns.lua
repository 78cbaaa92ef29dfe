-- Which change of a channel was announced last. KEYS turn (a number). ARGV number.

local LIFE_SECONDS = 30 * 86400

register('turn_passed', function(keys, args)
  if tonumber(args[1]) > tonumber(redis.call('GET', keys[1]) or 0) then
    redis.call('SET', keys[1], args[1], 'EX', LIFE_SECONDS)
  end
end)
