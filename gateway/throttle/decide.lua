-- Counts a call against every limit by GCRA and takes a place among the calls under way, or does neither if one
-- refuses. Times are microseconds since 2026, so that a double holds them to a fraction.
-- KEYS: one per limit, then the set of calls under way if there is a limit of them.
-- ARGV: cost, calls under way at most (0 = any), only counted (1), id of the call, lease in ms,
--       then for each limit: time of one unit, time of the burst, shadow (1).
-- Answers: allowed, calls under way, no place; then for each limit: allowed, time taken.
local time = redis.call('TIME')
local now = (tonumber(time[1]) - 1767225600) * 1000000 + tonumber(time[2])
local cost, most, soft, call, lease = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1', ARGV[4], tonumber(ARGV[5])
local limits = (#ARGV - 5) / 3

local allowed, tats, ok = true, {}, {}
for i = 1, limits do
  local unit, window, shadow = tonumber(ARGV[3 + 3 * i]), tonumber(ARGV[4 + 3 * i]), ARGV[5 + 3 * i] == '1'
  tats[i] = math.max(tonumber(redis.call('GET', KEYS[i]) or now), now)
  ok[i] = tats[i] + unit * cost - now <= window + 0.5
  allowed = allowed and (ok[i] or shadow)
end

local active, full = 0, false
if most > 0 then
  local set = KEYS[limits + 1]
  redis.call('ZREMRANGEBYSCORE', set, '-inf', string.format('%.0f', now))
  active = redis.call('ZCARD', set)
  full = active >= most
  allowed = allowed and (soft or not full)
  if allowed then
    redis.call('ZADD', set, string.format('%.0f', now + lease * 1000), call)
    if redis.call('PTTL', set) < lease then redis.call('PEXPIRE', set, lease) end
    active = active + 1
  end
end

local out = { allowed and 1 or 0, active, full and 1 or 0 }
for i = 1, limits do
  if allowed and ok[i] then
    tats[i] = tats[i] + tonumber(ARGV[3 + 3 * i]) * cost
    redis.call('SET', KEYS[i], string.format('%.3f', tats[i]), 'PX', math.ceil((tats[i] - now) / 1000) + 1000)
  end
  out[#out + 1] = ok[i] and 1 or 0
  out[#out + 1] = math.floor(tats[i] - now)
end
return out
