"""What every page stands on: the configuration, Redis, and the rooms behind them.

Invariant: a page does nothing itself; what it shows and does comes from the rooms that the command
line uses, too. What a person does is noted here, in one place.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, TypeVar

from flask import render_template, request
from flask_login import current_user
from redis.exceptions import OutOfMemoryError

from connector import audit, release
from connector.accounts import Person
from connector.audit import Action
from connector.config import Config
from connector.errors import MappingInvalid
from connector.mapping.load import MappingSet
from connector.reconcile import Reconciler
from connector.redisdb import Redis

log = logging.getLogger(__name__)

T = TypeVar("T")

_REMEMBERED = 1000
"""Things remembered at the most; then all are worked out anew."""


class Remembered:
    """What takes long to work out, for a while; worked out by one thread at a time."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: dict[str, tuple[float, Any]] = {}

    def get(self, what: str, seconds: float, make: Callable[[], T]) -> T:
        """What `make` gave at most so many seconds ago."""
        with self._lock:
            made_at, value = self._known.get(what, (float("-inf"), None))
            if time.monotonic() - made_at > seconds:
                if len(self._known) >= _REMEMBERED:
                    self._known.clear()
                value = make()
                self._known[what] = (time.monotonic(), value)
            return value  # type: ignore[no-any-return]

    def forget(self) -> None:
        """Work everything out anew."""
        with self._lock:
            self._known.clear()


@dataclass(frozen=True, slots=True)
class Room:
    """One installation. `spooled`: how many events are on the disk; None without a spool."""

    config: Config
    client: Redis
    reconciler: Reconciler
    spooled: Callable[[], int | None]
    remembered: Remembered = field(default_factory=Remembered)

    def set_in_force(self) -> tuple[int, MappingSet] | None:
        """The set in force and its number; None where there is none to work by."""
        try:
            return self.reconciler.in_force.get(self.client)
        except MappingInvalid:
            return None

    def resources(self) -> frozenset[tuple[str, str]]:
        """Every (target, resource) that the set in force writes."""
        found = self.set_in_force()
        return found[1].resources if found else frozenset()

    def standing(self) -> release.Standing:
        """How the mappings folder stands to the set in force, as of a moment ago."""
        return self.remembered.get(
            "standing", 15.0, lambda: release.standing(self.config, self.client)
        )

    def note(self, action: Action, what: str = "", detail: str = "", who: str = "") -> None:
        """Put an action into the audit log; into the process' own log where Redis is full."""
        name, address = who or person().name, request.remote_addr or ""
        try:
            audit.note(self.client, self.config.audit, name, action, what, detail, address)
        except OutOfMemoryError:
            about = {"who": name, "action": action, "what": what, "address": address}
            log.warning("Redis is full: an entry of the audit log stands only here", extra=about)


def person() -> Person:
    """Who asks. Only for pages that need something: the guard has let nobody else through."""
    found: Person = current_user.person
    return found


def page(template: str, **values: Any) -> str:
    """A page made of its template."""
    return render_template(template, **values)
