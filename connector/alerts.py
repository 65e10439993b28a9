"""Messages to a chat when something changes, for those who run no monitoring; and to the log when
a target pauses or flows again.

Keys:

    c:alerts          hash    what is looked at → `1`, or `0|<ms>`: not the case since it was last
                              told of at that time
    c:alerts:look     string  somebody has looked just now
    c:alerts:out      zset    messages to be posted, as JSON → when (ms) to try (again)
    c:alerts:since    hash    message → when (ms) it was offered first
    c:alerts:reasons  hash    digest of a reason of dead letters → when (ms) it was seen last
    c:alerts:dead     string  up to when (ms) dead letters were looked at
    c:talk:<source>   hash    hour since 1970 → events accepted in it; the last week and a bit
    c:talk:total      hash    source → events accepted when it was looked last

Invariants:
- Told is what changes, not what is: once when it begins, once when it is over, and what comes and
  goes at most every ten minutes. What is decided is in Redis, so of many workers one tells it.
- A message is kept until the receiver has taken it, for an hour at the most; a worker that dies
  while it posts one may post it twice, never not at all.
- No value of a record and no words of the CRM stand in a message: only names, numbers, statuses.
- Nothing waits for the receiver: a thread of its own posts, and follows no redirect.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from connector import flow, journal, metrics
from connector.config import Config
from connector.config.model import Url
from connector.journal import Entry
from connector.records import store
from connector.records.store import State
from connector.redaction import Redaction
from connector.redisdb import NOW_MS, PREFIX, ROOM, Redis, Script, connect
from connector.targets.http import Answer, Http, Request
from connector.targets.reasons import likeness

log = logging.getLogger(__name__)

LOOK_SECONDS = 10
TIMEOUT_SECONDS = 3.0
RETRY_SECONDS = 30
KEPT_SECONDS = 3600
"""How long a message is offered to a receiver that does not take it."""

QUIET_SECONDS = 600
"""What was told and went away is told again only after so long."""

NEW_AGAIN_SECONDS = 86_400
"""A reason of dead letters that nobody met for so long is a new one."""

REASONS_AT_ONCE = 3
DEAD_AT_ONCE = 200
USUAL_EVENTS = 20
"""A source that sent fewer in the same hours a week ago is not missed."""

_WEEK_HOURS = 7 * 24


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is looked at; told when `holds` changes. `fields` go along in the message."""

    key: str
    holds: bool
    begins: str
    ends: str
    fields: tuple[tuple[str, str], ...] = ()


