"""A plan of thousands of events whose true effect is known beforehand, and then seen in the CRM.

2,000 events in the suite; `PLAN_EVENTS=10000 pytest tests/release/test_plan_truth.py -s` runs more,
and prints how long the plan took.
"""

from __future__ import annotations

import json
import os
from typing import Any

from office import T0, Office

from connector import assemble, journal
from connector.plan import Plan
from connector.replay import Replay

EVENTS = int(os.environ.get("PLAN_EVENTS", "2000"))

BEFORE = """\
source: caresoft
events: [ticket.update]
records:
  - resource: tickets
    id: ticket.ticket_id
    version: ticket.updated_at
    fields:
      subject: ticket.ticket_subject
      status:
        from: ticket.ticket_status
        values: {new: NEW, open: OPEN, pending: PENDING, solved: SOLVED, spam: SPAM}
"""

AFTER = """\
source: caresoft
events: [ticket.update]
records:
  - resource: tickets
    when: ticket.ticket_status != 'spam'
    id: ticket.ticket_id
    version: ticket.updated_at
    fields:
      subject: ticket.ticket_subject
      status:
        from: ticket.ticket_status
        values: {new: NEW, open: OPEN, pending: WAITING, solved: SOLVED, closed: CLOSED}
      code: integer(ticket.code)
  - resource: tickets
    when: ticket.ticket_status == 'spam'
    id: ticket.ticket_id
    action: delete
  - resource: archive
    when: ticket.ticket_status == 'solved'
    id: ticket.ticket_id
    fields: {subject: ticket.ticket_subject}
"""

STATUSES = ("new", "open", "pending", "solved", "closed", "spam", "new", "open", "open", "new")
"""That of ticket n is the one at n modulo 10; `code` is no number where n modulo 10 is 8."""


def _tickets(*wanted: int) -> set[str]:
    """The tickets whose number modulo 10 is among these."""
    return {str(n) for n in range(EVENTS // 2) if n % 10 in wanted}


def _send(office: Office) -> None:
    """Two updates of each ticket, all first ones first; the second changes the subject only."""
    source = assemble.open_sources(office.config)["caresoft"]
    found = []
    for number in range(EVENTS):
        ticket = number % (EVENTS // 2)
        fields = {
            "ticket_id": f"{ticket}",
            "updated_at": T0 + number,
            "ticket_subject": f"subject {number}",
            "ticket_status": STATUSES[ticket % 10],
            "code": "none" if ticket % 10 == 8 else str(ticket),
        }
        body = {"object": "ticket", "action": "update", "ticket": fields}
        found += source.preview(json.dumps(body).encode(), (T0 + number) * 1000)
    for start in range(0, len(found), 200):
        some = found[start : start + 200]
        assert journal.store(office.client, some) == len(some)


def _ids(found: Plan, what: str, resource: str) -> set[str]:
    return {name.id for name in getattr(found, what) if name.resource == resource}


def test_a_plan_tells_the_true_effect_of_an_edit(office: Office, fake_crm: Any) -> None:
    office.write("tickets.yaml", BEFORE)
    _send(office)
    office.work()
    made = len(fake_crm.calls())
    office.write("tickets.yaml", AFTER)

    found = office.plan()

    # closed ones could not be mapped before; code 'none' cannot be mapped after
    tenth = EVENTS // 20
    assert found.events == EVENTS
    assert _ids(found, "created", "tickets") == _tickets(4)
    assert _ids(found, "created", "archive") == _tickets(3)
    assert _ids(found, "deleted", "tickets") == _tickets(5)
    assert _ids(found, "changed", "tickets") == _tickets(0, 1, 2, 3, 6, 7, 8, 9)
    assert len(found.newly_failing) == len(found.newly_passing) == 2 * tenth
    assert {turn.entry.event.kind for turn in found.newly_failing} == {"ticket.update"}
    assert all(
        turn.error and turn.error.place and turn.error.place.line == 13
        for turn in found.newly_failing
    )
    assert found.newly_unmapped == ()
    fields = {(effect.resource, effect.field): effect.records for effect in found.fields}
    assert fields == {
        ("tickets", "code"): 8 * tenth,  # all that there are after it, without 3 (spam, none)
        ("tickets", "status"): 3 * tenth,  # pending, closed, and gone with the failing events
        ("tickets", "subject"): 2 * tenth,  # closed, and gone with the failing events
        ("archive", "subject"): tenth,
    }
    assert found.calls == 11 * tenth

    # and so it comes
    office.put()
    entries = journal.headers(office.client, list(found.to_replay))
    Replay(assemble.reconciler(office.config, office.client)).events(entries)
    office.work()
    assert len(fake_crm.calls()) - made == found.calls
    rows = {name: fake_crm.rows(name) for name in ("tickets", "archive")}
    assert rows["tickets"].keys() == _tickets(0, 1, 2, 3, 4, 6, 7, 8, 9)
    assert rows["archive"].keys() == _tickets(3)
    for number in _tickets(2):
        assert (rows["tickets"][number]["status"], rows["tickets"][number]["code"]) == (
            "WAITING",
            int(number),
        )
