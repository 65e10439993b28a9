"""Credentials that must be fetched: OAuth 2 tokens, and a login of any kind.

A token is shared by all who use the same store, which may be common to all workers. It is renewed
a little before it ends, by one of them at a time, while the others go on with the old one; and when
the CRM refuses it. Its value never stands in a log: answers to these calls are not kept.

A refresh token may be good for one exchange only (RFC 6749 section 6). So the one that came last
is kept in the store besides the access token, no two workers exchange it at the same time, and
where it is refused the configured one is tried.
"""

from __future__ import annotations

import html
import json
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Any, Protocol, TypeGuard
from urllib.parse import unquote
from uuid import uuid4

from connector import turns
from connector.config.model import (
    Call,
    ClientCredentials,
    Expression,
    Login,
    RefreshToken,
    TargetConfig,
    TokenAt,
)
from connector.model import Json
from connector.targets import extract
from connector.targets.answers import Case, Judgement, judge
from connector.targets.auth import NoCredentials, Send, Stamp, basic_header
from connector.targets.calls import Outgoing, fill_in
from connector.targets.cookies import Cookie, cookies_in
from connector.targets.http import Answer
from connector.targets.template import NAMES, CannotRender, encode_pairs, render_text, text

_MARGIN = 30.0  # seconds before its end that a token is no longer used
_MARGIN_SHARE = 0.1  # of its life, for one that lives shorter than ten margins
_EARLY = 2.0  # margins before its end that somebody renews it
_EARLY_AGAIN = 10.0  # seconds until that is tried again where it failed
_POLL = 0.05  # seconds between looks whether another has fetched the token
_EPOCH = 1e9  # a greater number of `expires:` is a time, not seconds from now
_MILLISECONDS = 1e11  # a greater time counts milliseconds (docs/mapping-language.md, `timestamp`)

_LITERAL: Mapping[str, Json] = {name: f"{{{name}}}" for name in NAMES}
"""What looks like a placeholder in a login, in a password from the environment, say, is none."""

_JAVA = re.compile(r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) (\d\d) ([\d:]{8}) ([A-Z]{2,4}) (\d{4})")
_HOURS_EAST = {"ICT": 7, "UTC": 0, "GMT": 0}


@dataclass(frozen=True, slots=True)
class Token:
    """`until`: not to be used after this time (seconds since the epoch); None: until refused.
    `stale`: from then on a fresh one is to be had. `cookies`: what goes along with it, as the
    header `Cookie` says it; without a token of its own they are the `value`."""

    value: str = field(repr=False)
    until: float | None = None
    stale: float | None = None
    cookies: str = field(default="", repr=False)


class TokenStore(Protocol):
    """Where tokens are kept, thread-safe; a lost or late entry costs one more login."""

    def get(self, key: str) -> Token | None:
        """The token kept under the key; it may have ended."""

    def put(self, key: str, token: Token) -> None:
        """Keeps a token."""

    def drop(self, key: str, value: str) -> None:
        """Forgets the token if it still is the one of this value."""

    def claim(self, key: str, who: str, seconds: float) -> bool:
        """Whether it is now for `who` alone to fetch the token, for so many seconds."""

    def unclaim(self, key: str, who: str) -> None:
        """Lets others fetch it, if it still was for `who`."""

    def keeps(self) -> bool:
        """Whether what is put now is there for all who share the store."""


class MemoryTokens:
    """Tokens of one process."""

    def __init__(self) -> None:
        self._tokens: dict[str, Token] = {}
        self._claims: dict[str, tuple[str, float]] = {}
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

    def claim(self, key: str, who: str, seconds: float) -> bool:
        with self._lock:
            _, until = self._claims.get(key, ("", 0.0))
            if until > time.monotonic():
                return False
            self._claims[key] = (who, time.monotonic() + seconds)
            return True

    def unclaim(self, key: str, who: str) -> None:
        with self._lock:
            if self._claims.get(key, ("", 0.0))[0] == who:
                del self._claims[key]

    def keeps(self) -> bool:
        return True


