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


def test_one_at_a_time_may_fetch_a_token(redis_url: str) -> None:
    one, other = RedisTokens(connect(redis_url)), RedisTokens(connect(redis_url))
    assert one.keeps()
    assert one.claim("crm", "me", 60)
    assert not other.claim("crm", "you", 60)
    other.unclaim("crm", "you")
    assert not other.claim("crm", "you", 60), "only who claimed it gives it back"
    one.unclaim("crm", "me")
    assert other.claim("crm", "you", 60)


def test_claim_of_the_dead_ends_by_itself(redis_url: str) -> None:
    one, other = RedisTokens(connect(redis_url)), RedisTokens(connect(redis_url))
    assert one.claim("crm", "me", 0.05)
    deadline = time.monotonic() + 30
    while not other.claim("crm", "you", 60):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_process_goes_by_what_it_knows_while_redis_is_away(free_port: int) -> None:
    tokens = RedisTokens(connect(f"redis://127.0.0.1:{free_port}/0", timeout=0.2))
    token = Token("abc", time.time() + 60, cookies="sid=1")
    tokens.put("crm", token)
    assert tokens.get("crm") == token
    assert not tokens.keeps()
    assert tokens.claim("crm", "me", 60)
    assert not tokens.claim("crm", "you", 60)
    tokens.unclaim("crm", "me")
    tokens.drop("crm", "abc")
    assert tokens.get("crm") is None
