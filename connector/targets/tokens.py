"""Credentials that must be fetched: OAuth 2 client credentials, and a login of any kind.

A token is shared by all who use the same store, which may be common to all workers; it is fetched
by one thread of a process at a time, a little before it ends or when the CRM refuses it. Its value
never stands in a log: answers to these calls are not kept.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Any, Protocol

from connector.config.model import ClientCredentials, Login, TargetConfig
from connector.model import Json
from connector.targets import extract
from connector.targets.answers import Case, Judgement, judge
from connector.targets.auth import NoCredentials, Send, Stamp, basic_header
from connector.targets.calls import Outgoing, fill_in
from connector.targets.template import CannotRender, encode_pairs, render_text, text

_MARGIN = 30.0  # seconds before its end that a token is no longer used
_MARGIN_SHARE = 0.1  # of its life, for one that lives shorter than ten margins
_EPOCH = 1e9  # a greater number of `expires:` is a time, not seconds from now
_MILLISECONDS = 1e11  # a greater time counts milliseconds (docs/mapping-language.md, `timestamp`)


@dataclass(frozen=True, slots=True)
class Token:
    """`until`: not to be used after this time (seconds since the epoch); None: until refused."""

    value: str = field(repr=False)
    until: float | None = None


class TokenStore(Protocol):
    """Where tokens are kept, thread-safe; a lost or late entry costs one more login."""

    def get(self, key: str) -> Token | None:
        """The token kept under the key; it may have ended."""

    def put(self, key: str, token: Token) -> None:
        """Keeps a token."""

    def drop(self, key: str, value: str) -> None:
        """Forgets the token if it still is the one of this value."""


class MemoryTokens:
    """Tokens of one process."""

    def __init__(self) -> None:
        self._tokens: dict[str, Token] = {}
        self._lock = threading.Lock()

    def get(self, key: str) -> Token | None:
        return self._tokens.get(key)

    def put(self, key: str, token: Token) -> None:
        with self._lock:
            self._tokens[key] = token

    def drop(self, key: str, value: str) -> None:
        with self._lock:
            if key in self._tokens and self._tokens[key].value == value:
                del self._tokens[key]


class Fetched:
    """Credentials by a token. `fetch` gets a fresh one, `stamp_of` says where it goes."""

    def __init__(
        self,
        key: str,
        store: TokenStore,
        fetch: Callable[[Send], Token],
        stamp_of: Callable[[str], Stamp],
    ) -> None:
        self._key = key
        self._store = store
        self._fetch = fetch
        self._stamp_of = stamp_of
        self._fetching = threading.Lock()

    def stamp(self, send: Send) -> Stamp:
        """As `Credentials.stamp`; fetches a token where none is good."""
        token = self._good()
        if token is None:
            with self._fetching:
                token = self._good()
                if token is None:
                    token = self._fetch(send)
                    self._store.put(self._key, token)
        return self._stamp_of(token.value)

    def renew(self, refused: Stamp) -> bool:
        """As `Credentials.renew`; if another thread has renewed meanwhile, its token serves."""
        self._store.drop(self._key, refused.secret)
        return True

    def _good(self) -> Token | None:
        token = self._store.get(self._key)
        ended = token is not None and token.until is not None and token.until <= time.time()
        return None if ended else token


def client_credentials(config: TargetConfig, auth: ClientCredentials, store: TokenStore) -> Fetched:
    """RFC 6749 section 4.4. The client names itself in the form, as most servers take it; one that
    refuses that is asked with HTTP Basic, which section 2.3.1 has all servers support."""
    form = {"grant_type": "client_credentials"}
    if auth.scope:
        form["scope"] = auth.scope
    form |= auth.params
    named = {**form, "client_id": auth.client_id, "client_secret": auth.client_secret}
    basic = {"Authorization": basic_header(auth.client_id, auth.client_secret)}
    asked = [_token_request(auth.token_url, named), _token_request(auth.token_url, form, basic)]

    def fetch(send: Send) -> Token:
        judgement = Judgement("credentials", "")
        for outgoing in list(asked):
            judgement = judge(Case("login"), send(outgoing))
            if judgement.status not in (400, 401):
                break
            asked.reverse()  # whichever works is asked first the next time
        answer = _accepted(judgement)
        found = answer.get("access_token") if isinstance(answer, dict) else None
        lasts = answer.get("expires_in") if isinstance(answer, dict) else None
        return _token(found, "access_token", lasts)

    key = _key(config.name, auth.token_url, auth.client_id, auth.scope)
    return Fetched(key, store, fetch, _bearer)


def login(config: TargetConfig, auth: Login, store: TokenStore) -> Fetched:
    """Any call that answers with a token. The target's headers go along to its own address only."""
    own = "://" not in auth.call.path

    def outgoing() -> Outgoing:
        try:
            headers = config.headers if own else {}
            return fill_in("login", auth.call, config.base_url, {}, headers)
        except CannotRender as error:
            raise NoCredentials(Judgement("credentials", f"login: {error}")) from error

    def fetch(send: Send) -> Token:
        answer = _accepted(judge(Case("login"), send(outgoing())))
        lasts = extract.find(auth.expires, answer) if auth.expires else None
        return _token(extract.find(auth.token, answer), auth.token.text, lasts)

    def stamp_of(value: str) -> Stamp:
        return _header(auth.header, render_text(auth.value, {"token": value}), value)

    return Fetched(_key(config.name, config.base_url, auth.call.path), store, fetch, stamp_of)


