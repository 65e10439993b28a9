"""Who may see which page: the table of what every page needs, and the guard that goes by it.

Invariants: a page that is not in `NEEDS` is nobody's; without users only this machine is answered,
and a request that any proxy has touched is not from this machine; what a browser is told about
itself (`HEADERS`) lets nothing run, load, frame or leak that is not ours.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from flask import Request

from connector.accounts import Permission

Need: TypeAlias = Permission | Literal["nothing"]

NEEDS: Mapping[str, Need] = {
    "static": "nothing",
    "login.show": "nothing",
    "login.sign_in": "nothing",
    "login.language": "nothing",
    "login.sign_out": "see",
    "overview.show": "see",
    "overview.live": "see",
    "overview.drifted": "see",
    "events.listed": "see",
    "events.one": "see",
    "events.by_id": "see",
    "events.revealed": "reveal",
    "events.replay": "replay",
    "records.listed": "see",
    "records.one": "see",
    "records.revealed": "reveal",
    "letters.listed": "see",
    "letters.retry": "letters",
    "letters.ask_drop": "letters",
    "letters.drop": "letters",
    "mappings.listed": "see",
    "mappings.version": "see",
    "mappings.download": "see",
    "mappings.edit": "preview",
    "mappings.save": "preview",
    "mappings.preview": "preview",
    "mappings.discard": "preview",
    "mappings.plan": "preview",
    "mappings.ask_publish": "publish",
    "mappings.publish": "publish",
    "mappings.ask_roll_back": "publish",
    "mappings.roll_back": "publish",
    "targets.listed": "see",
    "targets.pause": "targets",
    "targets.resume": "targets",
    "audit.listed": "audit",
}
"""What a page or an action asks of who asks for it (`accounts.MAY` says who has it)."""

HEAVY = frozenset(
    {
        "overview.drifted",
        "events.listed",
        "events.replay",
        "records.listed",
        "letters.listed",
        "letters.retry",
        "letters.ask_drop",
        "letters.drop",
        "mappings.edit",
        "mappings.preview",
        "mappings.plan",
        "mappings.ask_publish",
        "mappings.publish",
        "mappings.roll_back",
    }
)
"""What may take longer than a moment. Webhooks are answered by the same few threads, so only
`HEAVY_AT_ONCE` of these run at the same time; the next wait `HEAVY_SECONDS`, and are then told."""

HEAVY_AT_ONCE = 3
HEAVY_SECONDS = 2.0

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Sent with every page; the OWASP cheat sheet on HTTP headers says why."""

_BY_PROXIES = re.compile(r"forwarded|x-forwarded-.*|via|x-real-ip|x-client-ip|cf-connecting-ip")
_OWN_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


def is_local(request: Request) -> bool:
    """Whether a browser on this machine asks, for this machine, with no proxy between.

    The name that it asks for counts too: a page elsewhere may have pointed its own name here.
    """
    if any(_BY_PROXIES.fullmatch(name.lower()) for name in request.headers.keys()):  # noqa: SIM118
        return False
    host = re.sub(r":\d+$", "", request.host)
    return _is_loopback(request.remote_addr) and host in _OWN_NAMES


def _is_loopback(address: str | None) -> bool:
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False


def is_by_itself(request: Request) -> bool:
    """Whether a part of a page asks to be renewed: no sign that anybody is there."""
    return request.method == "GET" and request.headers.get("HX-Request") == "true"


def is_https(request: Request) -> bool:
    """Whether the browser came by https, as far as anybody says so: then cookies stay with it."""
    told = request.headers.get("X-Forwarded-Proto", "").partition(",")[0].strip()
    return request.is_secure or told == "https"


def safe_next(target: str | None) -> str | None:
    """The address within these pages that `target` is, or None where it leads anywhere else.

    A browser takes `\\` for `/`, and `//name` for another machine.
    """
    if not target or not re.fullmatch(r"/(?![/\\])[^\\\x00-\x20\x7f]*", target):
        return None
    parts = urlsplit(target)
    return None if parts.scheme or parts.netloc else target
