"""The steps in which records change, each one script of Redis; `store` says what they are for.

Keys and invariants are told there. Arguments and answers stand at the head of each script; halves
of records and names of shapes cross as opaque bytes.
"""

from __future__ import annotations

from connector.flow import ADMIT, NOTE
from connector.records.layout import BUMP, HEARD, RECORD
from connector.records.shapes import KEEP_SHAPES
from connector.redisdb import NOW_MS, ROOM, SPARING, Script

_IS_GONE = """
local function is_gone(R)
  local resource, id = string.match(R, '^([^:]*:[^:]*):(.*)$')
  return redis.call('SISMEMBER', 'c:gone:' .. resource, id) == 1
end
"""

_TAKE = """
local function held_until(target, r)
  -- nil: nobody holds it; else the end of the lease, which may be over
  local held = redis.call('HGET', 'c:lease:' .. target, r)
  return held and tonumber(string.match(held, '|(%d+)$'))
end
local function take(target, r, token, lease_ms, held)
  -- whether it is in doubt: an earlier lease was not released (`held`), or was released too late
  local doubts = 'c:doubt:' .. target
  local doubt = is_there(doubts) and redis.call('SREM', doubts, r) == 1
  later('HSET', 'c:lease:' .. target, r, token .. '|' .. (now + lease_ms))
  later('ZADD', 'c:dirty:' .. target, now + lease_ms, r)
  if riders(target, r) == 1 then
    later('ZADD', 'c:leased:' .. target, now + lease_ms, r)
  end
  return (held or doubt) and 1 or 0
end
"""

COMMIT = Script(
    ROOM
    + NOW_MS
    + SPARING
    + ADMIT
    + RECORD
    + HEARD
    + KEEP_SHAPES
    + _IS_GONE
    + _TAKE
    + """
-- ARGV: token, lease ms ('' leases nothing), mapping set ('' notes nothing), how many records to
--       read if any is leased, their R, shapes, then per record, each at most once: target, r,
--       expected, what the sources say ('' unchanged), number of refs, of serials, refs, serials.
-- Answer: per record {1} if it has moved on, else {0, generation}, and of a leased one doubt,
--       generation told, what the CRM was told; and the records read
local token, lease_ms, set, answer = ARGV[1], tonumber(ARGV[2]), ARGV[3], {}
local wanted, leased, texts = tonumber(ARGV[4]), false, {}
local at = keep_shapes(5 + wanted)
while ARGV[at] do
  local target, r, expected, blob, refs, serials = ARGV[at], ARGV[at + 1], ARGV[at + 2],
    ARGV[at + 3], tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
  local R = target .. ':' .. r
  local record = record_of(R)
  if record.generation ~= expected then
    answer[#answer + 1] = {1}
  elseif record.generation == '00000000' and is_gone(R) then
    answer[#answer + 1] = {0, record.generation}
  else
    for i = 1, refs do redis.call('SADD', 'c:refs:' .. ARGV[at + 5 + i], r) end
    local changed = blob ~= ''
    for i = 1, serials do
      changed = hear(R, record, ARGV[at + 5 + refs + i]) or changed
      if set ~= '' then redis.call('HSETNX', 'c:begun', ARGV[at + 5 + refs + i], set) end
    end
    if blob ~= '' then
      record.generation = string.format('%08x', tonumber(record.generation, 16) + 1)
      record.merged = blob
    end
    if changed then keep(R, record) end
    local doubt
    if blob ~= '' then
      local until_ = held_until(target, r)
      if until_ and until_ > now then
        later('ZADD', 'c:dirty:' .. target, until_, r)
      elseif lease_ms and not admit(target, r) then
        doubt = take(target, r, token, lease_ms, until_)
      else
        later('ZADD', 'c:dirty:' .. target, now, r)
      end
    end
    leased = leased or doubt
    answer[#answer + 1] = doubt
      and {0, record.generation, doubt, record.told, record.delivered}
      or {0, record.generation}
  end
  at = at + 6 + refs + serials
end
flush()
for i = 1, leased and wanted or 0 do
  texts[i] = redis.call('GET', 'c:r:' .. ARGV[4 + i]) or ''
end
return {answer, texts}
"""
)

