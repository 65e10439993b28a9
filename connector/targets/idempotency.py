"""The key that one call carries over every repeat, and no other call carries (promise 5).

It covers target, record, number of the call, method, path and the body as sent. The number grows
with every definite answer and stays after an unknown one, so a call that is repeated because nobody
knows what became of it keeps its key, while a refused call that a person retries, or a value that
comes back later, gets a new one. Correctness never rests on the key: few CRMs look at it.
"""

from __future__ import annotations

import json
from hashlib import sha256

from connector.model import Name
from connector.targets.answers import Judgement
from connector.targets.calls import Outgoing


def key(name: Name, number: int, call: Outgoing) -> str:
    """Sixty-four hex digits."""
    head = [name.target, name.resource, name.id, number, call.method, call.path]
    return sha256(json.dumps(head).encode() + b"\n" + (call.body or b"")).hexdigest()


class Numbering:
    """The numbers of the writes of one delivery, from the `number` of the next one on.

    `in_doubt`: the last write may have reached the CRM and was not answered.
    """

    def __init__(self, name: Name, number: int) -> None:
        self.name = name
        self.number = number
        self.in_doubt = False

    def key(self, call: Outgoing) -> str:
        """The key that the call carries now."""
        return key(self.name, self.number, call)

    def note(self, judgement: Judgement) -> None:
        """A write was tried."""
        if judgement.definite:
            self.number += 1
            # What a repeat was refused with says nothing of the try before it.
            self.in_doubt = self.in_doubt and judgement.meaning != "done"
        elif judgement.unknown:
            self.in_doubt = True
