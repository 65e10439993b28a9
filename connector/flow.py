"""What all workers share about a target: whether deliveries flow to it, and how fast.

Keys (`t` is the target's name, percent-encoded; `r` a record within it):

    c:target:<t>        hash     limits as configured; state and bookkeeping of breaker and bucket
    c:hold:<t>          string   time (ms) before which nothing is delivered (`Retry-After`)
    c:fails:<t>         set      deliveries that failed since the last success
    c:refused:<t>:<res> set      `r` that met the same refusal since one of that resource was taken
    c:sentback:<t>      set      `r` that a pause for refusals has sent back to waiting

The breaker: a target is `open` (deliveries flow), `paused`, or `probing` (one delivery or check
goes through). It pauses by itself for an outage, for credentials, for being misled by a redirect or
a wrong search, and for the same refusal of many different records; never for one record's own
fault. A probe that succeeds opens it, and the flow then ramps up. One that a person paused waits
for a person. Events are accepted and merged all the while: only leases are withheld.

Invariants:
- `ADMIT` is the only gate, and it is asked in the step that takes the lease, so no count of workers
  can exceed concurrency or rate together. No thread ever waits for it: the answer is a time.
- What a delivery says about its target is noted in the step that releases the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from connector.config import TargetConfig
from connector.config.model import DEFAULT_RESOURCE
from connector.model import Micros, Outcome
from connector.redisdb import NOW_MS, PREFIX, ROOM, Redis, Script

State = Literal["open", "paused", "probing"]
Cause = Literal["outage", "credentials", "misled", "refusals"]
Verdict = Literal["ok", "down", "fault", "credentials", "misled", "refused", ""]

BY_HAND = "paused by hand"
"""Why a target is paused that only a hand resumes."""

RAMP_SECONDS = 10
RAMP_START = 5
"""After a pause, 5·2^s leases are given in the first s seconds, until the ramp ends."""

PROBE_MOST = 300
"""Seconds between probes at the most."""

BURST_SHARE = 0.1
"""How much of a large limit may be used at once."""

ADMIT = """
local sizes, gates = {}, {}
local function riders(target, r)
  -- how many records of this one's resource go in one call
  local resource = string.match(r, '^[^:]*')
  local name = target .. ':' .. resource
  if not sizes[name] then
    local t = redis.call('HMGET', 'c:target:' .. target, 'batch:' .. resource, 'batch')
    sizes[name] = tonumber(t[1] or t[2] or '1')
  end
  return sizes[name]
end
local function gate_of(target)
  -- read once: nobody else changes it while this script runs
  local gate = gates[target]
  if not gate then
    local t = redis.call('HMGET', 'c:target:' .. target, 'state', 'by_hand', 'concurrency', 'rate',
      'burst', 'tokens', 'tokens_at', 'ramp_at', 'ramp_taken')
    gate = {
      hold = tonumber(redis.call('GET', 'c:hold:' .. target) or '0'),
      closed = t[1] or t[2],
      most = t[3] and tonumber(t[3]) or math.huge,
      -- leases that ran out are of the dead and hold nothing
      leased = t[3] and redis.call('ZCOUNT', 'c:leased:' .. target, '(' .. now, '+inf') or 0,
      rate = t[4] and tonumber(t[4]),
      ramp_at = t[8] and tonumber(t[8]),
      ramp_taken = tonumber(t[9] or '0'),
    }
    if gate.rate then
      local burst, passed = tonumber(t[5]), (now - tonumber(t[7] or now)) / 1000
      gate.tokens = math.min(burst, tonumber(t[6] or burst) + passed * gate.rate)
    end
    gates[target] = gate
  end
  return gate
