"""What the benchmarks send is authentic, and both sides make the same of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench.events import CONTACTS, FIRST_CONTACT, ROOT, SECRET, Events, Shape, sign, subject
from bench.plain.job import fields_of
from connector.assemble import folder_set, open_sources
from connector.config import Config, load
from connector.model import Applied, Ref

CONFIG = f"""\
redis_url: redis://127.0.0.1:1/0
mappings: {ROOT / "mappings"}
sources:
  caresoft: {{kind: caresoft, secrets: [{SECRET}]}}
targets:
  crm: {{base_url: "http://127.0.0.1:1", auth: {{type: none}}, check: {{path: /}}}}
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    file = tmp_path_factory.mktemp("bench") / "config.yaml"
    file.write_text(CONFIG)
    return load(file, {})


def _apply(config: Config, events: Events) -> list[Applied]:
    source = open_sources(config)["caresoft"]
    mapping_set = folder_set(config)
    applied = []
    for body in events.bodies():
        verified = source.verify(body, {"X-Hub-Signature": sign(body)})
        (event,) = source.parse(verified, 1_700_000_000_000_000)
        applied.append(mapping_set.apply(source.document(event)))
    return applied


@pytest.mark.parametrize(
    ("shape", "resources"),
    [
        ("ticket", {"tickets"}),
        ("full", {"tickets", "ticket_comments", "calls"}),
        ("contact", {"contacts"}),
    ],
)
def test_each_shape_makes_the_records_that_it_says(
    config: Config, shape: Shape, resources: set[str]
) -> None:
    for applied in _apply(config, Events(shape, 1, 7)):
        assert applied.error is None
        assert {change.resource for change in applied.changes} == resources


def test_plain_job_maps_the_fields_of_the_shipped_mapping(config: Config) -> None:
    events = Events(count=50)
    for body, applied in zip(events.bodies(), _apply(config, events), strict=True):
        shipped: dict[str, Any] = {}
        for change in applied.changes:
            shipped |= change.fields
        told = {
            name: value.id if isinstance(value, Ref) else value for name, value in shipped.items()
        }
        assert fields_of(json.loads(body)["ticket"]) == told


def test_every_event_is_about_a_ticket_of_its_own() -> None:
    events = Events(count=500)
    assert len(events.newest()) == 500
    assert len(set(events.bodies())) == 500


def test_few_records_get_their_newest_update_last() -> None:
    events = Events(first=1, count=250, records=100)
    newest = events.newest()
    assert len(newest) == 100
    assert newest["/tickets/1"] == subject(200)
    assert newest["/tickets/51"] == subject(250)
    versions = [json.loads(body)["ticket"]["updated_at"] for body in events.bodies()]
    assert versions == sorted(set(versions))


def test_tickets_belong_to_customers_that_the_warm_up_makes_known() -> None:
    known = {json.loads(body)["user"]["id"] for body in Events("contact", 0, CONTACTS).bodies()}
    wanted = {
        json.loads(body)["ticket"]["requester_id"] for body in Events(count=3 * CONTACTS).bodies()
    }
    assert wanted == known
    assert min(known) == FIRST_CONTACT


def test_bodies_are_as_long_as_real_ones() -> None:
    sample = (ROOT / "tests/samples/caresoft/ticket.update-5.json").read_bytes()
    real = len(json.dumps(json.loads(sample), ensure_ascii=False).encode())
    (body,) = Events(first=4711).bodies()
    assert 0.8 * real < len(body) < 1.3 * real
