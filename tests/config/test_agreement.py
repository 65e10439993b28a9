"""What mappings ask of a CRM that its configuration cannot give, as `config check` tells it."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from connector.agreement import disagreements
from connector.mapping.load import set_from_texts

MAPPING = """\
source: caresoft
events: [{kind}]
records:
  - resource: tickets
    id: ticket.ticket_id
    fields:
      subject: ticket.ticket_subject
      owner: {{from: ticket.assignee_name, write: {write}}}
"""
PUT = "{strategy: put}"
PATCH = "{strategy: patch}"
READ = 'read: {path: "/tickets/{external_id}"}'
SEARCH = 'search: {path: /tickets, query: {q: "{external_id}"}}'


@pytest.fixture
def told(loaded):
    """told(tickets, write, kind): message, hint and place of every disagreement."""

    def tell(tickets, write="always", kind="ticket.create", more=""):
        config = loaded(
            "targets:\n  crm:\n    base_url: http://crm\n    resources:\n"
            f"      tickets: {{{tickets}}}\n"
        )
        texts = {"tickets.yaml": MAPPING.format(write=write, kind=kind) + more}
        mapping_set = set_from_texts(
            texts,
            sources={"caresoft": "caresoft"},
            targets=["crm"],
            timezone=ZoneInfo("Asia/Ho_Chi_Minh"),
        )
        return list(disagreements(config.targets, mapping_set))

    return tell


@pytest.mark.parametrize("write", ["if_empty", "unless_edited"])
def test_policy_without_a_way_to_look_is_an_error_at_its_field(told, write):
    (found,) = told(f"upsert: {PATCH}", write)
    assert not found.doubtful
    place = found.problem.place
    assert (place.file, place.line, place.column) == ("tickets.yaml", 8, 7)
    assert str(found.problem).endswith(
        f"`write: {write}` needs a look at what the CRM holds: tickets of crm has no `read:` "
        "(give `read:` under targets.crm.resources.tickets)"
    )


@pytest.mark.parametrize(
    "way", [READ, f"external_id_field: x, upsert: {{strategy: post, {SEARCH}}}"]
)
@pytest.mark.parametrize("write", ["if_empty", "unless_edited", "on_create"])
def test_policy_with_a_read_or_a_search_is_fine(told, way, write):
    assert told(way if "upsert" in way else f"upsert: {PATCH}, {way}", write) == []


def test_on_create_needs_a_look_only_where_all_fields_are_sent(told):
    assert told(f"upsert: {PATCH}", "on_create") == []
    (found,) = told(f"upsert: {PATCH}, send: all", "on_create")
    assert "where updates send all fields" in found.problem.message


def test_replacing_what_one_rule_tells_whole_is_fine(told):
    assert told(f"upsert: {PUT}") == []


SECOND = """\
---
source: caresoft
events: [ticket.merge]
records:
  - resource: tickets
    id: ticket.ticket_id
    fields: {merged: {value: true}}
"""


def test_replacing_without_a_read_is_doubtful_where_a_rule_tells_a_part(told):
    (found,) = told(f"upsert: {PUT}", more=SECOND)
    assert found.doubtful
    assert found.problem.message.startswith(
        "tickets of crm is replaced as a whole, without `read:`: a record that an event tells only "
        "a part of loses the rest (tickets, first seen here: merged)"
    )
    assert "strategy patch" in found.problem.hint
    assert (found.problem.place.line, found.problem.place.column) == (4, 5)


def test_replacing_with_a_read_and_changing_without_one_are_fine(told):
    assert told(f"upsert: {PUT}, {READ}", more=SECOND) == []
    assert told(f"upsert: {PATCH}", more=SECOND) == []
    assert told(f"upsert: {PATCH}, send: all", more=SECOND) == []


def test_event_that_tells_only_changes_is_a_part(told):
    (found,) = told(f"upsert: {PUT}", kind="user.update")
    assert "what the event does not name" in found.problem.message


def test_set_that_was_never_told_whole_is_a_part(told):
    more = "      tags: {from: ticket.tags, merge: set}\n"
    (found,) = told(f"upsert: {PUT}", more=more)
    assert "a set of which only an addition was told" in found.problem.message