end
local function admit(target, r)
  -- false: one more lease may be given, and is counted; else the time (ms) to ask again
  local key, gate = 'c:target:' .. target, gate_of(target)
  if gate.hold > now then return gate.hold end
  if gate.closed then return now + 1000 end
  local size = riders(target, r)
  if size == 1 and gate.leased >= gate.most then return now + 20 end
  if gate.rate and gate.tokens < 1 / size then
    return now + math.ceil((1 / size - gate.tokens) / gate.rate * 1000)
  end
  if gate.ramp_at then
    local seconds = (now - gate.ramp_at) / 1000
    if seconds > RAMP_SECONDS then
      redis.call('HDEL', key, 'ramp_at', 'ramp_taken')
      gate.ramp_at = nil
    elseif gate.ramp_taken >= RAMP_START * 2 ^ seconds then
      return now + 50
    else
      gate.ramp_taken = redis.call('HINCRBY', key, 'ramp_taken', 1)
    end
  end
  if gate.rate then
    gate.tokens = gate.tokens - 1 / size
    redis.call('HSET', key, 'tokens', gate.tokens, 'tokens_at', now)
  end
  if size == 1 then gate.leased = gate.leased + 1 end
  return false
end
""".replace("RAMP_SECONDS", str(RAMP_SECONDS)).replace("RAMP_START", str(RAMP_START))
"""Lua, needs `now`: the gate before every lease, which who is admitted takes. A record that goes
along with others in one call pays its share of the call, and is not one of the calls at the same
time: those are as many as there are senders."""

NOTE = """
local forgiven = {}
local function pause(target, cause, why)
  local key = 'c:target:' .. target
  if redis.call('HEXISTS', key, 'state') == 1 then return false end
  local interval = tonumber(redis.call('HGET', key, 'probe_ms') or '30000')
  redis.call('HSET', key, 'state', 'paused', 'cause', cause, 'why', why, 'since', now,
    'interval', interval, 'probe_at', now + interval)
  return true
end
local function spend(target, extra)
  -- calls beyond the one that its lease paid for
  if extra > 0 and redis.call('HEXISTS', 'c:target:' .. target, 'tokens') == 1 then
    redis.call('HINCRBYFLOAT', 'c:target:' .. target, 'tokens', -extra)
  end
end
local function send_back(target, resource)
  -- the configuration is wrong, not the records: they wait again, last in line
  local key = 'c:refused:' .. target .. ':' .. resource
  for _, other in ipairs(redis.call('SMEMBERS', key)) do
    redis.call('SADD', 'c:sentback:' .. target, other)
    known['c:sentback:' .. target] = true
    redis.call('ZREM', 'c:dead', 'r' .. target .. ':' .. other)
    redis.call('ZADD', 'c:dirty:' .. target, now, other)
  end
  redis.call('DEL', key)
end
local function note(target, r, verdict, signature, why)
  -- whether the record was sent back to waiting
  local key, fails = 'c:target:' .. target, 'c:fails:' .. target
  if verdict == 'ok' then
    local refused = 'c:refused:' .. target .. ':' .. string.match(r, '^[^:]*')
    if not forgiven[refused] then redis.call('DEL', fails, refused) end
    forgiven[refused] = true
    if is_there('c:sentback:' .. target) then redis.call('SREM', 'c:sentback:' .. target, r) end
    return false
  end
  forgiven = {}
  if verdict == 'down' or verdict == 'fault' then
    redis.call('SADD', fails, verdict == 'fault' and r or (r .. '@' .. now))
    local most = tonumber(redis.call('HGET', key, 'failures') or '5')
    if redis.call('SCARD', fails) >= most then pause(target, 'outage', why) end
  elseif verdict == 'credentials' or verdict == 'misled' then
    pause(target, verdict, why)
  elseif verdict == 'refused' and redis.call('SISMEMBER', 'c:sentback:' .. target, r) == 0 then
    local resource = string.match(r, '^[^:]*')
    local refused = 'c:refused:' .. target .. ':' .. resource
    if redis.call('HGET', key, 'refusal:' .. resource) ~= signature then
      redis.call('DEL', refused)
      redis.call('HSET', key, 'refusal:' .. resource, signature)
    end
    redis.call('SADD', refused, r)
    local most = tonumber(redis.call('HGET', key, 'refusals') or '20')
    -- what was under way when the target paused for it goes the same way
    local paused_for_it = redis.call('HGET', key, 'cause') == 'refusals'
    if redis.call('SCARD', refused) >= most or paused_for_it then
      pause(target, 'refusals', why)
      send_back(target, resource)
      return true
    end
  end
  return false
