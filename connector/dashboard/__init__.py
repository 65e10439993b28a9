"""The pages for people: what came in, where it is, what a record says and why; and what to do.

An application of its own beside the receiver's. Invariant: until somebody asks for a page nothing
of it is loaded, and a webhook, a health check or a scrape never passes through it: sessions, forms
and limits cost them nothing. `app` puts the pages together, `access` says who may see which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Lock, Semaphore
from typing import Any

from redis.exceptions import RedisError

from connector.config import Config
from connector.redisdb import connect

PLAIN = ("webhooks", "healthz", "readyz", "metrics")
"""First parts of the addresses that are no pages."""

REDIS_SECONDS = 3.0
"""How long a page waits for Redis; the receiver waits far less."""

AT_ONCE, WAIT_SECONDS = 5, 0.5
"""Requests for pages that are worked on together, of the eight threads that webhooks need, too;
the next wait so long, and are then sent away. So a Redis that hangs delays no webhook."""

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Beside:
    """A WSGI application: the receiver's for its own addresses, the pages for every other."""

    def __init__(self, receiver: Wsgi, make_pages: Callable[[], Wsgi]) -> None:
        self._receiver = receiver
        self._make_pages = make_pages
        self._pages: Wsgi | None = None
        self._lock = Lock()
        self._slots = Semaphore(AT_ONCE)

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        if environ["PATH_INFO"].lstrip("/").partition("/")[0] in PLAIN:
            return self._receiver(environ, start_response)
        if environ["PATH_INFO"].startswith("/static/"):
            return self._page(environ, start_response)  # read from the disk
        if not self._slots.acquire(timeout=WAIT_SECONDS):
            return _unavailable(start_response, "the pages are busy; try again in a moment")
        try:
            return self._page(environ, start_response)
        finally:
            self._slots.release()

    def _page(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            pages = self._made()
        except RedisError:
            return _unavailable(start_response, "Redis is away; try again in a moment")
        return pages(environ, start_response)

    def _made(self) -> Wsgi:
        if self._pages is None:
            with self._lock:
                self._pages = self._pages or self._make_pages()
        return self._pages


def _unavailable(start_response: Callable[..., Any], why: str) -> Iterable[bytes]:
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")]
    start_response("503 Service Unavailable", headers)
    return [f"{why}\n".encode()]


def beside(receiver: Wsgi, config: Config, spooled: Callable[[], int | None]) -> Beside:
    """The receiver's application with the pages beside it. `spooled`: how many events are on the
    disk, None without a spool."""

    def make_pages() -> Wsgi:
        from connector.dashboard.app import create_app

        client = connect(config.redis_url, timeout=REDIS_SECONDS)
        return create_app(config, client, spooled).wsgi_app

    return Beside(receiver, make_pages)
