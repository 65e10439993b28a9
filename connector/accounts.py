"""Who may sign in to the dashboard, what each role may do, and for how long a session lasts.

Keys:

    c:session:<digest>  string   SHA-256 of a session's token → name and mark of its user; expires
    c:session-key       string   what cookies are signed with, where the configuration names nothing

Invariants: a password is known only as its argon2 hash; a session is known only to who holds its
token, and ends when its user signs out, is removed, or gets another password or role. What a role
may do is the table `MAY` and nothing else. Knows no Flask; argon2 is loaded when it is needed, for
neither the receiver nor a worker ever does.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from threading import Lock
from typing import TYPE_CHECKING, Literal, TypeAlias

from redis.exceptions import OutOfMemoryError

from connector.config import Config, Role, User
from connector.redisdb import PREFIX, Redis

if TYPE_CHECKING:
    from argon2 import PasswordHasher

Permission: TypeAlias = Literal[
    "see", "reveal", "replay", "letters", "targets", "preview", "publish", "audit"
]

_VIEWER: frozenset[Permission] = frozenset({"see"})
_OPERATOR: frozenset[Permission] = _VIEWER | {"reveal", "replay", "letters", "targets"}
_EDITOR: frozenset[Permission] = _OPERATOR | {"preview", "publish", "audit"}

MAY: Mapping[Role, frozenset[Permission]] = {
    "viewer": _VIEWER,
    "operator": _OPERATOR,
    "editor": _EDITOR,
}
"""What each role may do. `see`: every page, personal data masked; `reveal`: that data, noted in the
audit log; `replay` events; retry and drop dead `letters`; pause and resume `targets`; `preview` an
edit of the mappings and plan it; `publish` and roll back; read the `audit` log."""

_TOKEN_BYTES = 32
_WHILE_FULL: dict[str, tuple[str, float]] = {}
"""Sessions that a full Redis could not take, and until when (monotonic): a full Redis is when
somebody must look. Known to this process only, and not for long."""
_FULL_SECONDS, _FULL_SESSIONS = 3600, 100
_ONE_AT_A_TIME = Lock()
"""A check takes the memory that its hash asks for; many at once would take it many times."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who is asking: a user who signed in, or a visitor from the machine itself."""

    name: str
    role: Role

    def may(self, permission: Permission) -> bool:
        """Whether the role allows it."""
        return permission in MAY[self.role]


# --- passwords


def hash_password(password: str) -> str:
    """What stands in the configuration for a password: argon2id, by the advice of OWASP."""
    return _hasher().hash(password)


def matches(user: User | None, password: str) -> bool:
    """Whether the password is the user's. Takes as long where there is no such user."""
    from argon2.exceptions import InvalidHashError, VerificationError

    with _ONE_AT_A_TIME:
        try:
            return _hasher().verify(user.password if user else _nobodys(), password) and bool(user)
        except (VerificationError, InvalidHashError):
            return False


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


@cache
def _nobodys() -> str:
    return hash_password(secrets.token_hex())


# --- sessions


def open_session(client: Redis, user: User, hours: float) -> str:
    """A new session of the user; its token, which nobody else knows. Raises RedisError."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    told = f"{_mark(user)} {user.name}"
    try:
        client.set(_session(token), told, ex=_seconds(hours))
    except OutOfMemoryError:
        _WHILE_FULL[_session(token)] = told, time.monotonic() + min(_seconds(hours), _FULL_SECONDS)
        while len(_WHILE_FULL) > _FULL_SESSIONS:
            _WHILE_FULL.pop(next(iter(_WHILE_FULL)))
    return token


def find_session(client: Redis, config: Config, token: str, *, stay: bool = True) -> Person | None:
    """Whose session it is; None for one that has ended. `stay`: it lasts on from now.

    Raises RedisError.
    """
    key = _session(token)
    kept = client.getex(key, ex=_seconds(config.dashboard.session_hours)) if stay else None
    kept = kept or client.get(key)
    mark, _, name = (kept.decode() if kept else _opened_while_full(key)).partition(" ")
    user = config.users.get(name)
    if user is None or not secrets.compare_digest(mark, _mark(user)):
        return None
    return Person(user.name, user.role)


def close_session(client: Redis, token: str) -> None:
    """The token opens nothing any more."""
    _WHILE_FULL.pop(_session(token), None)
    client.delete(_session(token))


def session_key(client: Redis, config: Config) -> str:
    """What cookies are signed with: as configured, else made up once for all web processes.

    Raises RedisError.
    """
    if config.dashboard.session_key:
        return config.dashboard.session_key
    key = f"{PREFIX}session-key"
    if not client.exists(key):
        client.set(key, secrets.token_hex(_TOKEN_BYTES), nx=True)
    return str(client.get(key).decode())


def _opened_while_full(key: str) -> str:
    told, until = _WHILE_FULL.get(key, ("", 0.0))
    return told if time.monotonic() < until else ""


def _session(token: str) -> str:
    return f"{PREFIX}session:{sha256(token.encode()).hexdigest()}"


def _mark(user: User) -> str:
    """Changes with the password and the role, so that a session of the old ones ends."""
    return sha256(f"{user.role}\0{user.password}".encode()).hexdigest()[:32]


def _seconds(hours: float) -> int:
    return max(1, round(hours * 3600))