_DUE = """
local function lease_due(target, most, token, lease_ms, probe)
  -- when to ask again (ms) or -1, then r, record, doubt … of at most so many
  local dirty, answer, again, taken = 'c:dirty:' .. target, {-1}, false, 0
  local due = probe and redis.call('ZRANGE', dirty, 0, 50)
    or redis.call('ZRANGEBYSCORE', dirty, '-inf', now, 'LIMIT', 0, most)
  for _, r in ipairs(due) do
    if taken >= most then break end
    local until_ = held_until(target, r)
    if until_ and until_ > now then
      redis.call('ZADD', dirty, until_, r)
    else
      again = not probe and admit(target, r)
      if again then break end
      local doubt = take(target, r, token, lease_ms, until_)
      local record = redis.call('GET', 'c:r:' .. target .. ':' .. r) or ''
      for _, part in ipairs({r, record, doubt}) do answer[#answer + 1] = part end
      taken = taken + 1
    end
  end
  flush()
  local first = redis.call('ZRANGE', dirty, 0, 0, 'WITHSCORES')
  if again then answer[1] = math.floor(again)
  elseif first[2] then answer[1] = math.floor(tonumber(first[2])) end
  return answer
end
"""

DUE = Script(
    ROOM
    + NOW_MS
    + SPARING
    + ADMIT
    + _TAKE
    + _DUE
    + """
-- ARGV: target, how many, token, lease ms, '1' for a probe: one record, whether due or not.
-- Answer: as `lease_due`
return lease_due(ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), ARGV[5] == '1')
"""
)

_TOUCHED = (
    BUMP
    + """
local function touch(target, r)
  -- a record whose reference has moved on: a new generation, so that a delivery now under way
  -- does not count as up to date
  if bump(target .. ':' .. r) and not redis.call('HGET', 'c:lease:' .. target, r) then
    redis.call('ZADD', 'c:dirty:' .. target, now, r)
  end
end
"""
)

RELEASE = Script(
    ROOM
    + NOW_MS
    + SPARING
    + NOTE
    + ADMIT
    + RECORD
    + KEEP_SHAPES
    + _TOUCHED
    + _TAKE
    + _DUE
    + """
-- ARGV: calls kept, referrers at once, target to lease from ('' leases nothing), how many, token,
--       lease ms, shapes, then per record:
--       target, r, token, generation, generation told, what the CRM was told, due ms ('' up to
--       date), hold ms, relink, dead, verdict, signature, why, unpaid calls, number of calls, of
--       edits, calls, edits
-- Answer: per record whether it was ours to release, and what `lease_due` answers
local answer, at = {}, keep_shapes(7)
while ARGV[at] do
  local target, r, token, generation, told, blob, due, hold, relink, dead, verdict, sign, why,
    unpaid = unpack(ARGV, at, at + 13)
  local calls, edits = tonumber(ARGV[at + 14]), tonumber(ARGV[at + 15])
  hold = tonumber(hold)
  local R = target .. ':' .. r
  local dirty, lease, doubts = 'c:dirty:' .. target, 'c:lease:' .. target, 'c:doubt:' .. target
  for i = 1, calls do later('LPUSH', 'c:calls', ARGV[at + 15 + i]) end
  for i = 1, edits do later('LPUSH', 'c:edits', ARGV[at + 15 + calls + i]) end
  spend(target, tonumber(unpaid))
  if hold > 0 then
    local until_ = math.max(now + hold, tonumber(redis.call('GET', 'c:hold:' .. target) or '0'))
    redis.call('SET', 'c:hold:' .. target, string.format('%.0f', until_), 'PX', until_ - now)
  end
  local held = redis.call('HGET', lease, r)
  if not held or string.match(held, '^(.*)|%d+$') ~= token then
    redis.call('SADD', doubts, r)
    known[doubts] = true
    if not held then redis.call('ZADD', dirty, now, r) end
    answer[#answer + 1] = 0
  else
    redis.call('HDEL', lease, r)
    later('ZREM', 'c:leased:' .. target, r)
    local record = record_of(R)
    record.told, record.delivered = told, blob
    keep(R, record)
    local moved = record.generation ~= generation
    local doubtful = is_there(doubts) and redis.call('SISMEMBER', doubts, r) == 1
    if dead ~= '' and due == '' then
      redis.call('ZADD', 'c:dead', now, 'r' .. R)
      known['c:dead'] = true
    elseif is_there('c:dead') then
      redis.call('ZREM', 'c:dead', 'r' .. R)
    end
    if due ~= '' then
      redis.call('ZADD', dirty, now + tonumber(due), r)
    elseif moved or doubtful then
      redis.call('ZADD', dirty, now, r)
    else
      redis.call('ZREM', dirty, r)
    end
    if relink == '1' then
      local refs = 'c:refs:' .. R
      if redis.call('SCARD', refs) > tonumber(ARGV[2]) then
        redis.call('SADD', 'c:relink', R)
      else
        for _, other in ipairs(redis.call('SMEMBERS', refs)) do
          touch(target, other)
        end
      end
    end
    note(target, r, verdict, sign, why)
    answer[#answer + 1] = 1
  end
  at = at + 16 + calls + edits
end
flush()
for _, list in ipairs({'c:calls', 'c:edits'}) do redis.call('LTRIM', list, 0, ARGV[1] - 1) end
if ARGV[3] == '' then return {answer, {}} end
return {answer, lease_due(ARGV[3], tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6]), false)}
"""
)

