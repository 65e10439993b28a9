"""A journal of many events, written straight into Redis: to see that pages stay quick.

    python tests/pages/journal_of.py redis://127.0.0.1:6379/0 1000000

Half of the events went into a record each, the rest are unmapped; the phone number of event n ends
with n. About 0.6 kB of Redis and 50 µs each.
"""

from __future__ import annotations

import json
import sys
import zlib

from connector import journal
from connector.journal import Entry, Touched
from connector.model import Event, Name
from connector.records.layout import Parts, put_together
from connector.records.packed import pack_delivered, pack_merged
from connector.records.state import Delivered, Merged
from connector.redisdb import PREFIX, Redis, connect

FIRST_AT = 1_700_000_000_000_000
PAGE = 5000


def event(number: int) -> Event:
    """The event of that number, one each second."""
    told = {"ticket_id": number, "requester": {"phone_no": f"0912{number:06d}"}}
    body = json.dumps({"object": "ticket", "action": "update", "ticket": told}).encode()
    at = FIRST_AT + number * 1_000_000
    return Event("caresoft", "caresoft", f"{number:08x}{'e' * 56}", "ticket.update", body, at)


def entry(number: int) -> Entry:
    """As a worker left it."""
    if number % 2:
        return Entry(number, event(number), "unmapped", 1)
    name = Name("crm", "tickets", str(number))
    return Entry(number, event(number), "merged", 1, (Touched(name, 1),))


def write(client: Redis, count: int) -> None:
    """Events 1 to `count`, in place of what there was."""
    for start in range(1, count + 1, PAGE):
        pipe = client.pipeline(transaction=False)
        times = {}
        for number in range(start, min(start + PAGE, count + 1)):
            one = entry(number)
            text = journal._header(one) + zlib.compress(one.event.body, 1)
            pipe.set(f"{PREFIX}e:{number}", text)
            digest = journal.identity(one.event.source, one.event.id)
            pipe.set(f"{PREFIX}i:".encode() + digest, number)
            if number % 2 == 0:
                told, _ = pack_delivered(Delivered(1, exists=True, link=f"L{number}", at=1))
                parts = Parts(1, 1, pack_merged(Merged())[0], told, b"%d," % number)
                pipe.set(f"{PREFIX}r:crm:tickets:{number}", put_together(parts))
            times[number] = one.event.received_at
        pipe.zadd(f"{PREFIX}events", times)
        pipe.execute()
    client.set(f"{PREFIX}serial", count)


if __name__ == "__main__":
    write(connect(sys.argv[1]), int(sys.argv[2]))
