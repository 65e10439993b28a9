"""What the benchmarks send: signed ticket updates of CareSoft, and what must come of them.

Bodies are the documented `ticket.update` with other values, so that they have the size and the
words of real ones. Three shapes:

    ticket   one record: a changed ticket without a comment
    full     three records: the ticket, its comment, and the phone call behind it
    contact  one record: the customer that tickets refer to
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "tests" / "samples" / "caresoft"

SECRET = "bench"
CONTACTS = 200
"""Customers that the tickets belong to; they are made known before anything is measured."""

_TICKET, _CALL, _CONTACT = "ticket.update-5.json", "ticket.update-4.json", "user.create-2.json"
TEMPLATES = (_TICKET, _CALL, _CONTACT)
"""The documented bodies that events are made of."""

FIRST_CONTACT = 63_000_000
_MILLISECONDS = 1_700_000_000_000

Json: TypeAlias = Any
Shape: TypeAlias = Literal["ticket", "full", "contact"]


@dataclass(frozen=True, slots=True)
class Events:
    """`count` events from number `first` on. `records` 0: each is about a ticket of its own, else
    they go round so many tickets."""

    shape: Shape = "ticket"
    first: int = 1
    count: int = 1
    records: int = 0

    def bodies(self) -> Iterator[bytes]:
        """The bodies, in order."""
        for number in range(self.first, self.first + self.count):
            yield json.dumps(self.document(number), ensure_ascii=False).encode()

    def document(self, number: int) -> Json:
        """One event. Later numbers are later versions of their ticket."""
        return _SHAPES[self.shape](self.record(number), number)

    def record(self, number: int) -> int:
        """Which ticket an event is about."""
        return number % self.records + 1 if self.records else number

    def newest(self) -> Mapping[str, str]:
        """Path of every row that must be in the CRM afterwards → what its last body must hold."""
        if self.shape == "contact":
            return {
                f"/contacts/{FIRST_CONTACT + number}": _name(number)
                for number in range(self.first, self.first + self.count)
            }
        return {
            f"/tickets/{self.record(number)}": subject(number)
            for number in range(self.first, self.first + self.count)
        }


def sign(body: bytes) -> str:
    """The header `X-Hub-Signature` of a body."""
    return "sha1=" + hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest()


def subject(number: int) -> str:
    """The subject of a ticket as event `number` tells it."""
    return f"Khách hàng hỏi về đơn hàng số {number}"


def _name(number: int) -> str:
    return f"Nguyễn Thị Lan {number}"


def _ticket(record: int, number: int) -> Json:
    body = _sample(_TICKET)
    del body["ticket"]["addition_field42"]  # a slip of the document: the list leaves it out
    version = _MILLISECONDS + number * 7
    body["ticket"] |= {
        "ticket_id": record,
        "ticket_no": record,
        "ticket_subject": subject(number),
        "ticket_status": ("new", "open", "pending", "solved", "closed")[number % 5],
        "requester_id": FIRST_CONTACT + record % CONTACTS,
        "assignee_id": 1000 + record % 37,
        "service_id": 3000 + record % 11,
        "created_at": _MILLISECONDS - record,
        "updated_at": version,
        "last_change_status_at": version,
        "ticket_comment": {**body["ticket"]["ticket_comment"], "ticket_id": record, "comment": ""},
    }
    body["ticket"]["addition_fields"][2]["value"] = f"Gọi lại sau {number % 90} phút, mã {number:x}"
    return body


def _full(record: int, number: int) -> Json:
    body = _ticket(record, number)
    version = _MILLISECONDS + number * 7
    call = _sample(_CALL)
    body["ticket"]["ticket_comment"] |= {
        "comment": call["ticket"]["ticket_comment"]["comment"].replace("9999", f"{number}"),
        "created_at": version,
        "updated_at": version,
    }
    body["call_info"] = call["call_info"] | {
        "call_id": f"20211006100454-EXGPSDDQ-{number}",
        "start_time": version - 60_000,
        "answer_time": version - 50_000,
        "end_time": version,
    }
    return body


def _contact(_: int, number: int) -> Json:
    body = _sample(_CONTACT)
    body["user"] |= {
        "id": FIRST_CONTACT + number,
        "username": _name(number),
        "updated_at": _MILLISECONDS + number,
    }
    return body


_SHAPES: Mapping[Shape, Callable[[int, int], Json]] = {
    "ticket": _ticket,
    "full": _full,
    "contact": _contact,
}


def _sample(name: str) -> Json:
    return json.loads(_text(name))


@lru_cache(maxsize=8)
def _text(name: str) -> str:
    return (SAMPLES / name).read_text()
