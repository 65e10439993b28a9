"""Credentials of a target: what they add to a call.

`stamp` gives headers and a query that no log shows. `renew` throws a refused stamp away and says
whether a fresh one can be had: the only answer to a 401 besides pausing the target. Credentials
that stand in the configuration are here; those that must be fetched are in `tokens`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from connector.config.model import Auth, Basic
from connector.targets.answers import Judgement
from connector.targets.calls import Outgoing
from connector.targets.http import Result
from connector.targets.template import encode_pairs


@dataclass(frozen=True, slots=True)
class Stamp:
    """What goes along with a call. `secret` is to be masked besides the configured ones."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)


Send = Callable[[Outgoing], Result]
"""Makes one call without credentials and writes it into the log of the delivery."""


class NoCredentials(Exception):
    """A token could not be had; the judgement says why."""

    def __init__(self, judgement: Judgement) -> None:
        super().__init__(judgement.reason)
        self.judgement = judgement


class Credentials(Protocol):
    """Thread-safe."""

    def stamp(self, send: Send) -> Stamp:
        """What to add to a call; may make a call of its own. Raises NoCredentials."""

    def renew(self, refused: Stamp) -> bool:
        """Forgets a stamp that the CRM refused; whether a fresh one is to be had."""


class Fixed:
    """Credentials that stand in the configuration: a refusal is final."""

    def __init__(self, stamp: Stamp) -> None:
        self._stamp = stamp

    def stamp(self, send: Send) -> Stamp:
        return self._stamp

    def renew(self, refused: Stamp) -> bool:
        return False


def open_credentials(auth: Auth) -> Credentials:
    """The credentials that a target's `auth:` describes."""
    return _KINDS[auth.type](auth)


def basic_header(username: str, password: str) -> str:
    """RFC 7617, in UTF-8."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def _basic(auth: Basic) -> Credentials:
    return _header("Authorization", basic_header(auth.username, auth.password))


def _header(name: str, value: str) -> Credentials:
    return Fixed(Stamp(headers={name: value}))


_KINDS: Mapping[str, Callable[[Any], Credentials]] = {
    "none": lambda auth: Fixed(Stamp()),
    "bearer": lambda auth: _header("Authorization", f"Bearer {auth.token}"),
    "basic": _basic,
    "header": lambda auth: _header(auth.name, auth.value),
    "query": lambda auth: Fixed(Stamp(query=encode_pairs([(auth.name, auth.value)]))),
}
