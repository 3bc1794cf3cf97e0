//! What the server does, in Lua.

/// One exchange.
pub(super) const EXCHANGE: &str = r"
-- One exchange, as `StoreQuota::apply` has it. All numbers are whole and below 2^52: times in
-- microseconds until 2112, units since the quota was checked, products as noted. A sum of two of them is
-- below 2^53, where doubles, the only numbers that Lua has, are exact. Needs Redis 5 or later, or Valkey.
--
-- KEYS[1]  the arrival time, as microseconds:units; absent when full
-- ARGV     tick, token, burst, at_least, refund, min, max, now (in tests alone)
-- returns  granted, whole microseconds until full, units beyond
local tick, token, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local at_least, refund = tonumber(ARGV[4]), tonumber(ARGV[5])
local min, max = tonumber(ARGV[6]), tonumber(ARGV[7])

local now = tonumber(ARGV[8])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end

-- Microseconds of a burst, rounded up: no more than this is ever multiplied by `tick`, which is at most
-- `burst + tick`.
local most = math.ceil(burst / tick)

local ahead, is_cut = 0, false
local stored = redis.call('GET', KEYS[1])
if stored then
  local micros, units = string.match(stored, '^(%d+):(%d+)$')
  if micros then
    local left = tonumber(micros) - now
    if left > most then
      -- By another clock, such as that of the server before a failover.
      ahead, is_cut = burst, true
    elseif left >= 0 then
      ahead = math.min(left * tick + math.min(tonumber(units), tick - 1), burst)
    end
  end
end

-- What the asker knows, if this server may have forgotten it.
local known = burst
if at_least <= most then
  known = math.min(at_least * tick, burst)
end
ahead = math.max(ahead, known)

ahead = math.max(ahead - math.min(refund, math.floor(burst / token)) * token, 0)

local granted = math.min(math.floor((burst - ahead) / token), max)
if granted < min then
  granted = 0
end
ahead = ahead + granted * token

local micros = math.floor(ahead / tick)
local units = ahead - micros * tick
if ahead == 0 then
  if stored then
    redis.call('DEL', KEYS[1])
  end
elseif granted > 0 or refund > 0 or at_least > 0 or is_cut then
  -- Not by `tostring`, which has 14 digits. It is gone when it is full.
  local value = string.format('%.0f:%.0f', now + micros, units)
  redis.call('SET', KEYS[1], value, 'PX', string.format('%.0f', math.floor(micros / 1000) + 1))
end
return { granted, micros, units }
";
