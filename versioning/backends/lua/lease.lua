-- Take the right to refill a key, unless somebody has stored another value meanwhile: looking again and taking the lease
-- are one step, so that one change means one load.
--
-- KEYS[1]  value   KEYS[2]  lease
-- ARGV[1]  token   ARGV[2]  life of the lease, ms   ARGV[3]  header of the value that was seen, '' for none
--
-- Returns 1 for the lease, also where the token has it already; 0 where somebody else has it; or that other value.

local HEADER_BYTES = 20

local head = redis.call('GETRANGE', KEYS[1], 0, HEADER_BYTES - 1)
if head ~= '' and head ~= ARGV[3] then
  return redis.call('GET', KEYS[1])
end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) or redis.call('GET', KEYS[2]) == ARGV[1] then
  return 1
end
return 0
