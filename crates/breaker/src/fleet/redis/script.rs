//! What the server does, in Lua.

/// One exchange.
pub(super) const EXCHANGE: &str = r"
-- One exchange, as `View::exchange` has it; a test compares them. Times are microseconds until 2112, and all
-- numbers are below 2^52, where doubles, the only numbers that Lua has, are exact. Needs Redis 5 or later,
-- or Valkey.
--
-- KEYS[1]  a hash: `record` is run:epoch:kind:until:span:holder, and each instance has what it has told under
--          its number, as seq:keep:hold:digest:parts with parts of until,calls,failures,slow;
-- ARGV     instance, seq, fresh, run and epoch of the basis (or empty), kind of the asker, its time, whether it
--          asks, hold, steps, most instances, digest, parts (left,calls,failures,slow;), now (in tests alone)
-- returns  kind, run, epoch, left, whether it is the asker's, others (left, calls, failures, slow), whether there is
--          room for what the asker tells (-1, if it tells nothing), how many others have another digest
local key, me, seq, fresh = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3]
local basis_run, basis_epoch = ARGV[4], tonumber(ARGV[5])
local mine, span, asks = ARGV[6], tonumber(ARGV[7]), ARGV[8] == '1'
local hold, steps, most = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local digest = ARGV[12]

local now = tonumber(ARGV[14])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end

-- Not by `tostring`, which has 14 digits.
local function whole(n)
  return string.format('%.0f', n)
end

local record, told, count = nil, {}, 0
local fields = redis.call('HGETALL', key)
for at = 1, #fields, 2 do
  local name, value = fields[at], fields[at + 1]
  if name == 'record' then
    local run, epoch, kind, til, long, holder =
      string.match(value, '^(%x+):(%d+):(%a):(%d+):(%d+):(%x+)$')
    if run then
      record = { run = run, epoch = tonumber(epoch), kind = kind, til = tonumber(til),
        span = tonumber(long), holder = holder }
    end
  else
    local last, keep, long, of, parts = string.match(value, '^(%d+):(%d+):(%d+):(%x+):(.*)$')
    told[name] = { seq = tonumber(last), keep = tonumber(keep), hold = tonumber(long), digest = of,
      parts = parts }
    count = count + 1
  end
end

local is_changed = false
if record and record.til > now + record.span then
  -- By another clock, such as that of the server before a failover.
  record.til, is_changed = now + record.span, true
end

local function accepts()
  local is_mine, is_over = record.holder == me, record.til <= now
  if basis_run ~= record.run or basis_epoch ~= record.epoch then
    return basis_run ~= record.run and mine == 'O' and span > 0 and record.kind == 'C'
  end
  if mine == 'R' then
    return record.kind ~= 'C'
  elseif record.kind == 'C' then
    return mine == 'O'
  elseif record.kind == 'O' then
    return is_over and (mine ~= 'O' or span > 0)
  elseif mine == 'P' then
    return is_over and (asks or not is_mine)
  end
  return is_mine and (mine == 'C' or span > 0)
end

if mine ~= 'W' and (not record or accepts()) then
  local run, epoch = fresh, 1
  if record then
    run, epoch = record.run, record.epoch + 1
  end
  local kind = mine == 'R' and 'C' or mine
  record = { run = run, epoch = epoch, kind = kind, til = now + span, span = span, holder = me }
  -- Numbers belong to an epoch.
  redis.call('DEL', key)
  told, count, is_changed = {}, 0, true
end

for name, one in pairs(told) do
  if not one.keep or one.keep <= now or one.keep > now + one.hold then
    redis.call('HDEL', key, name)
    told[name] = nil
    count = count - 1
  end
end

if not record then
  return { 'N', '0', 0, 0, 0, {}, -1, 0 }
end

local heard = -1
local is_current = basis_run == record.run and basis_epoch == record.epoch and record.kind == 'C'
if is_current and (mine == 'C' or mine == 'W') then
  local mine_before = told[me]
  if mine_before and mine_before.seq < seq or not mine_before and count < most then
    local parts = string.gsub(ARGV[13], '(%d+),(%d+,%d+,%d+;)', function(left, rest)
      return whole(now + math.min(tonumber(left), hold)) .. ',' .. rest
    end)
    redis.call('HSET', key, me,
      table.concat({ whole(seq), whole(now + hold), whole(hold), digest, parts }, ':'))
  end
  heard = (mine_before or count < most) and 1 or 0
end

local step = math.max(math.ceil(hold / steps), 1)
local sums, others, strangers = {}, {}, 0
for name, one in pairs(told) do
  if name ~= me and one.digest ~= digest then
    strangers = strangers + 1
  end
end
if record.kind == 'C' then
  for name, one in pairs(told) do
    if name ~= me then
      for til, calls, failures, slow in string.gmatch(one.parts, '(%d+),(%d+),(%d+),(%d+);') do
        local left = math.min(tonumber(til) - now, hold)
        if left > 0 then
          local at = math.ceil(left / step)
          local sum = sums[at] or { 0, 0, 0 }
          sums[at] = { sum[1] + tonumber(calls), sum[2] + tonumber(failures), sum[3] + tonumber(slow) }
        end
      end
    end
  end
  for at, sum in pairs(sums) do
    for _, number in ipairs({ at * step, sum[1], sum[2], sum[3] }) do
      others[#others + 1] = number
    end
  end
end

if is_changed then
  redis.call('HSET', key, 'record', table.concat({ record.run, whole(record.epoch), record.kind,
    whole(record.til), whole(record.span), record.holder }, ':'))
end
-- Forgotten when nobody has been there for long: a record is made again by whoever comes.
local left = math.max(record.til - now, 0)
redis.call('PEXPIRE', key, whole(math.floor(math.max(left, hold) / 500) + 60000))
return { record.kind, record.run, record.epoch, left, record.holder == me and 1 or 0, others, heard,
  strangers }
";
