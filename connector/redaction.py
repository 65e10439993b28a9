"""Takes secrets and personal data out of what leaves the connector for logs, Sentry and alerts.

Two rules, and everything that is written down for operators' tools goes through both:

- what stands under a telling key (`phone`, `note`, `body`, …) is replaced as a whole;
- in every other text, whatever looks like a secret, an e-mail address or a telephone number is.

A name or a note cannot be told from other text by its look. So bodies and values are never given
to a log in the first place, and what an exception quotes is left out (`of_error`). The journal and
the command line show what was received: they are for people who may see it.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from connector.errors import Invalid, RedisUnfit, SenderError, TryAgain
from connector.targets import masking

if TYPE_CHECKING:
    from connector.config import Config

SECRET, EMAIL, PHONE, LEFT_OUT = "[secret]", "[email]", "[phone]", "[left out]"

_SHORTEST = 4  # a shorter text would be found everywhere, and is no secret

_GUARDED = (
    r"(?:[\w-]*(?:password|passwd|pwd|secret|token|api[_-]?key|credential|assertion|signature)"
    r"|authorization|cookie|set-cookie|x-hub-signature|x-mevent-signature)"
)
_PRIVATE = (
    r"(?:[\w-]*(?:phone|mobile|e?mail|address|birthday|birthdate)"
    r"|tel|fax|caller|called|callee|(?:full|first|last|middle|user|display|customer|contact)_?name"
    r"|requester|subject|notes?|comments?|content|description|message_text|body|payload|answer"
    r"|fields|values?|raw|data|request|form|cookies|query_string)"
)

_PATTERNS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    # user:password@ of an address
    (re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]*(?=@)"), SECRET),
    # Authorization: Bearer …, wherever it is quoted
    (re.compile(r"\b(Bearer|Basic|Digest) +[\w.~+/=-]{4,}", re.IGNORECASE), rf"\1 {SECRET}"),
    # token=…, "password": "…", secret: …
    (
        re.compile(
            rf"(?P<word>\b{_GUARDED}[\"']?\s*[=:]\s*)"
            r"(?:\"(?:[^\"\\]|\\.)*\"|'[^']*'|(?!\[)[^\s,;&\"'}\])]+)",
            re.IGNORECASE,
        ),
        rf"\g<word>{SECRET}",
    ),
    # the signature of a vendor: mac=<hex>, sha1=<hex>
    (re.compile(r"\b(mac|sha1|sha256) ?= ?[0-9a-f]{16,}", re.IGNORECASE), rf"\1={SECRET}"),
    (re.compile(r"[\w.+'-]+@[\w-]+(?:\.[\w-]+)+"), EMAIL),
    # +84 90 123 45 67, and any other with its country
    (re.compile(r"(?<![\w.])\+\d(?:[ .()-]{0,2}\d){6,14}(?!\w)"), PHONE),
    # 090 123 4567, 0901.234.567, 84901234567, 024 3936 1234
    (re.compile(r"(?<![\w.-])\(?(?:84[ .-]?|0)[235789]\d\)?(?:[ .-]?\d){6,8}(?![\w-])"), PHONE),
)

_QUOTED = re.compile(r"""(?<!\w)'[^']*'(?!\w)|"[^"]*"|`[^`]*`|“[^”]*”|‘[^’]*’|«[^»]*»""")

_GUARDED_KEY = re.compile(_GUARDED, re.IGNORECASE)
_PRIVATE_KEY = re.compile(_PRIVATE, re.IGNORECASE)


_SAYS_NO_VALUE = (
    SenderError,
    Invalid,
    RedisUnfit,
    TryAgain,
    RedisConnectionError,
    RedisTimeoutError,
    OSError,
    ImportError,
    AttributeError,
    NameError,
    TypeError,
)


class Redaction:
    """What hides the texts that it was told of, and everything that looks like one to hide."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None
        self.hide(secrets)

    def hide(self, secrets: Iterable[str]) -> None:
        """Hide these texts from now on, too, as they are and percent-encoded."""
        self._known |= {text for text in secrets if len(text) >= _SHORTEST}
        forms = {form for text in self._known for form in (text, quote(text, safe=""))}
        longest_first = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if forms else None

    def text(self, text: str) -> str:
        """A text without what must not be seen."""
        if self._pattern is not None:
            text = self._pattern.sub(SECRET, text)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return text

    def value(self, key: str, value: Any) -> Any:
        """What stands under a key: data, however deep. Numbers, dates and None stay."""
        if _GUARDED_KEY.fullmatch(key):
            return SECRET
        if _PRIVATE_KEY.fullmatch(key):
            return LEFT_OUT
        return self._inner(key, value)

    def data(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """A map with every value judged by its key."""
        return {key: self.value(str(key), value) for key, value in data.items()}

    def _inner(self, key: str, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return self.data(value)
        if isinstance(value, list | tuple | set | frozenset):
            return [self._inner(key, item) for item in value]
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, BaseException):
            return self.of_error(value)
        if isinstance(value, bytes | bytearray | memoryview):
            return LEFT_OUT
        return self.text(str(value))

    def of_error(self, error: BaseException) -> str:
        """What an exception says. Ours for the sender and the integrator, and those about the
        machine or the code, say nothing of a record. What others quote, or name after a colon, may
        be a value of one, and is left out."""
        said = str(error)
        # Those of requests are OSErrors, too, and hold the address with its ids.
        of_requests = type(error).__module__.startswith("requests")
        if of_requests or not isinstance(error, _SAYS_NO_VALUE):
            head, colon, _ = _QUOTED.sub("…", said).partition(": ")
            said = f"{head}: …" if colon else head
        return self.text(said)


def secrets_of(config: Config) -> Iterator[str]:
    """Every secret that a configuration holds."""
    yield from (part for part in (urlsplit(config.redis_url).password,) if part)
    if config.dashboard.session_key:
        yield config.dashboard.session_key
    yield from (user.password for user in config.users.values())
    if config.alerts.url:
        yield from (config.alerts.url, urlsplit(config.alerts.url).path)
    for source in config.sources.values():
        if source.kind == "caresoft":
            yield from source.secrets
        else:
            yield from (secret for app in source.apps for secret in app.secrets)
    for target in config.targets.values():
        yield from masking.secrets_of(target)
