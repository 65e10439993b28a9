"""Fetched tokens in Redis, so that all workers use the same one and a restart needs no new login.

Keys:

    c:token:<key>   string   JSON [value, until]; gone when it has ended

Invariant: losing an entry costs one more login and nothing else. Whoever may read this Redis may
read the tokens, as it may read the events.
"""

from __future__ import annotations

import json
import time

from connector.redisdb import PREFIX, Redis, Script
from connector.targets.tokens import Token

_LONGEST_MS = 30 * 86_400_000

_DROP = Script(
    """
-- ARGV: key, value
local kept = redis.call('GET', ARGV[1])
if kept and cjson.decode(kept)[1] == ARGV[2] then redis.call('DEL', ARGV[1]) end
return 1
"""
)


class RedisTokens:
    """A `TokenStore` that all workers share."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    def get(self, key: str) -> Token | None:
        """The token kept under the key; it may have ended."""
        kept = self._client.get(f"{PREFIX}token:{key}")
        return Token(*json.loads(kept)) if kept else None

    def put(self, key: str, token: Token) -> None:
        """Keep a token until it ends."""
        left = _LONGEST_MS if token.until is None else int((token.until - time.time()) * 1000)
        packed = json.dumps([token.value, token.until])
        self._client.set(f"{PREFIX}token:{key}", packed, px=max(1, min(left, _LONGEST_MS)))

    def drop(self, key: str, value: str) -> None:
        """Forget the token if it still is the one of this value."""
        _DROP(self._client, [f"{PREFIX}token:{key}", value])
