"""State put into Redis without going the whole way: events that wait, and records already known.

Events go through the journal's own `store`, so that they stand there as the receiver puts them.
Records are copies of one real record under other ids: what counts is how many there are.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from hashlib import sha256
from itertools import islice
from typing import Any

from bench.events import Events
from connector import journal
from connector.model import Event

_AT_ONCE = 500


def queue(client: Any, events: Events, source: str = "caresoft") -> None:
    """Store and enqueue events as the receiver would."""
    bodies = events.bodies()
    while page := list(islice(bodies, _AT_ONCE)):
        received = time.time_ns() // 1000
        journal.store(
            client,
            [
                Event(source, "caresoft", sha256(body).hexdigest(), "ticket.update", body, received)
                for body in page
            ],
        )


def know(client: Any, pattern: str, first: int, count: int) -> None:
    """Copy one delivered ticket, `pattern` its id, to `count` further ids from `first` on."""
    # Not known to older connectors, which the other benchmarks are run on, too (`--commit`).
    from connector.records.layout import put_together, take_apart

    original = take_apart(client.get(f"c:r:crm:tickets:{pattern}"))
    for numbers in _pages(range(first, first + count)):
        pipe = client.pipeline(transaction=False)
        for number in numbers:
            copy = original._replace(serials=b"%d," % number)
            pipe.set(f"c:r:crm:tickets:{number}", put_together(copy))
        pipe.execute()


def _pages(numbers: range) -> Iterator[range]:
    for at in range(0, len(numbers), _AT_ONCE):
        yield numbers[at : at + _AT_ONCE]