RENEW = Script(
    ROOM
    + NOW_MS
    + """
-- ARGV: target, r, token, lease ms
local held = redis.call('HGET', 'c:lease:' .. ARGV[1], ARGV[2])
if not held or string.match(held, '^(.*)|%d+$') ~= ARGV[3] then return 0 end
local expiry = now + tonumber(ARGV[4])
redis.call('HSET', 'c:lease:' .. ARGV[1], ARGV[2], ARGV[3] .. '|' .. expiry)
redis.call('ZADD', 'c:dirty:' .. ARGV[1], expiry, ARGV[2])
redis.call('ZADD', 'c:leased:' .. ARGV[1], 'XX', expiry, ARGV[2])
return 1
"""
)

INTEND = Script(
    ROOM
    + NOW_MS
    + RECORD
    + KEEP_SHAPES
    + """
-- ARGV: target, r, token, generation told, what the CRM was told, shapes: while the lease is ours
local held = redis.call('HGET', 'c:lease:' .. ARGV[1], ARGV[2])
if not held or string.match(held, '^(.*)|%d+$') ~= ARGV[3] then return 0 end
keep_shapes(6)
local R = ARGV[1] .. ':' .. ARGV[2]
local record = record_of(R)
record.told, record.delivered = ARGV[4], ARGV[5]
keep(R, record)
return 1
"""
)

TOUCH = Script(
    ROOM
    + NOW_MS
    + _TOUCHED
    + """
-- ARGV: target, r …: as a changed reference does
for i = 2, #ARGV do touch(ARGV[1], ARGV[i]) end
return #ARGV - 1
"""
)

SETTLE = Script(
    RECORD
    + KEEP_SHAPES
    + """
-- ARGV: target, r, generation, what the CRM was told, shapes: of a record that is dead and not
-- under way
local R = ARGV[1] .. ':' .. ARGV[2]
local record = record_of(R)
if record.generation ~= ARGV[3]
  or redis.call('ZSCORE', 'c:dirty:' .. ARGV[1], ARGV[2])
  or redis.call('ZREM', 'c:dead', 'r' .. R) == 0 then return 0 end
keep_shapes(5)
record.told, record.delivered = ARGV[3], ARGV[4]
keep(R, record)
return 1
"""
)

ENSURE = Script(
    ROOM
    + NOW_MS
    + RECORD
    + _IS_GONE
    + """
-- ARGV: target, r, what the sources say: an empty record where there is none
local R = ARGV[1] .. ':' .. ARGV[2]
if is_gone(R) then return 0 end
local record = record_of(R)
if record.generation ~= '00000000' then return 0 end
record.generation, record.merged = '00000001', ARGV[3]
keep(R, record)
redis.call('ZADD', 'c:dirty:' .. ARGV[1], now, ARGV[2])
return 1
"""
)


AGE = Script(
    ROOM
    + RECORD
    + """
-- ARGV: target, resource, id, generation, what the sources say ('' of a deleted record), generation
--       told, what the CRM was told.
-- Forgets what a record holds, if nothing was said or is to be done about it since it was read
local r = ARGV[2] .. ':' .. ARGV[3]
local R = ARGV[1] .. ':' .. r
local record = record_of(R)
if record.generation ~= ARGV[4]
  or record.serials ~= ''
  or redis.call('ZSCORE', 'c:dirty:' .. ARGV[1], r)
  or redis.call('HEXISTS', 'c:lease:' .. ARGV[1], r) == 1
  or redis.call('SISMEMBER', 'c:doubt:' .. ARGV[1], r) == 1
  or redis.call('ZSCORE', 'c:dead', 'r' .. R)
  or redis.call('EXISTS', 'c:from:' .. R) == 1 then return 0 end
if ARGV[5] == '' then
  redis.call('SADD', 'c:gone:' .. ARGV[1] .. ':' .. ARGV[2], ARGV[3])
  redis.call('DEL', 'c:r:' .. R, 'c:refs:' .. R)
else
  record.merged, record.told, record.delivered = ARGV[5], ARGV[6], ARGV[7]
  keep(R, record)
end
return 1
"""
)

FORGET = Script(
    ROOM
    + RECORD
    + HEARD
    + """
-- ARGV: serial, R …
for i = 2, #ARGV do
  local R = ARGV[i]
  local record = record_of(R)
  if unhear(R, record, ARGV[1]) then
    if record.generation == '00000000' and record.delivered == '' and record.serials == '' then
      redis.call('DEL', 'c:r:' .. R)
    else
      keep(R, record)
    end
  end
end
return 1
"""
)