class Fetched:
    """Credentials by a token. `fetch` gets a fresh one within `seconds`, `stamp_of` says where it
    goes."""

    def __init__(
        self,
        key: str,
        store: TokenStore,
        seconds: float,
        fetch: Callable[[Send], Token],
        stamp_of: Callable[[Token], Stamp],
    ) -> None:
        self._key = key
        self._store = store
        self._seconds = seconds
        self._fetch = fetch
        self._stamp_of = stamp_of

    def stamp(self, send: Send, outgoing: Outgoing) -> Stamp:
        """As `Credentials.stamp`; fetches a token where none is good."""
        token = self._store.get(self._key)
        return self._stamp_of(token if _fresh(token) else self._renewed(send))

    def renew(self, refused: Stamp) -> bool:
        """As `Credentials.renew`; if another has renewed it meanwhile, its token serves."""
        self._store.drop(self._key, refused.secrets[0])
        return True

    def _renewed(self, send: Send) -> Token:
        """A token fetched by us, or by whoever does it at this moment."""
        who, late = uuid4().hex, time.monotonic() + self._seconds
        while not (claimed := self._store.claim(self._key, who, self._seconds)):
            token = self._store.get(self._key)
            if _usable(token):
                return token
            if time.monotonic() >= late:
                break  # it died over it, or its store is another one now
            turns.sleep(_POLL)
        try:
            token = self._store.get(self._key)
            return token if _fresh(token) else self._fetched(send, token)
        finally:
            if claimed:
                self._store.unclaim(self._key, who)

    def _fetched(self, send: Send, old: Token | None) -> Token:
        try:
            token = self._fetch(send)
        except NoCredentials:
            if not _usable(old):
                raise
            token = replace(old, stale=time.time() + _EARLY_AGAIN)
        self._store.put(self._key, token)
        return token


def _usable(token: Token | None) -> TypeGuard[Token]:
    return token is not None and (token.until is None or token.until > time.time())


def _fresh(token: Token | None) -> TypeGuard[Token]:
    return _usable(token) and (token.stale is None or token.stale > time.time())


def client_credentials(config: TargetConfig, auth: ClientCredentials, store: TokenStore) -> Fetched:
    """RFC 6749 section 4.4."""
    form = {"grant_type": "client_credentials", **_scope(auth.scope), **auth.params}
    ask = _asking(auth.token_url, auth.client_id, auth.client_secret)

    def fetch(send: Send) -> Token:
        return _oauth_token(_accepted(ask(send, form)))

    key = _key(config.name, auth.token_url, auth.client_id, auth.scope)
    return Fetched(key, store, _longest(config, 2), fetch, _bearer)


def refresh_token(config: TargetConfig, auth: RefreshToken, store: TokenStore) -> Fetched:
    """RFC 6749 section 6."""
    form = {"grant_type": "refresh_token", **_scope(auth.scope), **auth.params}
    ask = _asking(auth.token_url, auth.client_id, auth.client_secret)
    key = _key(config.name, auth.token_url, auth.client_id, auth.scope, auth.refresh_token)

    def exchange(send: Send, refresh: str) -> Json:
        return _accepted(ask(send, {**form, "refresh_token": refresh}))

    def fetch(send: Send) -> Token:
        return _oauth_token(_exchanged(store, key, auth.refresh_token, send, exchange))

    return Fetched(key, store, _longest(config, 4), fetch, _bearer)


def login(config: TargetConfig, auth: Login, store: TokenStore) -> Fetched:
    """Any call that answers with a token or sets a cookie, maybe after another that has a token for
    it. The target's headers go along to its own address only."""
    said = json.dumps([auth.call.body, dict(auth.call.query)], sort_keys=True, default=str)
    place = _shown(auth.token) if auth.token else ""
    key = _key(config.name, config.base_url, auth.call.path, said, place, *auth.cookies)
    refresh = _refresh_token_in(auth.call.body)

    def ask(send: Send, call: Call, values: Mapping[str, Json], cookies: str = "") -> Judgement:
        headers = {} if "://" in call.path else config.headers
        carried = {"Cookie": cookies} if cookies else {}
        try:
            outgoing = fill_in("login", call, config.base_url, values, headers, carried)
        except CannotRender as error:
            raise NoCredentials(Judgement("credentials", f"login: {error}")) from error
        return judge(Case("login"), send(outgoing))

    def exchange(send: Send, token: str) -> Json:
        body = {**auth.call.body, "refresh_token": token}
        return _accepted(ask(send, replace(auth.call, body=body), _LITERAL))

    def fetch(send: Send) -> Token:
        if refresh is not None:
            answer = _exchanged(store, key, refresh, send, exchange)
            return _login_token(auth, answer, None, [], config.timezone)
        before: list[Cookie] = []
        values = dict(_LITERAL)
        if auth.first:
            judgement = _page(ask(send, auth.first.call, values))
            before = _set_in(judgement)
            values["token"] = _found(auth.first.token, judgement.data, judgement, before)
            if values["token"] in (None, ""):
                reason = f"login: no token at {_shown(auth.first.token)} in the answer to `first:`"
                raise NoCredentials(Judgement("credentials", reason))
        judgement = ask(send, auth.call, values, _header_of(before))
        after = _set_in(judgement)
        # A form that was filled in well leads on to a page, which is not followed.
        elsewhere = auth.token is None or isinstance(auth.token, TokenAt)
        moved = bool(after) and judgement.status in (302, 303) and elsewhere
        answer = None if moved else _accepted(judgement)
        cookies = list({cookie.name: cookie for cookie in (*before, *after)}.values())
        return _login_token(auth, answer, judgement, cookies, config.timezone)

    def stamp_of(token: Token) -> Stamp:
        headers = {"Cookie": token.cookies} if token.cookies else {}
        if auth.token:
            headers[auth.header] = render_text(auth.value, {"token": token.value})
        values = (pair.partition("=")[2] for pair in token.cookies.split("; "))
        return Stamp(headers, secrets=(token.value, *values))

    return Fetched(key, store, _longest(config, 2), fetch, stamp_of)


