"""The key that one call carries over every repeat, and no other call carries (promise 5).

It covers target, record, number of the call, method, path and the body as sent. The number grows
with every definite answer and stays after an unknown one, so a call that is repeated because nobody
knows what became of it keeps its key, while a refused call that a person retries, or a value that
comes back later, gets a new one. It grows as well when the call differs from the last one that was
not answered: of three calls that write a, b and a again, the third is not the first. Correctness
never rests on the key: few CRMs look at it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Protocol

from connector import compact
from connector.model import Delivery, Name
from connector.targets.answers import Judgement
from connector.targets.calls import Outgoing


def key(name: Name, number: int, call: Outgoing) -> str:
    """Sixty-four hex digits."""
    head = [name.target, name.resource, name.id, number, call.method, call.path]
    return sha256(_head(head).encode() + b"\n" + (call.body or b"")).hexdigest()


_head = compact.writer(ascii_only=True, spaced=True)
"""As `json.dumps`: keys outlive a new version of this project."""


def mark(call: Outgoing) -> str:
    """Twelve hex digits that tell a call from others of the same record, whatever its number."""
    head = _head([call.method, call.path]).encode()
    return sha256(head + b"\n" + (call.body or b"")).hexdigest()[:12]


class Numbers(Protocol):
    """What numbers the writes of a line."""

    def key(self, call: Outgoing) -> str:
        """The key that the call carries now."""

    def note(self, judgement: Judgement) -> None:
        """A write was tried."""


class Numbering:
    """The numbers of the writes of one delivery, from that of the `order`'s next one on.

    `in_doubt`: the last write may have reached the CRM and was not answered. `unheard` is the mark
    of the last unanswered call, from this delivery or from one before; while there is a doubt
    `write_down` is told of each call's number and mark before it is made, so that they outlive a
    crash. What it raises comes out.
    """

    def __init__(
        self, order: Delivery, write_down: Callable[[int, str], None] | None = None
    ) -> None:
        self.name = order.name
        self.number = order.number
        self.in_doubt = False
        self.unheard = order.unheard
        self._doubted = order.in_doubt
        self._write_down = write_down
        self._current: Outgoing | None = None
        self._written = ""

    def key(self, call: Outgoing) -> str:
        """The key that the call carries now."""
        self._current = call
        if self._doubted or self.unheard:
            current = mark(call)
            if self.unheard and self.unheard != current:
                self.number += 1
            self.unheard = current
            self._keep()
        return key(self.name, self.number, call)

    def _keep(self) -> None:
        line = f"{self.number} {self.unheard}"
        if self._write_down and line != self._written:
            self._write_down(self.number, self.unheard)
            self._written = line

    def note(self, judgement: Judgement) -> None:
        """A write was tried."""
        if judgement.definite:
            self.number += 1
            self.unheard = ""
            # What a repeat was refused with says nothing of the try before it.
            self.in_doubt = self.in_doubt and judgement.meaning != "done"
        elif judgement.unknown:
            self.in_doubt = True
            self.unheard = mark(self._current) if self._current else ""  # it carries no keys


class BatchNumbering:
    """The numbers of a batch's records: each call is one call of every record in it.

    The key covers all of them, so the same records with the same fields carry the same key while
    it is not known what became of them, and any other batch another one.
    """

    def __init__(self, orders: Sequence[Delivery]) -> None:
        self.numbers = {order.name: order.number for order in orders}
        self.in_doubt = False
        self.unheard = ""
        self._current = ""

    def key(self, call: Outgoing) -> str:
        """The key that the call carries now."""
        self._current = mark(call)
        names = [[*name, number] for name, number in sorted(self.numbers.items())]
        head = _head(["batch", names, call.method, call.path])
        return sha256(head.encode() + b"\n" + (call.body or b"")).hexdigest()

    def note(self, judgement: Judgement) -> None:
        """A batch was tried."""
        if judgement.definite:
            self.numbers = {name: number + 1 for name, number in self.numbers.items()}
            self.in_doubt, self.unheard = self.in_doubt and judgement.meaning != "done", ""
        elif judgement.unknown:
            self.in_doubt, self.unheard = True, self._current
