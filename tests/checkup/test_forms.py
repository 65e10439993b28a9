"""A CRM that wants bodies, methods or places other than configured: found out, and gone on with."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from checkup.conftest import TARGET as ODD_TARGET
from checkup.conftest import Desk, Odd

MAPPING = """\
source: caresoft
events: [ticket.create, ticket.update]
target: crm
records:
  - resource: t
    id: concat('t-', ticket.ticket_id)
    fields:
      subject: ticket.ticket_subject
      note: ticket.ticket_status
      n: ticket.ticket_id
"""

TARGET = """\
auth: {type: none}
search_lag: 0.3
resources:
  t:
    upsert:
      strategy: search_then_write
      search: {path: /t, query: {ext: "{external_id}"}, found: items}
    external_id_field: ext
    crm_id: id
    read: {path: "/t/{crm_id}"}
"""


@pytest.fixture
def plain(desk: Desk, fake_crm: Any) -> Desk:
    desk.map(MAPPING)
    desk.configure(fake_crm.url, TARGET)
    return desk


FORMS: list[tuple[str, dict[str, str]]] = [
    (
        "wrapped",
        {
            "create.form": "body: {data: '{fields}'}",
            "create": "crm_id: data.id",
            "read": "read: {path: '/t/{crm_id}', record: data}",
        },
    ),
    (
        "listed",
        {
            "create.form": "body: ['{fields}']",
            "create": "crm_id: '[0].id'",
            "read": "read: {path: '/t/{crm_id}', record: '[0]'}",
        },
    ),
    ("strings", {"create.form": "values: strings"}),
    ("forms", {"create.form": "headers: {Content-Type: application/x-www-form-urlencoded}"}),
    ("origin", {"create.form": r"headers: {Origin: 'http://127.0.0.1:\d+'}"}),
    ("forbids_reading", {"read": "read: null"}),
    ("needs_subject", {"update.form": "send: all"}),
    (
        "only_post",
        {
            "update.form": "method: POST\n    path: /{resource}/{crm_id}\n"
            "    headers: {X-HTTP-Method-Override: PATCH}",
            "delete.form": "method: POST\n  path: /{resource}/{crm_id}\n"
            "  headers: {X-HTTP-Method-Override: DELETE}",
        },
    ),
]


@pytest.mark.parametrize(("manner", "advice"), FORMS, ids=[form[0] for form in FORMS])
def test_another_form_that_the_crm_takes_is_found_and_used(
    plain: Desk, fake_crm: Any, manner: str, advice: dict[str, str]
) -> None:
    fake_crm.behave(manners=[manner])
    checked = plain.check()
    for probe, config in advice.items():
        assert checked.suits(probe) is False
        told = checked.probes[probe]["config"]
        assert config in told or re.fullmatch(config, told), told
    assert "latency" in checked.probes, "the probes went to their end"
    assert (checked.code, checked.out["left_behind"], fake_crm.rows("t")) == (1, [], {})


def test_the_advice_about_a_wrapped_body_suits_once_it_is_followed(
    plain: Desk, fake_crm: Any
) -> None:
    fake_crm.behave(manners=["wrapped", "only_post"])
    better = yaml.safe_load(plain.check().out["config"])["targets"]["crm"]["resources"]["t"]
    followed = yaml.safe_load(TARGET)
    followed["resources"]["t"] |= {**better, "hit_id": "id"}
    plain.configure(fake_crm.url, yaml.safe_dump(followed))
    fake_crm.behave(manners=["wrapped", "only_post"])
    checked = plain.check()
    assert (checked.bad, checked.code, fake_crm.rows("t")) == ({}, 0, {})


def test_hits_that_are_elsewhere_than_configured_are_found(plain: Desk, fake_crm: Any) -> None:
    plain.configure(fake_crm.url, TARGET.replace(", found: items", ", found: data"))
    fake_crm.behave(manners=["substring"])
    checked = plain.check()
    assert "found: items" in checked.bad["search.found"]
    assert (checked.bad.keys(), fake_crm.rows("t")) == ({"search.found"}, {})


def test_a_field_that_is_wanted_in_every_write_is_found(plain: Desk, fake_crm: Any) -> None:
    plain.map(MAPPING.replace("note: ticket.ticket_status", "phone: ticket.ticket_status"))
    fake_crm.behave(manners=["needs_subject"])
    checked = plain.check()
    assert "n by itself: 400" in checked.probes["update.alone"]["found"]
    assert checked.probes["update.alone"]["config"] == "send: all"


def test_an_id_that_the_crm_cuts_is_told(plain: Desk, fake_crm: Any) -> None:
    fake_crm.behave(manners=["cuts_text"])
    checked = plain.check()
    assert (
        "ext does not keep our id: sent 'connector-check-" in checked.probes["external_id"]["found"]
    )
    assert (checked.out["left_behind"], fake_crm.rows("t")) == ([], {})


@pytest.mark.parametrize("manner", ["fails_at_first", "flickers"])
def test_a_fault_that_passes_is_no_finding(plain: Desk, fake_crm: Any, manner: str) -> None:
    fake_crm.behave(manners=[manner])
    checked = plain.check()
    assert (checked.bad, fake_crm.rows("t")) == ({}, {})


def test_a_key_that_a_call_uses_up_is_told(plain: Desk, fake_crm: Any) -> None:
    fake_crm.behave(manners=["keys_once"])
    found = plain.check().probes["idempotency_key"]
    assert (found["found"], found["config"]) == (
        "the same Idempotency-Key again is answered 409",
        "idempotency_header: null",
    )


def test_a_create_that_every_form_is_refused_of_leaves_nothing_to_be_named(
    plain: Desk, fake_crm: Any
) -> None:
    fake_crm.behave("403", methods=["POST", "DELETE"])
    checked = plain.check()
    assert (checked.code, checked.out["left_behind"]) == (1, [])
    assert "no scratch record could be created: 403" in checked.out["stopped"]


BATCH = """\
    batch:
      path: /t/batch
      body: {rows: "{records}"}
      item: {ext: "{external_id}", "**": "{fields}"}
      results: rows
      match: ext
      crm_id: id
"""


def test_a_batch_call_that_is_not_there_is_found(plain: Desk, fake_crm: Any) -> None:
    plain.configure(fake_crm.url, TARGET + BATCH)
    fake_crm.behave(manners=["substring"])
    checked = plain.check()
    assert checked.suits("batch") is False
    assert "calls were needed" in checked.probes["batch"]["found"]
    assert (checked.out["left_behind"], fake_crm.rows("t")) == ([], {})


@pytest.mark.parametrize(
    ("place", "suits", "found"),
    [("results", True, "both are there"), ("rows", False, "calls were needed")],
)
def test_two_records_are_sent_in_one_call_and_each_has_its_outcome(
    odd_desk: Desk, odd: Odd, place: str, suits: bool, found: str
) -> None:
    batch = BATCH.replace("/t/batch", "/people/batch").replace("results: rows", f"results: {place}")
    odd_desk.configure(odd.url, ODD_TARGET + batch)
    checked = odd_desk.check()
    assert (checked.suits("batch"), checked.code) == (suits, 0 if suits else 1)
    assert found in checked.probes["batch"]["found"]
    assert (checked.out["left_behind"], odd.rows) == ([], {})