FETCHED: Mapping[str, Callable[[TargetConfig, Any, TokenStore], Fetched]] = {
    "oauth2_client_credentials": client_credentials,
    "oauth2_refresh_token": refresh_token,
    "login": login,
}
"""The kinds of `auth:` that are fetched."""

_LATER = frozenset({"not_now", "fault", "misled"})


def _asking(
    url: str, client_id: str, client_secret: str | None
) -> Callable[[Send, Mapping[str, str]], Judgement]:
    """Makes token requests. The client names itself in the form, as most servers take it; one that
    refuses that is asked with HTTP Basic, which section 2.3.1 has all servers support."""
    named = {"client_id": client_id, **({"client_secret": client_secret} if client_secret else {})}
    ways: list[tuple[Mapping[str, str], Mapping[str, str]]] = [(named, {})]
    if client_secret:
        ways.append(({}, {"Authorization": basic_header(client_id, client_secret)}))

    def ask(send: Send, form: Mapping[str, str]) -> Judgement:
        judgement = Judgement("credentials", "")
        for fields, headers in list(ways):
            outgoing = _token_request(url, {**form, **fields}, headers)
            judgement = judge(Case("login"), send(outgoing))
            if judgement.status not in (400, 401) or _grant_refused(judgement):
                break
            ways.reverse()  # whichever works is asked first the next time
        return judgement

    return ask


def _grant_refused(judgement: Judgement) -> bool:
    """The client is known; what it offers is not good (any more)."""
    answer = judgement.data
    return isinstance(answer, dict) and answer.get("error") == "invalid_grant"


def _token_request(url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> Outgoing:
    usual = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    body = encode_pairs(form.items()).encode()
    return Outgoing("login", "POST", "", url, {**usual, **headers}, body)


def _scope(scope: str) -> dict[str, str]:
    return {"scope": scope} if scope else {}


def _oauth_token(answer: Json) -> Token:
    found = answer.get("access_token") if isinstance(answer, dict) else None
    lasts = answer.get("expires_in") if isinstance(answer, dict) else None
    return _token(found, "access_token", lasts)


def _exchanged(
    store: TokenStore,
    key: str,
    configured: str,
    send: Send,
    exchange: Callable[[Send, str], Json],
) -> Json:
    """The answer to a refresh-token exchange; a new refresh token in it is kept before anything
    else is done. Where it could not be kept nothing is exchanged: the old one would be lost."""
    if not store.keeps():
        reason = "login: no refresh token is exchanged while Redis is away, which keeps the next"
        raise NoCredentials(Judgement("not_now", reason))
    kept = store.get(f"{key}-refresh")
    try:
        answer = exchange(send, kept.value if kept else configured)
    except NoCredentials as error:
        if kept is None or error.judgement.meaning != "credentials":
            raise
        store.drop(f"{key}-refresh", kept.value)
        answer = exchange(send, configured)
    rotated = answer.get("refresh_token") if isinstance(answer, dict) else None
    if isinstance(rotated, str) and rotated and rotated != (kept.value if kept else configured):
        store.put(f"{key}-refresh", Token(rotated))
    return answer


def _refresh_token_in(body: Json) -> str | None:
    """The refresh token of a login that is an exchange, as its body says it."""
    if not isinstance(body, dict) or body.get("grant_type") != "refresh_token":
        return None
    given = body.get("refresh_token")
    return given if isinstance(given, str) else None


def _set_in(judgement: Judgement) -> list[Cookie]:
    answer = judgement.result
    return cookies_in(answer.set_cookies) if isinstance(answer, Answer) else []


def _header_of(cookies: Sequence[Cookie]) -> str:
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in cookies)


