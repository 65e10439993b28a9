"""What of an answer may be kept and shown: without the target's secrets, and not too much of it.

A CRM may answer with the request in it (header dumps, debug pages), so every configured secret is
looked for in whatever is kept: as it is, percent-encoded and as it stands inside JSON.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

from connector.config.model import Basic, Call, Hmac, TargetConfig
from connector.model import Json
from connector.targets.proxies import proxy_headers
from connector.targets.template import names_in

LONGEST = 2000
"""Characters of an answer that are kept."""

MASK = "***"
_SHORTEST = 4  # a shorter text would be found everywhere, and is no secret

_HARMLESS = re.compile(
    "accept.*|cache-control|content-type|host|if-(none-)?match|odata-.*|origin|prefer|referer|"
    "user-agent|x-http-method(-override)?|x-requested-with"
)
_SURELY = re.compile(
    r"(^|.*[_-])(api_?key|(access_?|auth_?)?token|secret|password|pwd)", re.IGNORECASE
)
"""In calls of records, where a `sort_key` is no secret."""
_SECRET_KEYS = re.compile(r"pass|secret|token|key|pwd|credential|assertion|code", re.IGNORECASE)

_KEY_IN_PATH = re.compile(r"(?=[^/]*\d)[\w-]{16,}")
"""What in the path of a `base_url` may be a key, as CRMs have it that give webhook addresses."""


class Mask:
    """Hides texts. `hiding` gives a mask that hides some more, and remembers the last."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = frozenset(secret for secret in secrets if len(secret) >= _SHORTEST)
        forms = sorted({form for s in self._secrets for form in _forms(s)}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, forms))) if forms else None
        self._wider: tuple[tuple[str, ...], Mask] | None = None

    def hiding(self, secrets: tuple[str, ...]) -> Mask:
        """A mask that hides these texts, too."""
        wider = self._wider
        if wider is None or wider[0] != secrets:
            wider = self._wider = (secrets, Mask({*self._secrets, *secrets}))
        return wider[1]

    def text(self, text: str) -> str:
        """`text` with every secret replaced."""
        return self._pattern.sub(MASK, text) if self._pattern else text

    def json(self, data: Json) -> Json:
        """JSON with every secret replaced, in keys, too."""
        if isinstance(data, str):
            return self.text(data)
        if isinstance(data, dict):
            return {self.text(key): self.json(value) for key, value in data.items()}
        if isinstance(data, list):
            return [self.json(item) for item in data]
        return data

    def answer(self, data: Json) -> Json:
        """An answer as it is kept: JSON, or the beginning of its text where it is long."""
        text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
        return self.json(data) if len(text) <= LONGEST else self.beginning(text)

    def beginning(self, text: str) -> str:
        """The first `LONGEST` characters; masked first, so that no secret is cut in two."""
        text = self.text(text[: 4 * LONGEST])
        return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def secrets_of(target: TargetConfig) -> Iterator[str]:
    """All that a target sends and nobody else should see."""
    yield from _OF_AUTH.get(target.auth.type, lambda _: ())(target.auth)
    yield from _of_proxy(target.proxy)
    yield from _KEY_IN_PATH.findall(urlsplit(target.base_url).path)
    yield target.tls.key_password
    yield from _of_headers(target.headers)
    for resource in target.resources.values():
        upsert = resource.upsert
        together = resource.batch.call if resource.batch else None
        calls = (upsert.call, upsert.search, upsert.create, upsert.update, resource.read, together)
        for call in (*calls, resource.delete, target.check):
            yield from _of_call(call) if call else ()


def _forms(secret: str) -> Iterator[str]:
    yield from (secret, quote(secret, safe=""), quote_plus(secret))
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])


def _of_headers(headers: Mapping[str, str]) -> Iterator[str]:
    for name, value in headers.items():
        if not _HARMLESS.fullmatch(name.lower()) and not names_in(value):
            yield value
            yield from value.split()[1:]  # what follows `Bearer` or the like


def _of_basic(auth: Basic) -> Iterator[str]:
    pair = f"{auth.username}:{auth.password}".encode()
    yield from (auth.password, base64.b64encode(pair).decode())


def _of_call(call: Call) -> Iterator[str]:
    yield from _of_headers(call.headers)
    yield from _leaves([call.body, call.query], lambda key: bool(_SURELY.fullmatch(key)))


def _of_login(call: Call) -> Iterator[str]:
    yield from _of_headers(call.headers)
    yield from _leaves([call.body, call.query])


def _of_proxy(proxy: str | None) -> Iterator[str]:
    """The password, as written and as meant, and what the proxy is shown of it."""
    if not proxy:
        return
    password = urlsplit(proxy).password or ""
    yield from (password, unquote(password))
    yield from (header.partition(" ")[2] for header in proxy_headers(proxy).values())


def _of_hmac(auth: Hmac) -> Iterator[str]:
    yield auth.secret
    for value in (auth.value, *auth.headers.values(), *auth.query.values()):
        if not re.search(r"\{[a-z_]+\}", value):  # a key that stands there as it is
            yield value


def _tells(key: str) -> bool:
    return bool(_SECRET_KEYS.search(key))


def _leaves(
    data: Json, tells: Callable[[str], bool] = _tells, *, secret: bool = False
) -> Iterator[str]:
    """The texts that stand under a key which tells that they are secret."""
    if isinstance(data, str) and secret and not names_in(data):
        yield data
    elif isinstance(data, Mapping):
        for key, value in data.items():
            yield from _leaves(value, tells, secret=secret or tells(key))
    elif isinstance(data, list | tuple):
        for item in data:
            yield from _leaves(item, tells, secret=secret)


_OF_AUTH: Mapping[str, Callable[[Any], Iterable[str]]] = {
    "bearer": lambda auth: [auth.token],
    "basic": _of_basic,
    "header": lambda auth: [auth.value, *auth.value.split()[1:]],
    "query": lambda auth: [auth.value],
    "oauth2_client_credentials": lambda auth: [
        auth.client_secret,
        *_leaves(auth.params),
    ],
    "oauth2_refresh_token": lambda auth: [
        auth.refresh_token,
        auth.client_secret or "",
        *_leaves(auth.params),
    ],
    "login": lambda auth: [
        *_of_login(auth.call),
        *(_of_login(auth.first.call) if auth.first else ()),
    ],
    "hmac": _of_hmac,
}
