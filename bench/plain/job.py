"""The plain job: map the ticket by hand and PUT it. Run by a stock, forking `rq worker`.

The fields are those of the shipped mapping for tickets, so that both sides do the same work and
leave the same rows.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import Any

import requests

STATUSES = {
    "new": "NEW",
    "open": "OPEN",
    "pending": "PENDING",
    "solved": "SOLVED",
    "closed": "CLOSED",
}
PRIORITIES = {"low": "LOW", "normal": "NORMAL", "high": "HIGH", "urgent": "URGENT"}


def deliver(body: bytes) -> None:
    """Bring one event to the CRM; what it refuses or cannot take is left to RQ's failed jobs."""
    ticket = json.loads(body)["ticket"]
    url = f"{os.environ['CRM_URL']}/tickets/{ticket['ticket_id']}"
    response = requests.put(url, json=fields_of(ticket), timeout=10)
    response.raise_for_status()


def fields_of(ticket: dict[str, Any]) -> dict[str, Any]:
    """The ticket as the CRM wants it."""
    custom = {field["field"]: field for field in ticket["addition_fields"]}
    return {
        "number": int(ticket["ticket_no"]),
        "subject": ticket["ticket_subject"],
        "status": STATUSES[ticket["ticket_status"].lower()],
        "priority": PRIORITIES[ticket["ticket_priority"].lower()],
        "source": ticket["ticket_source"].lower(),
        "service_id": str(ticket["service_id"]),
        "contact": str(ticket["requester_id"]),
        "assignee_id": str(ticket["assignee_id"]),
        "created_at": timestamp(ticket["created_at"]),
        "updated_at": timestamp(ticket["updated_at"]),
        "status_changed_at": timestamp(ticket["last_change_status_at"]),
        "category": custom["addition_field2"]["value"],
        "category_id": str(custom["addition_field2"]["value_id"]),
        "remark": custom["addition_field3"]["value"] or None,
        "custom_fields": {name: field["value"] for name, field in custom.items()},
    }


def timestamp(milliseconds: int) -> str:
    """ISO 8601 with three digits of a second."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03d}Z"
