"""Fetched tokens in Redis, so that all workers use the same one and a restart needs no new login.

Keys:

    c:token:<key>      string   JSON [value, until, stale, cookies]; gone when it has ended
    c:tokenby:<key>    string   who fetches it at this moment; gone when that takes too long

Invariants: losing an entry costs one more login and nothing else (a refresh token that the CRM
gave in place of the configured one: a new one by hand). While Redis is away each process goes by
what it knows itself. Whoever may read this Redis may read the tokens, as it may read the events.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress

from redis.exceptions import RedisError

from connector.redisdb import PREFIX, Redis, Script
from connector.targets.tokens import MemoryTokens, Token

_LONGEST_MS = 400 * 86_400_000

_DROP = Script(
    """
-- ARGV: key, value
local kept = redis.call('GET', ARGV[1])
if kept and cjson.decode(kept)[1] == ARGV[2] then redis.call('DEL', ARGV[1]) end
return 1
"""
)


_UNCLAIM = Script(
    """
-- ARGV: key, who
if redis.call('GET', ARGV[1]) == ARGV[2] then redis.call('DEL', ARGV[1]) end
return 1
"""
)


class RedisTokens:
    """A `TokenStore` that all workers share."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._own = MemoryTokens()

    def get(self, key: str) -> Token | None:
        """The token kept under the key; it may have ended."""
        try:
            kept = self._client.get(f"{PREFIX}token:{key}")
        except RedisError:
            return self._own.get(key)
        return Token(*json.loads(kept)) if kept else None

    def put(self, key: str, token: Token) -> None:
        """Keep a token until it ends."""
        self._own.put(key, token)
        left = _LONGEST_MS if token.until is None else int((token.until - time.time()) * 1000)
        packed = json.dumps([token.value, token.until, token.stale, token.cookies])
        with suppress(RedisError):
            self._client.set(f"{PREFIX}token:{key}", packed, px=max(1, min(left, _LONGEST_MS)))

    def drop(self, key: str, value: str) -> None:
        """Forget the token if it still is the one of this value."""
        self._own.drop(key, value)
        with suppress(RedisError):
            _DROP(self._client, [f"{PREFIX}token:{key}", value])

    def claim(self, key: str, who: str, seconds: float) -> bool:
        """Whether it is now for `who` alone to fetch the token, for so many seconds."""
        name, lasts = f"{PREFIX}tokenby:{key}", max(1, int(seconds * 1000))
        try:
            return bool(self._client.set(name, who, nx=True, px=lasts))
        except RedisError:
            return self._own.claim(key, who, seconds)

    def keeps(self) -> bool:
        """Whether Redis takes what is put now."""
        try:
            return bool(self._client.ping())
        except RedisError:
            return False

    def unclaim(self, key: str, who: str) -> None:
        """Let others fetch it, if it still was for `who`."""
        self._own.unclaim(key, who)
        with suppress(RedisError):
            _UNCLAIM(self._client, [f"{PREFIX}tokenby:{key}", who])
