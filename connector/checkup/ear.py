"""HTTP calls as everywhere, each one heard: status, headers and time of every answer.

A probe must not be mistaken for a flood: calls keep to `rate_limit`, and a CRM that says when to
come back is asked again then, so that its limit is a finding and not the end of the run.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from connector.config.model import RateLimit
from connector.targets.answers import retry_after
from connector.targets.http import Answer, Http, Request, Result

_LONGEST_WAIT = 60.0  # seconds of a Retry-After that are waited for
_TRIES = 4
_HARMLESS = frozenset(
    {"accept", "content-length", "content-type", "host", "idempotency-key", "if-match", "origin"}
    | {"prefer", "referer", "user-agent", "x-http-method-override"}
)


@dataclass(frozen=True, slots=True)
class Heard:
    """One call and what came back. `path` is without its query, which may hold credentials."""

    method: str
    path: str
    result: Result


class Ear(Http):
    """`Http` that remembers. Thread-safe, as probes make some calls at the same time."""

    def __init__(self, limit: RateLimit | None = None) -> None:
        super().__init__(connections=4)
        self.heard: list[Heard] = []
        self.secrets: set[str] = set()
        """What headers carried that is nobody's business, fetched tokens among it."""
        self._pause = limit.seconds / limit.count if limit else 0.0
        self._next = 0.0
        self._turn = threading.Lock()

    def send(self, request: Request, timeout: float) -> Result:
        """As `Http.send`; a 429 that says when is waited out, up to a minute."""
        self._note_secrets(request)
        result: Result
        for _ in range(_TRIES):
            self._wait_for_turn()
            result = super().send(request, timeout)
            self.heard.append(Heard(request.method, urlsplit(request.url).path, result))
            wait = _told_to_wait(result)
            if wait is None or wait > _LONGEST_WAIT:
                break
            time.sleep(wait)
        return result

    def answers(self) -> list[Answer]:
        """Every answer, in the order of the calls."""
        return [heard.result for heard in self.heard if isinstance(heard.result, Answer)]

    def _note_secrets(self, request: Request) -> None:
        for name, value in request.headers.items():
            if name.lower() not in _HARMLESS:
                self.secrets.update((value, *value.split()[1:]))

    def _wait_for_turn(self) -> None:
        if not self._pause:
            return
        with self._turn:
            now = time.monotonic()
            wait = self._next - now
            self._next = max(now, self._next) + self._pause
        if wait > 0:
            time.sleep(wait)


def _told_to_wait(result: Result) -> float | None:
    """Seconds, of a 429 that says when to come back."""
    if isinstance(result, Answer) and result.status == 429:
        return retry_after(result.headers)
    return None
