-- Compare-and-append (P1): the only way anything enters a stamp stream.
--
-- KEYS[1]  stream
-- KEYS[2]  state, a hash: last (ID), nonce (of the last entry), since (ID), gap ('-' and the GTID of a pending one),
--          history, deleted (entries gone from the stream), torn (ID of the first one after others than this script
--          had deleted or written any), bare ('1' where since is no gap's), digest, cp:<writer> (checkpoint)
-- KEYS[3]  prefix of the version keys: <prefix>v:<key>, <prefix>g:<namespace>, <prefix>since, <prefix>beat,
--          <prefix>last (the same hash tag as the rest, so that all of it is one slot)
-- ARGV[1]  writer, '' for a bump          ARGV[2]  expected checkpoint, '' for none
-- ARGV[3]  new checkpoint                 ARGV[4]  writer's clock, ms
-- ARGV[5]  highest ID the writer has seen ARGV[6]  template digest, '' for none
-- ARGV[7]  '1' to adopt the digest        ARGV[8]  retention, ms
-- ARGV[9]  window that version keys vouch for, ms; '0' to keep none
-- ARGV[10] channel on which entries are pushed
-- ARGV[11] replay slack, ms
-- ARGV[12] lead after a loss, ms
-- ARGV[13..] triples: nonce, kind, body; none: change nothing, and write something that can be waited for
--
-- Returns {'ok', id, ...}, {'checkpoint', stored} or {'digest', stored}; nothing is written in the last two cases (but
-- the state of a stream that is gone forgets it), nor where the caller lacks a right (NOPERM), or a Redis that is full
-- answers OOM.

local SEQUENCE_MAX = 1048575
local CLOCK_LEAD_MAX_MS = 60000 -- a writer's clock further ahead than this is wrong, and must not drag the stamps along
local MS_MAX = 8796093022207
local KEPT_MAX = 32 -- generations of one namespace; more are merged

local function split(id)
  local ms, sequence = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(sequence)
end

local function readable(id)
  -- What somebody has written over it by hand is as good as lost.
  local ms = string.match(id or '', '^(%d+)%-%d+$')
  return ms and tonumber(ms) < MS_MAX and id
end

local function join(ms, sequence)
  return string.format('%.0f-%.0f', ms, sequence)
end

local function after(ms, sequence)
  if sequence >= SEQUENCE_MAX then
    return ms + 1, 0
  end
  return ms, sequence + 1
end

local function later(ms, sequence, other_ms, other_sequence)
  if other_ms > ms or (other_ms == ms and other_sequence > sequence) then
    return other_ms, other_sequence
  end
  return ms, sequence
end

local state = redis.call('HMGET', KEYS[2], 'last', 'nonce', 'since', 'digest', 'cp:' .. ARGV[1], 'history', 'gap',
  'deleted', 'torn', 'bare')
local last, since = readable(state[1]), readable(state[3])
local nonce, digest, stored = state[2] or '', state[4], state[5] or ''
local gap, torn, bare = state[7] or '', state[9] or '0-0', state[10] or ''

local version_ms = tonumber(ARGV[9])

-- A call that is refused half-way undoes none before it, and an entry without its state would break continuity. So the
-- rights are asked for before the first write.
local may = redis.acl_check_cmd
local lacking = not may('DEL', KEYS[2]) and 'DEL'
  or not may('HSET', KEYS[2], 'f', 'v') and 'HSET'
  or not may('XADD', KEYS[1], '*', 'f', 'v') and 'XADD'
  or not may('XTRIM', KEYS[1], 'MINID', '0') and 'XTRIM'
  or not may('PUBLISH', ARGV[10], '') and 'PUBLISH'
  or version_ms > 0 and (not may('SET', KEYS[3] .. 'v:', '') and 'SET' or not may('GET', KEYS[3] .. 'v:') and 'GET')
if lacking then
  return redis.error_reply('NOPERM appending needs ' .. lacking .. '; nothing was written')
end

local function look_at_stream()
  -- The last ID, nil where there is no stream, and how many entries are gone from it.
  if redis.call('EXISTS', KEYS[1]) == 0 then
    return nil, 0
  end
  local info, fields = redis.call('XINFO', 'STREAM', KEYS[1]), {}
  for i = 1, #info, 2 do
    fields[info[i]] = info[i + 1]
  end
  return fields['last-generated-id'], fields['entries-added'] - fields['length']
end

local function is_below(id, other)
  local ms, sequence = split(id)
  local other_ms, other_sequence = split(other)
  return ms < other_ms or (ms == other_ms and sequence < other_sequence)
end

local found, deleted = look_at_stream()
local is_foreign = false
if found and not readable(found) then
  return redis.error_reply('ERR the last ID of the stream, ' .. found .. ', is beyond every stamp (somebody added it): DEL it')
end
if state[1] and not found or last and is_below(found, last) then
  -- The stream is gone (evicted, deleted), its state is not: what it says of the entries is no longer true. A new
  -- history begins, and every writer must say so with a gap; only the IDs handed out still bind us. This holds for a
  -- writer that is refused, too: it reads the state again. What was noticed of this Redis by then is still true.
  redis.call('DEL', KEYS[2])
  redis.call('HSET', KEYS[2], 'last', last or '0-0', 'digest', digest or '', 'history', state[6] or '',
    'deleted', state[8] or deleted, 'torn', torn)
  nonce, since, stored, gap = '', false, '', ''
elseif found and found ~= last then
  -- The state is gone, or someone else has written: the IDs bind us, and nothing is linked to what is not ours.
  last, nonce, since, is_foreign = found, '', false, true
end

if ARGV[6] ~= '' and (digest or '') ~= '' and digest ~= ARGV[6] and ARGV[7] ~= '1' then
  return {'digest', digest}
end
if ARGV[1] ~= '' and stored ~= ARGV[2] then
  return {'checkpoint', stored}
end

-- The replication ID is another one after whatever may have cost this data its end: a failover, a restart. After a
-- flush the state is gone. Only then IDs are lost that somebody has seen, and the next ones must be beyond them.
local history = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
if not history then
  return redis.error_reply('ERR INFO replication names no master_replid, so that lost entries would not be noticed')
end
local lead_ms = state[6] == history and 0 or tonumber(ARGV[12])

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local ms, sequence = now_ms + lead_ms, 0
ms, sequence = later(ms, sequence, math.min(tonumber(ARGV[4]) + lead_ms, now_ms + CLOCK_LEAD_MAX_MS), 0)
ms, sequence = later(ms, sequence, after(split(last or '0-0')))
ms, sequence = later(ms, sequence, after(split(ARGV[5])))
if is_foreign or state[8] and tonumber(state[8]) ~= deleted or not readable(torn) then
  torn = join(ms, sequence)
end

local cutoff_ms = now_ms - tonumber(ARGV[8])

local deleted_before = deleted

local function trim()
  local count = redis.call('XTRIM', KEYS[1], 'MINID', '~', join(cutoff_ms, 0))
  deleted = deleted + count
  return count
end

local is_empty = #ARGV < 13
if is_empty and not state[1] then
  return {'ok'}
end

-- A Redis that is full refuses a script's first write, and no later one. Trimming is no such write: so what is past the
-- retention makes room for what comes, else it would stay full for ever. Where nothing is, its limit holds.
local begun = redis.pcall('HSET', KEYS[2], 'history', is_empty and state[6] or not is_empty and history or '')
if type(begun) == 'table' and (not string.find(begun.err, 'OOM', 1, true) or trim() == 0) then
  return begun
end

if is_empty then
  -- WAIT speaks of what its own connection wrote: replicas that have this have all that was written before.
  local known = tonumber(state[8])
  if known then
    -- What is gone by other hands is for the next append to notice.
    redis.call('HSET', KEYS[2], 'deleted', string.format('%.0f', known + deleted - deleted_before))
  end
  return {'ok'}
end

local function word_of(body)
  -- What an entry says of the replicas; a bump says nothing.
  if body.pending then
    return 'pending'
  end
  return (body.settled or (body.gtid or '') ~= '') and 'applied' or ''
end

local function life_ms()
  -- A version key outlives what is vouched for by it, as the stream's entry does, and by its stamp, which may be ahead of
  -- the clock: else "no key" would be taken for "no change".
  return tonumber(ARGV[8]) + math.max(ms - now_ms, 0)
end

local function kept_text(name)
  -- Something of another type, put there by hand, would end the script between an entry and its state. It is replaced.
  local text = redis.pcall('GET', name)
  return type(text) == 'string' and text or ''
end

local function keep_key(key, id, word)
  local name = KEYS[3] .. 'v:' .. key
  if word == '' then
    word = string.match(kept_text(name), ' (%a+)$')
  end
  redis.call('SET', name, word == 'pending' and id .. ' pending' or id, 'PX', life_ms())
end

local function merge_oldest(kept)
  -- Towards "sooner": extra misses, never a stale value. So from the earlier start to the earlier end, since spreads may
  -- differ. What the older said of the replicas holds on; where that is "pending", what was loaded between the two is
  -- doubtful, and nothing would tell: at once.
  local older, newer = table.remove(kept, 1), kept[1]
  local start_ms = math.min(tonumber(older.start_ms), tonumber(newer.start_ms))
  local end_ms = math.min(older.start_ms + older.spread_ms, newer.start_ms + newer.spread_ms)
  if older.word == 'pending' then
    end_ms = start_ms
  end
  newer.start_ms, newer.spread_ms = string.format('%.0f', start_ms), string.format('%.0f', end_ms - start_ms)
  newer.word = newer.word == '' and older.word or newer.word
end

local function keep_generation(namespace, id, body)
  -- Those still spreading stay beside the new one: replacing them would hide what they have aged out already.
  local name = KEYS[3] .. 'g:' .. namespace
  local kept, texts = {}, {}
  for stamp, start_ms, spread_ms, word in string.gmatch(kept_text(name), '([%d-]+) (%d+) (%d+) ?(%a*)') do
    kept[#kept + 1] = {stamp = stamp, start_ms = start_ms, spread_ms = spread_ms, word = word}
  end
  local start_ms, spread_ms = string.format('%.0f', body.start_ms), string.format('%.0f', body.spread_ms)
  kept[#kept + 1] = {stamp = id, start_ms = start_ms, spread_ms = spread_ms, word = word_of(body)}
  if #kept > KEPT_MAX then
    merge_oldest(kept)
  end
  for i, one in ipairs(kept) do
    local word = one.word == '' and '' or ' ' .. one.word
    texts[i] = one.stamp .. ' ' .. one.start_ms .. ' ' .. one.spread_ms .. word
  end
  redis.call('SET', name, table.concat(texts, ';'), 'PX', life_ms())
end

local function keep_versions(id, kind, text)
  if kind == 'change' then
    local body = cjson.decode(text)
    local word = word_of(body)
    for _, key in ipairs(body.keys) do
      keep_key(key, id, word)
    end
  elseif kind == 'generation' then
    local body = cjson.decode(text)
    for _, namespace in ipairs(body.namespaces) do
      keep_generation(namespace, id, body)
    end
  elseif kind == 'heartbeat' then
    redis.call('SET', KEYS[3] .. 'beat', string.format('%.0f', cjson.decode(text).read_ms))
  end
end

local function note_gap(text)
  -- One without position says nothing of one that has.
  local body = cjson.decode(text)
  if body.pending then
    local gtid = body.gtid or ''
    if gtid ~= '' or gap == '' then -- without, it waits for the position of the one whose place it takes
      gap = '-' .. gtid
    end
  elseif gap == '-' or (body.gtid or '') ~= '' then
    gap = ''
  end
end

local ids = {'ok'}
local call, stream, channel = redis.call, KEYS[1], ARGV[10] -- this loop runs for every entry
for i = 13, #ARGV, 3 do
  local entry_nonce, kind, body = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local id = join(ms, sequence)
  call('XADD', stream, id, 't', kind, 'n', entry_nonce, 'p', nonce, 'b', body)
  local previous = nonce == '' and '-' or nonce
  call('PUBLISH', channel, id .. ' ' .. entry_nonce .. ' ' .. previous .. ' ' .. kind .. ' ' .. body)
  if kind == 'gap' then
    note_gap(body)
  end
  local replayed = kind == 'replayed' and cjson.decode(body)
  if replayed and replayed.settled then
    gap = ''
  end
  if kind == 'gap' or not since then
    since, bare = id, kind == 'gap' and '' or '1'
  elseif replayed and bare == '' then
    local since_ms = split(since)
    local replayed_ms = replayed.since_ms + tonumber(ARGV[11])
    if replayed_ms < since_ms then
      since = join(replayed_ms, 0)
    end
  end
  if version_ms > 0 then
    keep_versions(id, kind, body)
  end
  ids[#ids + 1] = id
  last, nonce = id, entry_nonce
  ms, sequence = after(ms, sequence)
end

trim()
if since and split(since) < cutoff_ms then
  since = join(cutoff_ms, 0)
end
redis.call('HSET', KEYS[2], 'last', last or '0-0', 'nonce', nonce, 'since', since or '0-0', 'gap', gap,
  'deleted', deleted, 'torn', torn, 'bare', bare)
if ARGV[6] ~= '' then
  redis.call('HSET', KEYS[2], 'digest', ARGV[6])
end
if ARGV[1] ~= '' then
  redis.call('HSET', KEYS[2], 'cp:' .. ARGV[1], ARGV[3])
end
if version_ms > 0 then
  redis.call('SET', KEYS[3] .. 'last', last or '0-0')
end
if version_ms > 0 and gap ~= '' then
  redis.call('DEL', KEYS[3] .. 'since') -- as long as a gap is pending, nobody vouches for anything
elseif version_ms > 0 and since then
  local oldest_ms = now_ms - version_ms
  redis.call('SET', KEYS[3] .. 'since', split(since) < oldest_ms and join(oldest_ms, 0) or since)
end
return ids
