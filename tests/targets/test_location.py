"""Ids that an answer to a create tells in a header alone."""

import pytest

from connector.config.model import Call
from connector.targets.location import id_in_location

FAST = "search_lag: 0.05"
BASE = "https://crm.example/api"
VALUES = {"resource": "contacts", "external_id": "7"}


def found(path, header, *, create="/contacts", name="Location", base=BASE):
    calls = [Call("PATCH", path)]
    return id_in_location({name: header}, base + create, base, calls, VALUES)


@pytest.mark.parametrize(
    ("path", "header", "expected"),
    [
        ("/{resource}/{crm_id}", "https://crm.example/api/contacts/12", 12),
        ("/{resource}/{crm_id}", "http://behind-a-proxy:8080/api/contacts/12", 12),
        ("/{resource}/{crm_id}", "/api/contacts/12", 12),
        ("/{resource}/{crm_id}/", "/api/contacts/12/", 12),
        ("/{resource}/{crm_id}", "/api/contacts/12/?expand=all", 12),
        ("/{resource}/{crm_id}", "contacts/a-b_c", "a-b_c"),
        ("/{resource}/{crm_id}", "/api/contacts/0012", "0012"),
        ("/{resource}/{crm_id}", "/api/contacts/12345678901234567890", "12345678901234567890"),
        ("/{resource}/{crm_id}", "/api/contacts/a%2Fb", None),
        ("/{resource}({crm_id})", "contacts(8f14e45f-ceea)", "8f14e45f-ceea"),
        ("/{resource}('{crm_id}')", "/api/contacts('x%20y')", "x y"),
        ("/{resource}/{crm_id}/fields", "/api/contacts/12/fields", 12),
        ("/{resource}/{crm_id}", "/api/tickets/12", None),
        ("/{resource}/{crm_id}", "/api/contacts/", None),
        ("/{resource}/{crm_id}", "/api/contacts/12/notes", None),
        ("/{resource}/{crm_id}", "", None),
        ("/{resource}/{external_id}", "/api/contacts/12", None),
        ("/links/{crm_id}/{crm_id}", "/api/links/1/1", None),
    ],
)
def test_id_stands_in_an_address_of_the_shape_of_the_resources_calls(path, header, expected):
    assert found(path, header) == expected


def test_dataverse_tells_it_in_a_header_of_its_own():
    header = "https://org.crm.dynamics.com/api/data/v9.2/contacts(8f14e45f)"
    base = "https://org.crm.dynamics.com/api/data/v9.2"
    assert found("/{resource}({crm_id})", header, name="OData-EntityId", base=base) == "8f14e45f"


RESOURCE = """
    crm_id: id
    external_id_field: ext
    upsert:
      strategy: search_then_write
      search: {path: /t, query: {ext: "{external_id}"}}
      create: {path: /t}
      update: {path: "/t/{crm_id}"}
"""
NO_SEARCH = """
    crm_id: id
    external_id_field: ext
    upsert: {strategy: create_then_update, create: {path: /t}, update: {path: "/t/{crm_id}"}}
"""


def answering(crm, status, location, hits=()):
    """A CRM that finds nothing before the create, and then `hits`."""

    def answer(seen):
        if seen.method == "GET":
            return crm.reply(200, list(hits) if "POST /t" in crm.calls else [])
        return crm.reply(status, None, {"Location": location})

    crm.otherwise = answer


@pytest.mark.parametrize("tickets", [RESOURCE, NO_SEARCH], ids=["search", "no search"])
@pytest.mark.parametrize("status", [201, 204])
def test_create_that_answers_with_an_address_alone_is_linked(crm, configure, tickets, status):
    answering(crm, status, f"{crm.url}/t/12")
    report = configure(tickets).upsert()
    assert (report.meaning, report.link, report.warnings) == ("done", 12, ())
    assert crm.calls[-1] == "POST /t", "nothing need be searched for"


def test_address_by_our_own_id_is_not_taken_for_the_crms(crm, configure):
    answering(crm, 201, "/t/9999", hits=[{"id": 5, "ext": "9999"}])
    assert configure(RESOURCE, FAST).upsert().link == 5


def test_id_in_the_body_comes_before_the_address(crm, configure):
    crm.say(201, {"id": "abc"}, headers={"Location": "/t/12"})
    assert configure(NO_SEARCH).upsert().link == "abc"


def test_address_in_the_answer_to_an_update_is_no_link(crm, configure):
    crm.say(204, None, headers={"Location": "/t/13"})
    assert configure(NO_SEARCH).upsert(link=12, delivered=True).link == 12
