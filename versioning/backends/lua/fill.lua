-- Store a cached value and give its lease back, in one round trip.
--
-- KEYS[1]  value           KEYS[2]  lease
-- ARGV[1]  header+payload  ARGV[2]  life, ms  ARGV[3]  lease token, '' for none
--
-- Returns 1, or 0 where a value with a newer fill stamp stays, or with the same and a later fill time (a refresh came between
-- the two): the work of a loader that was overtaken. Only by a minute at the most: a stamp from a lost or foreign history,
-- or a time from a wrong clock, far ahead of ours, must not keep every refill out until its TTL ends.

local HEADER_BYTES = 20
local OVERTAKEN_MAX_MS = 60000

local function fill_of(value)
  -- The halves of its stamp, and its time.
  if #value < HEADER_BYTES or string.sub(value, 1, 3) ~= '\158S\1' then
    return 0, 0, 0
  end
  local high, low, ms_high, ms_low = struct.unpack('>I4I4I4I4', string.sub(value, 5, HEADER_BYTES))
  return high, low, ms_high * 4294967296 + ms_low
end

local function ms_of(high, low)
  return high * 4096 + math.floor(low / 1048576)
end

local held = redis.pcall('GETRANGE', KEYS[1], 0, HEADER_BYTES - 1)
if type(held) == 'table' then
  if not string.find(held.err, 'WRONGTYPE', 1, true) then
    return held
  end
  held = '' -- another application's hash or list: replaced like any foreign value
end
local held_high, held_low, held_ms = fill_of(held)
local high, low, ms = fill_of(ARGV[1])
local is_newer, ahead_ms
if held_high == high and held_low == low then
  is_newer, ahead_ms = held_ms > ms, held_ms - ms
else
  is_newer = held_high > high or (held_high == high and held_low > low)
  ahead_ms = ms_of(held_high, held_low) - ms_of(high, low)
end
local is_overtaken = is_newer and ahead_ms <= OVERTAKEN_MAX_MS

if not is_overtaken then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
if ARGV[3] ~= '' and redis.call('GET', KEYS[2]) == ARGV[3] then
  redis.call('DEL', KEYS[2])
end
return is_overtaken and 0 or 1
