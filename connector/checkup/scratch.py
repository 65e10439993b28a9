"""The scratch rows of one run: which may be in the CRM, and taking them away again.

Invariant: an id is written down here before the call that may create its row goes out, and is
crossed out only when the CRM was seen without it. So whatever ends a run, `sweep` knows what to
look for; what it cannot take away it names.
"""

from __future__ import annotations

import random
import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Literal, TypeAlias

from connector.checkup.finding import Left
from connector.targets.conversation import Link

IdKind: TypeAlias = Literal["text", "digits", "uuid"]

PREFIX = "connector-check"
"""What scratch ids begin with, so that a person knows them; those of digits cannot."""


class Ledger:
    """Scratch ids, each with the CRM's own ids of its rows as far as they were told."""

    def __init__(
        self,
        note: Callable[[str, Link], None] = lambda scratch_id, link: None,
        crossed_out: Callable[[str], None] = lambda scratch_id: None,
    ) -> None:
        """`note` is told of every row before it can be there, and of its id once that is told;
        `crossed_out` of every id that was seen to be gone."""
        self._note, self._crossed_out = note, crossed_out
        self._rows: dict[str, set[Link]] = {}
        self._made: Counter[str] = Counter()
        self._unanswered: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._tried: Counter[str] = Counter()

    def may_exist(self, scratch_id: str) -> None:
        """A call that creates a row of this id is about to be made."""
        if scratch_id not in self._rows:
            self._note(scratch_id, None)
        self._rows.setdefault(scratch_id, set())
        self._unanswered[scratch_id] += 1
        self._tried[scratch_id] += 1

    def answered(self, scratch_id: str) -> None:
        """It was answered, whatever the answer."""
        self._unanswered[scratch_id] -= 1

    def refused(self, scratch_id: str) -> None:
        """A create of this id was refused, and not by an accident."""
        self._refused[scratch_id] += 1

    def never_was(self, scratch_id: str) -> bool:
        """Whether every create of this id was refused, and nobody saw a row of it."""
        seen = self._rows.get(scratch_id)
        return self._refused[scratch_id] == self._tried[scratch_id] and not seen

    def exists(self, scratch_id: str, link: Link) -> None:
        """A row of this id was seen; `link` is the CRM's own id, None where it has none."""
        rows = self._rows.setdefault(scratch_id, set())
        if link is not None and link not in rows:
            self._note(scratch_id, link)
        rows.add(link)

    def made(self, scratch_id: str, link: Link) -> None:
        """A create of this id was answered 2xx."""
        self.exists(scratch_id, link)
        self._made[scratch_id] += 1

    def is_doubtful(self, scratch_id: str) -> bool:
        """Whether a create of this id was not answered: the CRM may do it yet."""
        return self._unanswered[scratch_id] > 0

    def lacks_links(self, scratch_id: str) -> bool:
        """Whether more creates were answered than ids of the CRM were told."""
        told = len(self._rows.get(scratch_id, set()) - {None})
        return told < self._made[scratch_id]

    def link(self, scratch_id: str) -> Link:
        """The CRM's own id of a row of this id; None where none is known."""
        return next((link for link in self._rows.get(scratch_id, ()) if link is not None), None)

    def links(self, scratch_id: str) -> list[Link]:
        """All that are known of this id."""
        return sorted(self._rows.get(scratch_id, ()), key=str)

    def gone(self, scratch_id: str) -> None:
        """The CRM was seen without any row of this id."""
        self._crossed_out(scratch_id)
        self._rows.pop(scratch_id, None)
        for counter in (self._made, self._unanswered, self._refused, self._tried):
            counter.pop(scratch_id, None)

    def open(self) -> list[str]:
        """The ids of which rows may be there."""
        return list(self._rows)


INTERRUPTED = "the clearing up was interrupted"


def sweep(ledger: Ledger, resource: str, remove: Callable[[str], Iterable[Left]]) -> list[Left]:
    """Takes every scratch row away; what is left. A second Ctrl-C ends it, and is told."""
    left: list[Left] = []
    waiting = ledger.open()
    while waiting:
        try:
            left += remove(waiting[-1])
            waiting.pop()
        except KeyboardInterrupt:
            for each in waiting:
                left += _unswept(ledger, resource, each, INTERRUPTED)
            break
        except Exception as error:  # whatever it is, the other rows must go
            left += _unswept(ledger, resource, waiting.pop(), repr(error))
    return left


def _unswept(ledger: Ledger, resource: str, scratch_id: str, why: str) -> list[Left]:
    links = ledger.links(scratch_id) or [None]
    return [Left(resource, scratch_id, link, why) for link in links]


def new_id(kind: IdKind) -> str:
    """A fresh scratch id."""
    return _NEW[kind]()


def kind_of(ids: Iterable[str]) -> IdKind:
    """What the ids of a resource look like, all of them; text where there are none."""
    known = list(ids)
    for kind, pattern in _PATTERNS.items():
        if known and all(pattern.fullmatch(each) for each in known):
            return kind
    return "text"


_PATTERNS: dict[IdKind, re.Pattern[str]] = {
    "digits": re.compile(r"[1-9]\d{0,18}"),
    "uuid": re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
}

_NEW: dict[IdKind, Callable[[], str]] = {
    "text": lambda: f"{PREFIX}-{uuid.uuid4().hex[:10]}",
    # Fits a column of 32 bits, and is far above what vendors have counted up to.
    "digits": lambda: str(random.randint(1_900_000_000, 2_147_483_647)),  # noqa: S311 - no secret
    "uuid": lambda: str(uuid.uuid4()),
}