def _page(judgement: Judgement) -> Judgement:
    """The answer to `first:`, which may well be a page. Raises NoCredentials."""
    if judgement.status is None or judgement.status >= 300:
        _accepted(judgement)
    return judgement


def _shown(place: Expression | TokenAt) -> str:
    return place.text if isinstance(place, Expression) else f"{place.where} {place.text}"


def _found(
    place: Expression | TokenAt, data: Json, judgement: Judgement | None, cookies: Sequence[Cookie]
) -> Json:
    """What stands at the place of a token; None where nothing does."""
    if isinstance(place, Expression):
        return extract.find(place, data)
    answer = judgement.result if judgement else None
    if place.where == "cookie":  # some frameworks write it percent-encoded, and want it plain
        return next((unquote(item.value) for item in cookies if item.name == place.text), None)
    if not isinstance(answer, Answer):
        return None
    if place.where == "header":
        return answer.headers.get(place.text)
    match = re.search(place.text, answer.content.decode("utf-8", "replace"))
    return html.unescape(match[1] or "") if match else None


def _login_token(
    auth: Login,
    answer: Json,
    judgement: Judgement | None,
    cookies: Sequence[Cookie],
    zone: tzinfo,
) -> Token:
    """What a login has brought: a token, cookies, or both. Raises NoCredentials."""
    wanted = [item for item in cookies if item.name in auth.cookies or "*" in auth.cookies]
    missing = set(auth.cookies) - {cookie.name for cookie in wanted} - {"*"}
    if missing or (auth.cookies and not wanted):
        names = ", ".join(sorted(missing)) or "at all"
        raise NoCredentials(Judgement("credentials", f"login: no cookie {names} in the answer"))
    header = _header_of(wanted)
    lasts = extract.find(auth.expires, answer) if auth.expires else None
    if lasts is None:
        lasts = min((cookie.ends for cookie in wanted if cookie.ends is not None), default=None)
    if auth.token is None:
        return replace(_token(header, "cookies", lasts, zone), cookies=header)
    found = _found(auth.token, answer, judgement, cookies)
    return replace(_token(found, _shown(auth.token), lasts, zone), cookies=header)


def _bearer(token: Token) -> Stamp:
    return Stamp({"Authorization": f"Bearer {token.value}"}, secrets=(token.value,))


def _longest(config: TargetConfig, requests: int) -> float:
    """Seconds that fetching a token may take, with so many requests at the most."""
    return requests * config.timeout + 5.0


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


def _token(value: Json, place: str, lasts: Json, zone: tzinfo = UTC) -> Token:
    if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
        raise NoCredentials(Judgement("credentials", f"login: no token in the answer at {place}"))
    now = time.time()
    ends = None if lasts is None else _end(lasts, now, zone)
    if ends is None:
        return Token(text(value))
    margin = min(_MARGIN, _MARGIN_SHARE * max(0.0, ends - now))
    return Token(text(value), ends - margin, ends - _EARLY * margin)


def _end(lasts: Json, now: float, zone: tzinfo) -> float | None:
    """When a token ends: seconds from now, or a time. None where that cannot be read: it is then
    used until it is refused."""
    try:
        number = float(lasts)
    except (TypeError, ValueError):
        return _time(lasts, zone)
    if number < _EPOCH:
        return now + number
    return number / 1000 if number >= _MILLISECONDS else number


def _time(written: Json, zone: tzinfo) -> float | None:
    """As `timestamp` of the mappings reads it (docs/mapping-language.md), or an HTTP date."""
    if not isinstance(written, str):
        return None
    java = _JAVA.fullmatch(written.strip())
    if java and java[4] in _HOURS_EAST:
        written = f"{java[2]} {java[1]} {java[5]} {java[3]} +{_HOURS_EAST[java[4]]:02}00"
    for reader in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            read = reader(re.sub(r"^(\d{4})/(\d\d)/(\d\d)", r"\1-\2-\3", written))
        except (TypeError, ValueError, IndexError):
            continue
        return (read if read.tzinfo else read.replace(tzinfo=zone)).timestamp()
    return None
