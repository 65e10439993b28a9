"""Where failed sign-ins are counted: in Redis for all web processes together, and here where Redis
does not take the count.

Invariant: a failure is counted, whether Redis is there, full or going away just now; a count that
is lost would let passwords be guessed.
"""

from __future__ import annotations

from limits.storage import MemoryStorage, RedisStorage
from redis.exceptions import RedisError


class Counts(RedisStorage):
    """Redis, and this process' memory for what Redis refused."""

    STORAGE_SCHEME = ["connector"]  # noqa: RUF012 - as its base declares it
    URI = "connector://"

    def __init__(self, uri: str, **options: object) -> None:
        super().__init__(uri, **options)  # type: ignore[arg-type]  # as Flask-Limiter hands them on
        self._refused = MemoryStorage()

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count, and how many there are."""
        try:
            return super().incr(key, expiry, amount)
        except RedisError:
            return self._refused.incr(key, expiry, amount)

    def get(self, key: str) -> int:
        """How many there are. Raises RedisError while Redis is away."""
        return super().get(key) + self._refused.get(key)