end
"""
"""Lua, needs `now` and `SPARING`: what a delivery says about its target. What was forgiven once
needs no forgiving until something else is said."""

_PROBE = Script(
    NOW_MS
    + """
-- ARGV: target, prober, how long its probe may take (ms).  Answer: the cause, if a probe is due
local key = 'c:target:' .. ARGV[1]
local t = redis.call('HMGET', key, 'state', 'by_hand', 'probe_at', 'cause')
if not t[1] or t[2] or tonumber(t[3]) > now then return false end
redis.call('HSET', key, 'state', 'probing', 'prober', ARGV[2], 'probe_at', now + ARGV[3])
return t[4]
"""
)

_PROBED = Script(
    NOW_MS
    + """
-- ARGV: target, prober, whether it succeeded, why not, most ms between probes
local key = 'c:target:' .. ARGV[1]
local t = redis.call('HMGET', key, 'state', 'prober', 'interval')
if t[1] ~= 'probing' or t[2] ~= ARGV[2] then return 0 end
redis.call('HDEL', key, 'prober')
if ARGV[3] == '1' then
  redis.call('HDEL', key, 'state', 'cause', 'why', 'since', 'probe_at', 'interval')
  redis.call('HSET', key, 'ramp_at', now, 'ramp_taken', 0)
  redis.call('DEL', 'c:fails:' .. ARGV[1])
  redis.call('RPUSH', 'c:wake', '1')
  return 1
end
local interval = math.min(tonumber(t[3]) * 2, tonumber(ARGV[5]))
redis.call('HSET', key, 'state', 'paused', 'probe_at', now + tonumber(t[3]), 'interval', interval)
if ARGV[4] ~= '' then redis.call('HSET', key, 'why', ARGV[4]) end
return 0
"""
)

_RESUME = Script(
    NOW_MS
    + """
-- ARGV: target
local key = 'c:target:' .. ARGV[1]
local was = redis.call('HEXISTS', key, 'state') + redis.call('HEXISTS', key, 'by_hand')
redis.call('HDEL', key, 'state', 'by_hand', 'cause', 'why', 'since', 'probe_at', 'interval',
  'prober')
redis.call('DEL', 'c:fails:' .. ARGV[1], 'c:hold:' .. ARGV[1])
if was > 0 then redis.call('HSET', key, 'ramp_at', now, 'ramp_taken', 0) end
redis.call('RPUSH', 'c:wake', '1')
return was
"""
)


_CONFIGURE = Script(
    ROOM
    + """
-- ARGV: key, then names and values
local limited = {}
for i = 2, #ARGV, 2 do
  redis.call('HSET', ARGV[1], ARGV[i], ARGV[i + 1])
  limited[ARGV[i]] = true
end
for _, name in ipairs(redis.call('HKEYS', ARGV[1])) do
  if string.sub(name, 1, 5) == 'batch' and not limited[name] then
    redis.call('HDEL', ARGV[1], name)
  end
