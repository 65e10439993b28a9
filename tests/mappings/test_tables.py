"""The tables beside the mappings: complete, used, and changed without touching a mapping."""

from __future__ import annotations

import re
import shutil

import pytest

# Part I of CareSoft's document: `ticket.<channel>`, the events that one can subscribe to.
CHANNELS = [
    "voice",
    "voice_out",
    "ivr",
    "voicemail",
    "voice_campaign",
    "email",
    "email_out",
    "web",
    "api",
    "sms_out",
    "ticket_form",
    "ticket_sharing",
    "chat",
    "facebook",
    "inbox_facebook",
    "inbox_facebook_out",
    "facebook_rating",
    "facebook_lead_ads",
    "instagram",
    "chat_instagram",
    "inbox_zalo",
    "inbox_zalo_out",
    "inbox_zalo_zns",
    "zalo_lead_form",
]

LOOKUP = re.compile(r"lookup\('(\w+)', '([^']+)'\)")


@pytest.fixture
def own_folder(tmp_path, shipped_folder):
    """A copy of the shipped mappings, as a company would edit it."""
    return shutil.copytree(shipped_folder, tmp_path / "mappings")


def test_every_row_of_custom_fields_is_used_and_every_row_used_is_there(bench):
    used = {
        found for rule in bench.mappings.rules for found in LOOKUP.findall(rule.expression or "")
    }
    assert used == {("custom_fields", row) for row in bench.mappings.tables["custom_fields"]}


def test_a_row_of_custom_fields_names_the_field_that_it_fills(bench):
    for rule in bench.mappings.rules:
        for _, row in LOOKUP.findall(rule.expression or ""):
            resource, _, field = row.partition(".")
            assert rule.resource == resource
            assert rule.field in (field, f"{field}_id")


@pytest.mark.parametrize("channel", CHANNELS)
def test_every_documented_channel_keeps_its_name(bench, channel):
    for written in (channel, channel.upper(), channel.replace("_", " ").title()):
        told = {"ticket_id": 7, "updated_at": 1684385486519, "ticket_source": written}
        body = {"object": "ticket", "action": "update", "ticket": told}
        assert bench.fields("caresoft", body, "tickets")["source"] == channel


def test_a_company_changes_the_number_of_a_custom_field_in_the_table_alone(
    bench, bench_of, own_folder, sample
):
    table = own_folder / "tables" / "custom_fields.yaml"
    text = table.read_text(encoding="utf-8")
    changed = text.replace("tickets.category: addition_field2", "tickets.category: addition_field1")
    assert changed != text
    table.write_text(changed, encoding="utf-8")
    body = sample("ticket.create-2")
    assert bench.fields("caresoft", body, "tickets")["category"] == "Chưa phân loại"
    assert bench_of(own_folder).fields("caresoft", body, "tickets")["category"] == "b"


def test_a_row_that_a_company_takes_out_leaves_the_field_alone(bench_of, own_folder, sample):
    table = own_folder / "tables" / "custom_fields.yaml"
    rows = table.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [row for row in rows if not row.startswith("tickets.category")]
    assert len(kept) == len(rows) - 1
    table.write_text("".join(kept), encoding="utf-8")
    fields = bench_of(own_folder).fields("caresoft", sample("ticket.create-2"), "tickets")
    assert not {"category", "category_id"} & set(fields)
    assert fields["custom_fields"]["addition_field2"] == "Chưa phân loại"