FETCHED: Mapping[str, Callable[[TargetConfig, Any, TokenStore], Fetched]] = {
    "oauth2_client_credentials": client_credentials,
    "login": login,
}
"""The kinds of `auth:` that are fetched."""

_LATER = frozenset({"not_now", "fault", "misled"})


def _token_request(
    url: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None
) -> Outgoing:
    usual = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    body = encode_pairs(form.items()).encode()
    return Outgoing("login", "POST", "", url, {**usual, **(headers or {})}, body)


def _bearer(token: str) -> Stamp:
    return _header("Authorization", f"Bearer {token}", token)


def _header(name: str, value: str, secret: str) -> Stamp:
    return Stamp(headers={name: value}, secret=secret)


def _key(*parts: str) -> str:
    return sha256("\0".join(parts).encode()).hexdigest()[:32]


def _accepted(judgement: Judgement) -> Json:
    """The answer of a login that worked. Raises NoCredentials: a refused one is credentials."""
    if judgement.meaning == "done":
        return judgement.data
    meaning = judgement.meaning if judgement.meaning in _LATER else "credentials"
    result = judgement.result if judgement.status is None or judgement.status >= 300 else None
    raise NoCredentials(
        Judgement(meaning, f"login: {judgement.reason}", result, retry_after=judgement.retry_after)
    )


def _token(value: Json, place: str, lasts: Json) -> Token:
    if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
        raise NoCredentials(Judgement("credentials", f"login: no token in the answer at {place}"))
    now = time.time()
    ends = None if lasts is None else _end(lasts, now)
    if ends is None:
        return Token(text(value))
    return Token(text(value), ends - min(_MARGIN, _MARGIN_SHARE * max(0.0, ends - now)))


def _end(lasts: Json, now: float) -> float | None:
    """When a token ends: seconds from now, or a time. None where that cannot be read: it is then
    used until it is refused."""
    try:
        number = float(lasts)
    except (TypeError, ValueError):
        return _time(lasts)
    if number < _EPOCH:
        return now + number
    return number / 1000 if number >= _MILLISECONDS else number


def _time(written: Json) -> float | None:
    """ISO 8601 (UTC where it names no zone), or the form of an HTTP date."""
    for reader in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            read = reader(written)
        except (TypeError, ValueError, IndexError):
            continue
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    return None
