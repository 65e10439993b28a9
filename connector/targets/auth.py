"""Credentials of a target: what they add to a call.

`stamp` gives headers and a query that no log shows. `renew` throws a refused stamp away and says
whether a fresh one can be had: the only answer to a 401 besides pausing the target. Credentials
that stand in the configuration are here; those that must be fetched are in `tokens`, those that
are made from the call itself in `signing`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, Protocol

from connector.config.model import Auth, Basic, Hmac
from connector.frozen import dataclass
from connector.targets.answers import Judgement
from connector.targets.calls import Outgoing
from connector.targets.http import Result
from connector.targets.signing import signer
from connector.targets.template import encode_pairs


@dataclass(frozen=True, slots=True)
class Stamp:
    """What goes along with a call. `secrets` are to be masked besides the configured ones; the
    first is the token by which a refused stamp is known."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: str = field(default="", repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


Send = Callable[[Outgoing], Result]
"""Makes one call without credentials and writes it into the log of the delivery."""


class NoCredentials(Exception):
    """A token could not be had; the judgement says why."""

    def __init__(self, judgement: Judgement) -> None:
        super().__init__(judgement.reason)
        self.judgement = judgement


class Credentials(Protocol):
    """Thread-safe."""

    def stamp(self, send: Send, outgoing: Outgoing) -> Stamp:
        """What to add to a call; may make a call of its own. Raises NoCredentials."""

    def renew(self, refused: Stamp) -> bool:
        """Forgets a stamp that the CRM refused; whether a fresh one is to be had."""


class Fixed:
    """Credentials that stand in the configuration: a refusal is final."""

    def __init__(self, stamp: Stamp) -> None:
        self._stamp = stamp

    def stamp(self, send: Send, outgoing: Outgoing) -> Stamp:
        return self._stamp

    def renew(self, refused: Stamp) -> bool:
        return False


def open_credentials(auth: Auth) -> Credentials:
    """The credentials that a target's `auth:` describes."""
    return _KINDS[auth.type](auth)


def basic_header(username: str, password: str) -> str:
    """RFC 7617, in UTF-8."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


class Signed:
    """Every call carries a signature of its own; a refused one is final."""

    def __init__(self, auth: Hmac) -> None:
        self._sign = signer(auth)

    def stamp(self, send: Send, outgoing: Outgoing) -> Stamp:
        headers, query = self._sign(outgoing)
        return Stamp(headers, query)

    def renew(self, refused: Stamp) -> bool:
        return False


def _basic(auth: Basic) -> Credentials:
    return _header("Authorization", basic_header(auth.username, auth.password))


def _header(name: str, value: str) -> Credentials:
    return Fixed(Stamp(headers={name: value}))


_KINDS: Mapping[str, Callable[[Any], Credentials]] = {
    "none": lambda auth: Fixed(Stamp()),
    "bearer": lambda auth: _header("Authorization", f"Bearer {auth.token}"),
    "basic": _basic,
    "header": lambda auth: _header(auth.name, auth.value),
    "hmac": Signed,
    "query": lambda auth: Fixed(Stamp(query=encode_pairs([(auth.name, auth.value)]))),
}
