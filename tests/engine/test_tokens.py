"""Tokens that workers share through a real Redis."""

from __future__ import annotations

import time

from connector.redisdb import connect
from connector.targets.tokens import Token
from connector.tokens import RedisTokens


def test_a_token_is_shared_until_it_ends(redis_url: str) -> None:
    one, other = RedisTokens(connect(redis_url)), RedisTokens(connect(redis_url))
    token = Token("abc", time.time() + 60)
    one.put("crm", token)
    assert other.get("crm") == token
    one.put("crm", Token("short", time.time() - 1))
    time.sleep(0.01)
    assert other.get("crm") is None


def test_only_the_refused_token_is_dropped(redis_url: str) -> None:
    tokens = RedisTokens(connect(redis_url))
    tokens.put("crm", Token("new"))
    tokens.drop("crm", "old")
    assert tokens.get("crm") == Token("new")
    tokens.drop("crm", "new")
    assert tokens.get("crm") is None
