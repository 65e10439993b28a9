"""Who did what, and when: every action of a person, kept by age and by count.

Keys:

    c:audit          zset   entry (JSON) → time (µs)
    c:audit:refused  zset   the same for sign-ins that failed, the latest few

Invariant: an action is noted by whoever carries it out, right after it is done. Failed sign-ins
stand apart, so that somebody who guesses passwords cannot push out what others did. No secrets, no
personal data beyond the names of users: an entry names events and records, not what they hold.
"""

from __future__ import annotations

import heapq
import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal, TypeAlias

from connector.config import Audit
from connector.model import Json, Micros
from connector.redisdb import PREFIX, Redis

Action: TypeAlias = Literal[
    "sign_in",
    "sign_out",
    "sign_in_refused",
    "reveal",
    "replay",
    "retry",
    "drop",
    "pause",
    "resume",
    "publish",
    "roll_back",
]

REFUSED_KEPT = 1000
PAGE = 200
_LONGEST = 500
_KEY, _REFUSED = f"{PREFIX}audit", f"{PREFIX}audit:refused"


@dataclass(frozen=True, slots=True)
class Entry:
    """One action. `what` names what it was done to, `detail` tells more, `address` is whence."""

    at: Micros
    who: str
    action: Action
    what: str = ""
    detail: str = ""
    address: str = ""

    def to_json(self) -> dict[str, Json]:
        """One line of `connector audit --json`, but for the time, which `reports` writes."""
        return {
            "who": self.who,
            "action": self.action,
            "what": self.what,
            "detail": self.detail,
            "address": self.address,
        }


def note(
    client: Redis,
    kept: Audit,
    who: str,
    action: Action,
    what: str = "",
    detail: str = "",
    address: str = "",
) -> None:
    """Note an action of `who`, and forget what is older or more than is kept. Raises RedisError."""
    now = time.time_ns() // 1000
    texts = [text[:_LONGEST] for text in (who, action, what, detail, address)]
    line = json.dumps([*texts, secrets.token_hex(4)], ensure_ascii=False, separators=(",", ":"))
    refused = action == "sign_in_refused"
    key, most = (_REFUSED, REFUSED_KEPT) if refused else (_KEY, kept.entries)
    pipe = client.pipeline(transaction=False)
    pipe.zadd(key, {line: now})
    pipe.zremrangebyscore(key, "-inf", now - int(kept.days * 86_400e6))
    pipe.zremrangebyrank(key, 0, -most - 1)
    pipe.execute()


def entries(client: Redis, limit: int = 0) -> list[Entry]:
    """What was done, the latest first; at most `limit`, 0 for all that is kept."""
    both = heapq.merge(
        _newest_first(client, _KEY),
        _newest_first(client, _REFUSED),
        key=lambda entry: entry.at,
        reverse=True,
    )
    return list(islice(both, limit or None))


def _newest_first(client: Redis, key: str) -> Iterator[Entry]:
    start = 0
    while page := client.zrevrange(key, start, start + PAGE - 1, withscores=True):
        for line, at in page:
            who, action, what, detail, address, _ = json.loads(line)
            yield Entry(int(at), who, action, what, detail, address)
        start += len(page)