class Watch:
    """What the maintenance of a worker calls again and again. Without an address it posts nothing;
    that a target paused, or flows again, stands in each worker's log all the same."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._http = Http(connections=1)
        self._redaction = Redaction()
        self._poster: threading.Thread | None = None
        self._flows = dict.fromkeys(config.targets, True)

    def look(self, client: Redis) -> None:
        """Find out what has changed, if nobody has done so just now, and see that it is posted.

        Raises RedisError.
        """
        self._log_pauses(client)
        url = self._config.alerts.url
        if url is None:
            return
        if client.set(f"{PREFIX}alerts:look", "1", nx=True, px=LOOK_SECONDS * 1000 - 500):
            decide(client, conditions(client, self._config), self._redaction)
            tell_new_reasons(client, self._redaction)
        busy = self._poster is not None and self._poster.is_alive()
        if not busy and client.zcard(f"{PREFIX}alerts:out"):
            self._poster = threading.Thread(
                target=self._post_all, args=(url,), name="alerts", daemon=True
            )
            self._poster.start()

    def _log_pauses(self, client: Redis) -> None:
        for name, flowed in self._flows.items():
            now = flow.flow(client, name)
            flows = now.state == "open"
            if flows and not flowed:
                log.info("deliveries to %s flow again", name)
            elif flowed and not flows:
                log.warning(
                    "nothing is delivered to %s: it is paused (%s); `connector targets` says more",
                    name,
                    _plain(now.why),
                )
            self._flows[name] = flows

    def _post_all(self, url: Url) -> None:
        try:
            client = connect(self._config.redis_url)
            while message := _CLAIM(client, [RETRY_SECONDS * 1000, KEPT_SECONDS * 1000]):
                if not self._post(url, message):
                    return
                client.zrem(f"{PREFIX}alerts:out", message)
                client.hdel(f"{PREFIX}alerts:since", message)
        except Exception:  # the message is still there; the next turn tries again
            log.exception("posting an alert")

    def _post(self, url: Url, message: bytes) -> bool:
        headers = {"Content-Type": "application/json", "User-Agent": "crm-connector"}
        answer = self._http.send(Request("POST", str(url), headers, message), TIMEOUT_SECONDS)
        if isinstance(answer, Answer) and 200 <= answer.status < 300:
            return True
        said = f"status {answer.status}" if isinstance(answer, Answer) else answer.kind
        log.warning("an alert was not taken by %r: %s; it is tried again", url, said)
        return False


# --- what is looked at


def conditions(client: Redis, config: Config) -> Iterator[Condition]:
    """Everything that has a beginning and an end."""
    for name in config.targets:
        now = flow.flow(client, name)
        by_hand = now.why == "paused by hand"
        why = f" ({_plain(now.why)})" if now.why else ""
        yield Condition(
            f"target_paused:{name}",
            now.state != "open" and not by_hand,
            f"Nothing is delivered to {name}: it is paused{why}. Events are kept; "
            "`connector targets` says more.",
            f"Deliveries to {name} flow again.",
            (("target", name),),
        )
    age = metrics.oldest_queued(client)
    yield Condition(
        "queue_old",
        age > config.alerts.queue_minutes * 60,
        f"The first event in the queue has waited for {age / 60:.0f} minutes. "
        "Are there enough workers?",
        "The queue is worked off again.",
    )
    totals = metrics.totals(client)
    heard = metrics.heard(client)
    for name in config.sources:
        key = json.dumps(["connector_accepted_total", name], separators=(",", ":"))
        hours = config.alerts.silence_hours
        usual = int(_TALK(client, [name, int(totals.get(key, 0)), hours, _WEEK_HOURS]))
        since = time.time() - heard.get(name, 0)
        yield Condition(
            f"source_silent:{name}",
            since > hours * 3600 and usual >= USUAL_EVENTS,
            f"{name} has sent nothing for {since / 3600:.0f} hours; a week ago it sent {usual} "
            "events in such a time.",
            f"{name} sends again.",
            (("source", name),),
        )


def _plain(why: str) -> str:
    """A reason without what the CRM says in it: of `422 Unprocessable Entity: …` the status."""
    status = re.match(r"\d{3} [A-Za-z' -]+", why)
    if status:
        return status[0].strip()
    kind = re.match(r"[A-Za-z -]+", why)
    return kind[0].strip() if kind else "see there"


def decide(client: Redis, looked_at: Iterable[Condition], redaction: Redaction) -> int:
    """Queue a message for what has changed since anybody looked last; how many. One step for each
    condition: of several workers that look at once, one queues it."""
    queued = 0
    for condition in looked_at:
        kind = condition.key.partition(":")[0]
        begins = _message(kind, "firing", condition.begins, condition.fields, redaction)
        ends = _message(kind, "resolved", condition.ends, condition.fields, redaction)
        args = [condition.key, int(condition.holds), begins, ends, QUIET_SECONDS * 1000]
        queued += int(_DECIDE(client, args))
    return queued


def _message(
    alert: str,
    state: str,
    text: str,
    fields: Sequence[tuple[str, str]],
    redaction: Redaction,
) -> str:
    mark = {"firing": "\N{WARNING SIGN}", "resolved": "\N{WHITE HEAVY CHECK MARK}"}[state]
    told = {
        "text": f"{mark} {redaction.text(text)}",
        "alert": alert,
        "state": state,
        **dict(fields),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    return json.dumps(told, ensure_ascii=False)


# --- dead letters


def tell_new_reasons(client: Redis, redaction: Redaction) -> int:
    """Queue a message for the first dead letter of each reason; how many."""
    last = int(client.get(f"{PREFIX}alerts:dead") or 0)
    seconds, micros = client.time()
    over = seconds * 1000 + micros // 1000 - 1  # the millisecond that runs may get some more
    found = client.zrangebyscore(
        f"{PREFIX}dead", f"({last}", over, start=0, num=DEAD_AT_ONCE, withscores=True
    )
    if not found:
        return 0
    if len(found) == DEAD_AT_ONCE:  # nor is the last one of the page left half looked at
        found = [one for one in found if one[1] < found[-1][1]] or found
    members = [member.decode() for member, _ in found]
    reasons: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {}
    serials = [int(member[1:]) for member in members if member[0] == "e"]
    for entry in journal.headers(client, serials):
        digest, text = _reason_of_event(entry)
        reasons.setdefault(digest, (text, (("source", entry.event.source),)))
    names = [store.name_of(member[1:]) for member in members if member[0] == "r"]
    for state in store.read(client, names):
        digest, text = _reason_of_record(state)
        told = (("target", state.name.target), ("resource", state.name.resource))
        reasons.setdefault(digest, (text, told))
    args: list[str | int] = [int(found[-1][1]), NEW_AGAIN_SECONDS * 1000, REASONS_AT_ONCE]
    for digest, (text, fields) in reasons.items():
        args += [digest, _message("dead_letter", "firing", text, fields, redaction)]
    return int(_REASONS(client, args))


def _reason_of_event(entry: Entry) -> tuple[str, str]:
    place = entry.problem.place if entry.problem else None
    where = f"{place.file}:{place.line}" if place else "no place in the mappings"
    what = f"the mapping at {where} cannot use a value" if place else "it cannot be read"
    text = (
        f"The first dead letter of its kind: an event of {entry.event.source}; {what}. "
        "`connector dead` says why."
    )
    return _digest("event", entry.event.source, where), text


def _reason_of_record(state: State) -> tuple[str, str]:
    dead = state.delivered.dead
    status, answer = (dead.status, dead.answer) if dead else (None, None)
    said = f"the CRM answered {status}" if status else "it was given up"
    text = (
        f"The first dead letter of its kind: a record of {state.name.resource} for "
        f"{state.name.target}; {said}. `connector dead` says why."
    )
    return _digest(state.name.target, state.name.resource, likeness(status, answer)), text


def _digest(*parts: str) -> str:
    return sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


# --- steps of Redis

_DECIDE = Script(
    ROOM
    + NOW_MS
    + """