end
if not limited['rate'] then redis.call('HDEL', ARGV[1], 'burst', 'rate', 'tokens', 'tokens_at') end
return 1
"""
)


@dataclass(frozen=True, slots=True)
class Flow:
    """A target as an operator sees it. `since` None while it is open."""

    name: str
    state: State
    why: str
    since: Micros | None


def bucket(count: int) -> tuple[float, float]:
    """For `count` calls a window: how many tokens the bucket holds, and how many come in within a
    window. Together they never let `count` + 1 calls into a window, nor into one a tenth longer,
    for calls arrive a little after they were let through. The bucket holds more than one where it
    can: what comes in until somebody asks again would be lost otherwise, which halved small limits.
    """
    burst = max(min(1.6, 1 + (count - 1) * 0.2), count * BURST_SHARE)
    return burst, max(count - burst, (count + 0.9 - burst) / 1.1)


def configure(client: Redis, target: TargetConfig) -> None:
    """Make the limits of a target known to the gate. Done by every worker at its start."""
    key = _key(target.name)
    limits: dict[str, str | float] = {
        "concurrency": target.concurrency,
        "failures": target.pause_after_failures,
        "refusals": target.pause_after_refusals,
        "probe_ms": round(target.probe_interval * 1000),
    }
    if target.rate_limit:
        burst, refill = bucket(target.rate_limit.count)
        limits |= {"burst": burst, "rate": refill / target.rate_limit.seconds}
    limits |= _batches(target)
    _CONFIGURE(client, [key, *(part for limit in limits.items() for part in limit)])


def _batches(target: TargetConfig) -> dict[str, int]:
    """How many records of each resource go in one call, where it is not one; `batch` is for those
    that are not named."""
    sizes = {
        name: resource.batch.size if resource.batch else 1
        for name, resource in target.resources.items()
    }
    unnamed = sizes.pop(DEFAULT_RESOURCE, 1)
    named = {f"batch:{quote(name, safe='')}": size for name, size in sizes.items()}
    return {name: size for name, size in {"batch": unnamed, **named}.items() if size != unnamed} | (
        {"batch": unnamed} if unnamed != 1 else {}
    )


def flow(client: Redis, target: str) -> Flow:
    """Whether deliveries flow to a target, and if not, why and since when."""
    fields = client.hmget(_key(target), ["state", "by_hand", "why", "since"])
    state, by_hand, why, since = (None if f is None else f.decode() for f in fields)
    if by_hand:
        return Flow(target, "paused", BY_HAND, int(by_hand) * 1000)
    if state is None:
        hold = client.get(f"{PREFIX}hold:{quote(target, safe='')}")
        return Flow(target, "open", "the CRM asked to wait (Retry-After)" if hold else "", None)
    told: State = "probing" if state == "probing" else "paused"
    return Flow(target, told, why or "", int(since or 0) * 1000)


def pause(client: Redis, target: str) -> None:
    """Deliver nothing to a target until `resume`; events go on being merged."""
    seconds, _ = client.time()
    client.hset(_key(target), "by_hand", seconds * 1000)


def resume(client: Redis, target: str) -> bool:
    """Let deliveries flow again at once, ramping up; whether the target was paused."""
    return bool(_RESUME(client, [quote(target, safe="")]))


def probe_due(client: Redis, target: str, prober: str, seconds: float) -> Cause | None:
    """The cause of a target's pause, if it is time to probe it and nobody else does. The probe is
    then the caller's, for at most `seconds`."""
    cause = _PROBE(client, [quote(target, safe=""), prober, round(seconds * 1000)])
    return cause.decode() if cause else None


def probed(client: Redis, target: str, prober: str, *, succeeded: bool, why: str) -> bool:
    """What came of a probe; whether the target is open now."""
    args = [quote(target, safe=""), prober, int(succeeded), why[:500], PROBE_MOST * 1000]
    return bool(_PROBED(client, args))


def mended(cause: Cause, outcome: Outcome) -> bool:
    """Whether a probe's outcome shows that the cause of a pause is gone.

    Refusals and wrong addresses are gone when something is accepted; an outage and credentials
    when anything else answers.
    """
    if cause in ("refusals", "misled"):
        return outcome.meaning == "done"
    return outcome.meaning in ("done", "refused", "misled")


VERDICTS: Mapping[str, Verdict] = {
    "done": "ok",
    "refused": "refused",
    "fault": "fault",
    "not_now": "down",
    "credentials": "credentials",
    "misled": "misled",
}
"""What the meaning of a delivery says about its target."""


def _key(target: str) -> str:
    return f"{PREFIX}target:{quote(target, safe='')}"