-- ARGV: condition, whether it holds, message when it begins, message when it ends, quiet ms
local was = redis.call('HGET', 'c:alerts', ARGV[1])
if ARGV[2] == '1' then
  if was == '1' then return 0 end
  local told = was and tonumber(string.sub(was, 3)) or 0
  if now - told < tonumber(ARGV[5]) then return 0 end
  redis.call('HSET', 'c:alerts', ARGV[1], '1')
  redis.call('ZADD', 'c:alerts:out', now, ARGV[3])
  return 1
end
if was ~= '1' then return 0 end
redis.call('HSET', 'c:alerts', ARGV[1], '0|' .. string.format('%.0f', now))
redis.call('ZADD', 'c:alerts:out', now, ARGV[4])
return 1
"""
)

_REASONS = Script(
    ROOM
    + NOW_MS
    + """
-- ARGV: looked at up to (ms), ms after which a reason is new again, most messages, then per
-- reason: digest, message
local most, queued = tonumber(ARGV[3]), 0
redis.call('SET', 'c:alerts:dead', ARGV[1])
for i = 4, #ARGV, 2 do
  local seen = tonumber(redis.call('HGET', 'c:alerts:reasons', ARGV[i]) or '0')
  redis.call('HSET', 'c:alerts:reasons', ARGV[i], string.format('%.0f', now))
  if now - seen > tonumber(ARGV[2]) and queued < most then
    redis.call('ZADD', 'c:alerts:out', now, ARGV[i + 1])
    queued = queued + 1
  end
end
redis.call('EXPIRE', 'c:alerts:reasons', math.floor(ARGV[2] / 1000) * 7)
return queued
"""
)

_CLAIM = Script(
    ROOM
    + NOW_MS
    + """
-- ARGV: ms until the next try, ms that a message is kept.  Answer: a message that is due, or none
local out = 'c:alerts:out'
local due = redis.call('ZRANGEBYSCORE', out, '-inf', now, 'LIMIT', 0, 1)[1]
while due do
  local since = redis.call('HGET', 'c:alerts:since', due)
  if not since or now - tonumber(since) < tonumber(ARGV[2]) then break end
  redis.call('ZREM', out, due)
  redis.call('HDEL', 'c:alerts:since', due)
  due = redis.call('ZRANGEBYSCORE', out, '-inf', now, 'LIMIT', 0, 1)[1]
end
if not due then return false end
redis.call('HSETNX', 'c:alerts:since', due, string.format('%.0f', now))
redis.call('EXPIRE', 'c:alerts:since', math.floor(ARGV[2] / 1000) * 2)
redis.call('ZADD', out, now + ARGV[1], due)
return due
"""
)

_TALK = Script(
    ROOM
    + NOW_MS
    + """
-- ARGV: source, events accepted since the beginning, hours that count as silence, hours of a week.
-- Answer: events accepted in as many hours that ended a week ago
local hour, hours, week = math.floor(now / 3600000), tonumber(ARGV[3]), tonumber(ARGV[4])
local talk, total = 'c:talk:' .. ARGV[1], tonumber(ARGV[2])
local before = tonumber(redis.call('HGET', 'c:talk:total', ARGV[1]) or ARGV[2])
redis.call('HSET', 'c:talk:total', ARGV[1], total)
if total > before then
  if redis.call('HINCRBY', talk, hour, total - before) == total - before then
    for _, old in ipairs(redis.call('HKEYS', talk)) do
      if tonumber(old) < hour - week - hours then redis.call('HDEL', talk, old) end
    end
  end
  redis.call('EXPIRE', talk, (week + hours + 1) * 3600)
end
local usual = 0
for at = hour - week - hours, hour - week - 1 do
  usual = usual + tonumber(redis.call('HGET', talk, at) or '0')
end
return usual
"""
)
