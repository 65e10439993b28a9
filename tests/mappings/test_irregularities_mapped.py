"""What the vendors do irregularly, and what it comes to in the CRM.

Each test carries the number of its irregularity (C1–C41 of CareSoft, M1–M21 of Mobio) and takes a
body of the vendor through the shipped mappings. C40, the escaped signature, never reaches a
mapping: the sources' own tests have it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import pytest

from connector.model import Delta, Json, Ref, Whole
from connector.sources.caresoft import VENDOR as CARESOFT
from connector.sources.mobio import VENDOR as MOBIO

Sample = Callable[[str], Json]


def ticket(**fields: Json) -> Json:
    """An update of ticket 7 that tells these fields."""
    told = {"ticket_id": 7, "updated_at": 1684385486519, **fields}
    return {"object": "ticket", "action": "update", "ticket": told}


def custom(**field: Json) -> Json:
    """A custom field with the number that the shipped table calls the ticket's category."""
    return {"field": "addition_field2", "label": "Phân loại", **field}


def call(action: str, **info: Json) -> Json:
    """A step of call 42, which is a call to the hotline."""
    told = {"call_id": "42", "caller": "0889999999", "called": "19009999", **info}
    return {"object": "call_in", "action": action, "call_info": told}


def note(event_type: str, details: list[Json], **data: Json) -> Json:
    """A body of Mobio with one event of note n1."""
    told = {"note_id": "n1", "action_time": 1669108532.5, "event_detail": details, **data}
    return envelope({"message_id": "m1", "event_type": event_type, "data_event": told})


def envelope(*elements: Json) -> Json:
    """A delivery of Mobio."""
    return {"merchant_id": "k1", "block_event": list(elements), "request_id": "r1", "version": 1}


def detail(key: str, **lists: list[Json]) -> Json:
    """What an event says about one field."""
    return {"field_key": key, "add": [], "change": [], "remove": [], **lists}


# --- CareSoft


@pytest.mark.parametrize("kind", [1, "1"])
def test_c1_a_custom_fields_type_may_be_a_number_or_text(bench, kind):
    body = ticket(addition_fields=[custom(type=kind, value="12.50")])
    assert bench.fields("caresoft", body, "tickets")["category"] == 12.5


@pytest.mark.parametrize(
    ("value_id", "told"),
    [({"value_id": 1242}, "1242"), ({"value_id": "1242"}, "1242"), ({"value_id": ""}, None)],
)
def test_c2_a_choices_number_comes_in_three_forms(bench, value_id, told):
    body = ticket(addition_fields=[custom(type=3, value="b", **value_id)])
    assert bench.fields("caresoft", body, "tickets")["category_id"] == told


def test_c2_a_choice_without_its_number_leaves_the_number_alone(bench):
    body = ticket(addition_fields=[custom(type=3, value="b")])
    fields = bench.fields("caresoft", body, "tickets")
    assert fields["category"] == "b"
    assert "category_id" not in fields


def test_c3_a_custom_field_without_a_type_is_text(bench):
    body = ticket(addition_fields=[custom(value="12.50", id=1234)])
    assert bench.fields("caresoft", body, "tickets")["category"] == "12.50"


@pytest.mark.parametrize("kind", [5, "5", 99])
def test_c4_a_type_that_nobody_documents_is_text(bench, kind):
    body = ticket(addition_fields=[custom(type=kind, value="https://example.vn/7")])
    assert bench.fields("caresoft", body, "tickets")["category"] == "https://example.vn/7"


def test_c5_an_empty_custom_field_is_none(bench, sample):
    body = sample("ticket.update-1")
    body["ticket"]["ticket_id"] = 7
    assert {} in body["ticket"]["addition_fields"]
    fields = bench.fields("caresoft", body, "tickets")
    assert fields["custom_fields"] == {"addition_field1": ""}


def test_c6_a_custom_field_beside_the_list_counts_as_in_it(bench, sample):
    fields = bench.fields("caresoft", sample("ticket.update-5"), "tickets")
    assert fields["custom_fields"]["addition_field42"] == ""
    assert fields["custom_fields"]["addition_field1"] == "b"


def test_c6_a_custom_field_beside_no_list_does_not_replace_all_others(bench):
    fields = bench.fields("caresoft", ticket(addition_field3="Gọi lại"), "tickets")
    assert fields["remark"] == "Gọi lại"
    assert "custom_fields" not in fields


@pytest.mark.parametrize("label", ["Reasons Unqualified", "Reasons  Unqualified", ""])
def test_c7_a_label_is_never_a_key(bench, sample, label):
    body = sample("lead.update")
    body["lead"]["addition_fields"][0].update(label=label, value="too small")
    assert bench.fields("caresoft", body, "leads")["unqualified_reason"] == "too small"


@pytest.mark.parametrize(("secondary", "ids"), [(2, ["2"]), ([2], ["2"]), ([2, 3], ["2", "3"])])
def test_c8_merged_tickets_come_as_one_number_or_a_list(bench, sample, secondary, ids):
    body = sample("ticket.merge-2")
    body["mergeOption"]["secondaryTickets"] = secondary
    merged = [c for c in bench.changes("caresoft", body) if c.resource == "tickets"]
    assert [change.id for change in merged] == ids
    assert all(change.fields["status"] == "MERGED" for change in merged)


def test_c9_a_merge_without_ticket_and_time_goes_by_its_own_numbers(bench, sample):
    changes = bench.changes("caresoft", sample("ticket.merge-2"))
    (merged,) = [change for change in changes if change.resource == "tickets"]
    assert (merged.id, merged.version, merged.final) == ("316708", None, True)
    assert merged.fields["merged_into"] == Ref("tickets", "316707")


def test_c9_a_merged_ticket_stays_merged_whatever_comes_late(bench, sample):
    late = ticket(ticket_id=316708, ticket_status="open", updated_at=1_760_000_000_001)
    crm = bench.crm(("caresoft", sample("ticket.merge-2")), ("caresoft", late))
    assert crm["tickets"]["316708"]["status"] == "MERGED"


def test_c10_an_assignment_stands_under_data_and_touches_nothing_else(bench, sample):
    (change,) = bench.changes("caresoft", sample("ticket.acd_assign"))
    assert (change.resource, change.id) == ("tickets", "316702")
    assert change.version == 1704961720473_000
    assert change.fields == {"assignee_id": None}


def test_c11_a_delete_has_only_an_id_and_is_for_ever(bench, sample):
    (change,) = bench.changes("caresoft", sample("ticket.delete-2"))
    assert (change.action, change.resource, change.id) == ("delete", "tickets", "316702")
    assert change.version is None
    later = sample("ticket.acd_assign")
    for order in ((sample("ticket.delete-2"), later), (later, sample("ticket.delete-2"))):
        assert "tickets" not in bench.crm(*(("caresoft", body) for body in order))


def test_c12_a_comments_time_may_be_a_java_date(bench, sample):
    body = sample("ticket.update-3")
    (comment,) = [c for c in bench.changes("caresoft", body) if c.resource == "ticket_comments"]
    assert comment.fields["created_at"] == "2021-10-06T02:45:53.000Z"
    assert comment.version == body["ticket"]["updated_at"] // 1000 * 1_000_000


def test_c13_a_time_of_zero_has_not_happened(bench, sample):
    fields = bench.fields("caresoft", sample("ticket.update-2"), "calls")
    assert "answered_at" not in fields
    assert fields["ended_at"] == "2021-10-06T03:11:52.861Z"


def test_c14_rounded_times_make_no_second_row(bench, sample):
    exact, rounded = sample("ticket.create-2"), sample("ticket.update-5")
    assert exact["ticket"]["created_at"] != rounded["ticket"]["created_at"]
    rounded["ticket"]["ticket_comment"] = exact["ticket"]["ticket_comment"]
    crm = bench.crm(("caresoft", exact), ("caresoft", rounded))
    assert list(crm["tickets"]) == ["322677"]
    assert len(crm["ticket_comments"]) == 1
    assert crm["tickets"]["322677"]["created_at"] == "2023-05-18T04:36:56.000Z"


def test_c15_a_comment_has_a_version_of_its_own(bench, sample):
    changes = bench.changes("caresoft", sample("lead.convert"))
    versions = {change.resource: change.version for change in changes}
    assert versions == {"leads": 1713153076734_000, "activities": 1713153076732_000}


@pytest.mark.parametrize(
    ("code", "told"), [("200", "200"), (200, "200"), (0, "0"), ("", None), (None, "left alone")]
)
def test_c16_a_status_code_comes_as_text_number_zero_or_not_at_all(bench, sample, code, told):
    body = sample("ticket.update-4")
    body["call_info"]["status_code"] = code
    fields = bench.fields("caresoft", body, "calls")
    assert fields.get("status_code", "left alone") == told


def test_c17_all_forms_of_a_call_meet_in_one_row(bench, sample):
    of_ticket, of_menu = sample("ticket.update-2"), sample("ticket.update-3")
    of_dialer = sample("smart_dialer.pd_end_call")
    ended = sample("call_in.call_in_end")
    bodies = [of_ticket, of_menu, of_dialer, ended, call("call_in_start", event_time=1633489860000)]
    for body, call_id in zip(bodies, ["42", 42, "42", 42, "42"], strict=True):
        body["call_info"]["call_id"] = call_id
    crm = bench.crm(*(("caresoft", body) for body in bodies))
    assert list(crm["calls"]) == ["42"]
    row = crm["calls"]["42"]
    assert row["keys_pressed"] == "-2-#"
    assert row["dialer"] == "PREDICTIVE"
    assert row["started_at"]


@pytest.mark.parametrize(
    ("source", "direction"),
    [
        *((name, "INBOUND") for name in ("Voice", "IVR", "ZCC In", "MissCall", "Voicemail")),
        *((name, "OUTBOUND") for name in ("Voice Out", "ZCC Out", "Voice Campaign", "voice_out")),
    ],
)
def test_c18_only_the_comments_source_tells_the_direction(bench, sample, source, direction):
    body = sample("ticket.update-4")
    body["ticket"]["ticket_comment"]["source"] = source
    fields = bench.fields("caresoft", body, "calls")
    assert fields["direction"] == direction
    assert fields["customer_phone"] == "+84889999999"
    assert fields["company_number"] == "1999999"


def test_c19_a_key_that_comes_twice_counts_once(bench, sample):
    body = call("call_in_end", event_time=1633489892000, call_end_time=1633489891000)
    text = json.dumps(body)
    twice = text.replace('"call_end_time"', '"call_end_time": 1633489891000, "call_end_time"')
    assert text.count("call_end_time") + 1 == twice.count("call_end_time")
    fields = bench.fields("caresoft", twice.encode(), "calls")
    assert fields["ended_at"] == "2021-10-06T03:11:31.000Z"


@pytest.mark.parametrize(("agent", "told"), [("101", "101"), (101, "101"), ("", None), (0, None)])
def test_c20_an_extension_is_text_and_no_user(bench, agent, told):
    body = call("call_in_agent_answer", agent_id=agent, event_time=1633489868000)
    fields = bench.fields("caresoft", body, "calls")
    assert fields["agent_extension"] == told
    assert "agent_id" not in fields


def test_c20_a_predictive_call_tells_both_the_extension_and_the_user(bench, sample):
    body = sample("smart_dialer.pd_end_call")
    body["call_info"].update(call_id="42", agent_id=50007, agent_user_id=4444)
    fields = bench.fields("caresoft", body, "calls")
    assert (fields["agent_extension"], fields["agent_id"]) == ("50007", "4444")


@pytest.mark.parametrize("status", ["new", "New", "NEW"])
@pytest.mark.parametrize("priority", ["normal", "Normal"])
@pytest.mark.parametrize("source", ["web", "Web"])
def test_c21_words_in_any_case_are_one_word(bench, status, priority, source):
    body = ticket(ticket_status=status, ticket_priority=priority, ticket_source=source)
    fields = bench.fields("caresoft", body, "tickets")
    told = (fields["status"], fields["priority"], fields["source"])
    assert told == ("NEW", "NORMAL", "web")


def test_c21_a_status_that_nobody_documents_waits_for_a_person(bench):
    applied = bench.applied("caresoft", ticket(ticket_status="frozen"))
    assert applied.status == "error"
    assert applied.changes == ()
    assert "frozen" in applied.error.message
    assert applied.error.place.file.endswith("tickets.yaml")


def test_c22_a_ticket_and_its_comment_have_sources_of_their_own(bench, sample):
    body = sample("ticket.update-2")
    assert bench.fields("caresoft", body, "tickets")["source"] == "voice"
    assert bench.fields("caresoft", body, "ticket_comments")["source"] == "missed_call"


def test_c22_a_comment_without_a_source_leaves_it_alone(bench, sample):
    body = sample("ticket.create-2")
    assert "source" not in body["ticket"]["ticket_comment"]
    assert "source" not in bench.fields("caresoft", body, "ticket_comments")


@pytest.mark.parametrize("nobody", [-1, 0, "-1", "0"])
def test_c23_nobody_in_charge_empties_the_field(bench, nobody):
    assert bench.fields("caresoft", ticket(assignee_id=nobody), "tickets")["assignee_id"] is None


def test_c23_an_event_that_does_not_say_who_is_in_charge_leaves_it_alone(bench):
    assert "assignee_id" not in bench.fields("caresoft", ticket(), "tickets")


def test_c24_a_ticket_first_heard_of_by_an_update_is_written(bench, sample):
    crm = bench.crm(("caresoft", sample("ticket.update-3")))
    assert crm["tickets"]["259312810"]["status"] == "NEW"


@pytest.mark.parametrize(
    ("name", "resource", "told"),
    [
        ("user.update-2", "contacts", {"name", "customer_code", "updated_at"}),
        ("organization.update-2", "organizations", {"name", "updated_at"}),
    ],
)
def test_c25_half_an_update_tells_only_what_changed(bench, sample, name, resource, told):
    assert set(bench.fields("caresoft", sample(name), resource)) == told


def test_c25_a_whole_update_empties_what_it_says_is_empty(bench, sample):
    body = sample("user.update-1")
    body["user"].update(id=5, username="Lan", updated_at=1633510473715)
    fields = bench.fields("caresoft", body, "contacts")
    assert fields["name"] == "Lan"
    assert fields["email"] is None
    assert fields["organization"] is None


def test_c25_half_an_update_leaves_the_other_fields_in_the_crm(bench, sample):
    whole, half = sample("user.create-2"), sample("user.update-2")
    half["user"].update(id=63203837, updated_at=1633511901680)
    row = bench.crm(("caresoft", half), ("caresoft", whole))["contacts"]["63203837"]
    assert row["name"] == "Tan9999"
    assert row["phone"] == "+84889999999"
    assert row["customer_code"] == "x123x"


def test_c26_what_only_updated_properties_name_reaches_the_lead(bench, sample):
    fields = bench.fields("caresoft", sample("deal.convert"), "leads")
    assert fields["converted_at"] == "2024-04-15T04:08:27.391Z"
    assert (fields["converted_by"], fields["converted_type"]) == ("1", "1")


def test_c26_a_create_without_updated_properties_is_whole(bench, sample):
    body = sample("deal.create")
    assert "updated_properties" not in body
    assert bench.fields("caresoft", body, "deals")["value"] == 0


def test_c27_a_choice_is_told_by_its_text_not_by_its_number(bench, sample):
    body = sample("deal.update")
    assert {"field": "addition_field22", "value": "92942"} in body["updated_properties"]
    assert bench.fields("caresoft", body, "deals")["custom_fields"]["addition_field22"] == "123a"


@pytest.mark.parametrize(
    ("name", "parent"),
    [
        ("lead.create", Ref("leads", "414856712")),  # activity.ticket_id
        ("lead.convert", Ref("leads", "414856714")),  # activity.lead_id
        ("deal.create", Ref("deals", "414856715")),  # activity.deal_id
        ("deal.update", Ref("deals", "414856712")),  # activity.ticket_id
    ],
)
def test_c28_a_comment_knows_its_parent_by_whatever_name(bench, sample, name, parent):
    fields = bench.fields("caresoft", sample(name), "activities")
    assert fields[parent.resource.removesuffix("s")] == parent


def test_c29_a_lead_that_becomes_a_deal_keeps_its_history(bench, sample):
    names = ["lead.create", "lead.update", "deal.convert", "deal.update"]
    crm = bench.crm(*(("caresoft", sample(name)) for name in names))
    lead, deal = crm["leads"]["414856712"], crm["deals"]["414856712"]
    assert (lead["is_converted"], lead["deal"]) == (True, "414856712")
    assert lead["updated_at"] == "2024-04-15T03:40:06.418Z"
    assert (deal["lead"], deal["value"]) == ("414856712", 1000000)
    parents = [("lead" in row, "deal" in row) for row in crm["activities"].values()]
    assert sorted(parents) == [(False, True), (False, True), (True, False), (True, False)]


def test_c29_a_deal_that_was_no_lead_refers_to_none(bench, sample):
    crm = bench.crm(("caresoft", sample("deal.create")))
    assert "lead" not in crm["deals"]["414856715"]
    assert "leads" not in crm


def test_c30_one_number_may_be_the_agent_the_customer_and_the_writer(bench, sample):
    body = sample("ticket.update-5")
    fields = bench.fields("caresoft", body, "tickets")
    assert fields["contact"] == Ref("contacts", "63215882")
    assert fields["assignee_id"] == "63215882"
    assert bench.fields("caresoft", body, "ticket_comments")["author_id"] == "63215882"


@pytest.mark.parametrize(
    ("name", "account"),
    [
        ("ticket.update-5", "171"),  # at the top
        ("user.create-2", "1"),  # at the top and in the user
        ("call_in.call_in_start", "9"),  # in call_info only
        ("ticket.acd_assign", None),
        ("smart_dialer.pd_end_call", None),
    ],
)
def test_c31_the_source_is_told_by_every_event_and_the_account_by_most(
    bench_with, sample, name, account
):
    own = """
        source: caresoft
        events: ['*']
        records:
          - resource: rows
            id: concat(meta.source, '-', '7')
            fields: {account: {from: meta.account, on_null: clear}}
    """
    body = sample(name)
    if "account_id" in body.get("call_info", {}):
        body["call_info"]["account_id"] = 9
    (change,) = bench_with(own).changes("caresoft", body)
    assert (change.id, change.fields) == ("caresoft-7", {"account": account})


def test_c32_the_order_of_keys_means_nothing(bench, sample):
    def shuffled(value: Json) -> Json:
        if isinstance(value, list):
            return [shuffled(item) for item in value]
        if not isinstance(value, dict):
            return value
        keys = random.Random(1).sample(sorted(value), len(value))
        return {key: shuffled(value[key]) for key in keys}

    for name in ("ticket.update-2", "lead.convert", "deal.update", "user.create-2"):
        body = sample(name)
        assert list(shuffled(body)) != list(body)
        assert bench.changes("caresoft", shuffled(body)) == bench.changes("caresoft", body)


def test_c33_every_kind_is_mapped_whether_the_table_lists_it_or_not(bench, all_samples):
    mapped = {
        event.kind
        for vendor, body, _ in all_samples
        for event in bench.events(vendor, body)
        if bench.applied(vendor, body).status == "mapped"
    }
    assert mapped == {*CARESOFT.kinds, *MOBIO.kinds}
    assert len(mapped) == 30


def test_c34_missing_keys_leave_their_fields_alone(bench, sample):
    of_menu = bench.fields("caresoft", sample("ticket.update-3"), "tickets")
    assert not {"assignee_id", "source_end_status"} & set(of_menu)
    comment = bench.fields("caresoft", sample("ticket.update-3"), "ticket_comments")
    assert "is_public" not in comment
    assert "service_id" not in bench.fields("caresoft", sample("ticket.create-2"), "tickets")
    assert "expected_close_on" not in bench.fields("caresoft", sample("lead.convert"), "leads")
    assert "probability" not in bench.fields("caresoft", sample("deal.update"), "deals")


def test_c35_a_comment_becomes_plain_text(bench, sample):
    body = bench.fields("caresoft", sample("ticket.update-3"), "ticket_comments")["body"]
    assert body.splitlines()[:2] == ["Cuộc gọi vào IVR", "Số gọi đến: 0889999999"]
    hostile = ticket(
        ticket_comment={"comment": "<b>Hi<script>steal()</script><img src=x onerror=y"}
    )
    assert "<" not in bench.fields("caresoft", hostile, "ticket_comments")["body"].replace(
        "<img src=x onerror=y", ""
    )
    assert "steal" not in bench.fields("caresoft", hostile, "ticket_comments")["body"]


def test_c36_details_and_detail_are_both_the_description(bench):
    company = {"organization_id": 5, "details": "Bán buôn", "updated_at": 1633589854414}
    body = {"object": "organization", "action": "update", "organization": company}
    assert bench.fields("caresoft", body, "organizations")["description"] == "Bán buôn"
    person = {"id": 5, "detail": "Khách quen", "updated_at": 1633589854414}
    body = {"object": "user", "action": "update", "user": person}
    assert bench.fields("caresoft", body, "contacts")["description"] == "Khách quen"


def test_c37_a_campaign_in_camel_case_is_a_campaign(bench):
    assert bench.fields("caresoft", ticket(campaignId=12), "tickets")["campaign_id"] == "12"


def test_c38_every_example_is_mapped_without_an_error(bench, all_samples):
    assert len(all_samples) == 41
    for vendor, body, _ in all_samples:
        applied = bench.applied(vendor, body)
        assert (applied.status, applied.error) == ("mapped", None)


def test_c38_an_example_of_zeros_writes_nothing(bench, all_samples):
    silent = {
        event.kind
        for vendor, body, _ in all_samples
        for event in bench.events(vendor, body)
        if not bench.changes(vendor, body)
    }
    assert silent == {
        *(kind for kind in CARESOFT.kinds if kind.startswith(("call_in.", "smart_dialer."))),
        *("user.create", "user.update", "organization.create", "organization.update"),
        *("ticket.create", "ticket.update", "ticket.delete", "ticket.merge"),
    }


@pytest.mark.parametrize(
    "body",
    [
        {"object": "ticket", "action": "update", "ticket": {"ticket_status": "new"}},
        {"object": "ticket", "action": "update"},
        {"object": "ticket", "action": "delete", "ticket": {}},
        {"object": "ticket", "action": "acd_assign", "data": {"assignee_id": 5}},
        {"object": "user", "action": "create", "user": {"username": "Lan"}},
        {"object": "organization", "action": "create", "organization": {}},
        {"object": "lead", "action": "update", "lead": {"name": "Lan"}},
        {"object": "deal", "action": "update", "deal": {"name": "Lan"}},
        {"object": "call_in", "action": "call_in_start", "call_info": {"caller": "0889999999"}},
        {"object": "smart_dialer", "action": "ad_end_call", "call_info": {"line": "1900"}},
    ],
)
def test_c38_an_event_without_an_id_waits_for_a_person(bench, body):
    applied = bench.applied("caresoft", body)
    assert applied.status == "error"
    assert applied.error.place is not None


@pytest.mark.parametrize(("name", "resource"), [("lead.create", "leads"), ("deal.update", "deals")])
def test_c39_the_last_second_of_a_day_is_that_day(bench, sample, name, resource):
    fields = bench.fields("caresoft", sample(name), resource)
    assert fields["expected_close_on"] == "2024-04-15"


def test_c41_a_call_to_the_menu_is_a_new_ticket_of_no_service(bench, sample):
    fields = bench.fields("caresoft", sample("ticket.update-3"), "tickets")
    assert fields["status"] == "NEW"
    assert fields["service_id"] is None


# --- Mobio


def test_m1_times_in_five_forms_are_times(bench, sample):
    created = bench.fields("mobio", sample("note.create"), "notes")
    assert created["created_at"] == "2022-11-23T10:47:00.000Z"  # ISO to the minute
    updated = bench.fields("mobio", sample("note.update_data"), "notes")
    assert updated["updated_at"] == "2022-11-22T09:15:32.829Z"  # seconds with a fraction
    for told in (1669624150, "1669624150.896838", "2022-11-28T08:29:10.896838Z"):
        body = note("note_create", [detail("created_time", add=[told])])
        at = bench.fields("mobio", body, "notes")["created_at"]
        assert at.startswith("2022-11-28T08:29:10.")


@pytest.mark.parametrize("key", ["create_by", "created_by"])
def test_m2_an_author_comes_under_two_names(bench, key):
    body = note("note_create", [detail(key, add=["a1"])])
    assert bench.fields("mobio", body, "notes")["created_by"] == "a1"


@pytest.mark.parametrize("key", ["mention", "mentions"])
def test_m3_a_mention_comes_under_two_names(bench, key):
    body = note("note_create", [detail(key, add=["a1", "a2"])])
    assert bench.fields("mobio", body, "notes")["mentioned_ids"] == Whole(("a1", "a2"))


@pytest.mark.parametrize("name", ["create", "update_data", "delete"])
def test_m4_a_comment_is_named_by_its_own_id(bench, sample, name):
    body = sample(f"note_comment.{name}")
    assert "note_id" not in body["block_event"][0]["data_event"]
    (change,) = bench.changes("mobio", body)
    assert (change.resource, change.id) == ("note_comments", "63847156b0d322e9a7678bee")


def test_m5_a_comment_keeps_the_note_that_only_its_create_names(bench, sample):
    created, updated = sample("note_comment.create"), sample("note_comment.update_data")
    assert "note" not in bench.fields("mobio", updated, "note_comments")
    parent = sample("note.create")
    parent["block_event"][0]["data_event"]["note_id"] = "63843fceb0d322e9a7678bec"
    for order in ((parent, created, updated), (updated, created, parent)):
        crm = bench.crm(*(("mobio", body) for body in order))
        row = crm["note_comments"]["63847156b0d322e9a7678bee"]
        assert row["note"] == "63843fceb0d322e9a7678bec"
        assert row["status"] == "EDITED"


@pytest.mark.parametrize(
    ("add", "told"), [([[]], ()), ([["f1"]], ("f1",)), (["f1", "f2"], ("f1", "f2"))]
)
def test_m6_a_list_is_a_list_however_it_is_nested(bench, add, told):
    body = note("note_create", [detail("attachment_ids", add=add)])
    assert bench.fields("mobio", body, "notes")["attachment_ids"] == Whole(told)


def test_m7_an_update_may_add_to_a_list_instead_of_replacing_it(bench, sample):
    fields = bench.fields("mobio", sample("note_comment.update_data"), "note_comments")
    assert fields["attachment_ids"] == Delta(add=("6384725a6ed9395b5a9c6a6b",))
    first = note("note_create", [detail("attachment_ids", add=["f1", "f2"])], action_time=1.6e9)
    swap = [detail("attachment_ids", add=["f3"], remove=["f1"])]
    second = note("note_update_data", swap, action_time=1.6e9 + 1)
    for order in ((first, second), (second, first)):
        row = bench.crm(*(("mobio", body) for body in order))["notes"]["n1"]
        assert row["attachment_ids"] == ["f2", "f3"]


@pytest.mark.parametrize("keys", [("add", "change", "remove"), ("remove", "add", "change")])
def test_m8_the_order_of_the_three_lists_means_nothing(bench, keys):
    lists = {"add": [], "change": [{"from": "a", "to": "b"}], "remove": []}
    told = {"field_key": "description"} | {key: lists[key] for key in keys}
    fields = bench.fields("mobio", note("note_update_data", [told]), "notes")
    assert fields == {"body": "b", "body_html": "b"}


def test_m9_an_update_tells_only_what_changed(bench, sample):
    fields = bench.fields("mobio", sample("note.update_data"), "notes")
    assert set(fields) == {"body", "body_html", "updated_at"}


@pytest.mark.parametrize(
    ("name", "resource"), [("note.delete", "notes"), ("note_comment.delete", "note_comments")]
)
def test_m10_a_delete_deletes_and_writes_no_last_values(bench, sample, name, resource):
    (change,) = bench.changes("mobio", sample(name))
    assert (change.action, change.resource, change.fields) == ("delete", resource, {})


def test_m11_only_a_comments_create_tells_when_it_was_changed(bench, sample):
    assert "updated_at" not in bench.fields("mobio", sample("note.create"), "notes")
    fields = bench.fields("mobio", sample("note_comment.create"), "note_comments")
    assert fields["updated_at"] == "2022-11-28T08:29:00.000Z"


def test_m12_an_events_id_is_its_message_id_and_no_field(bench, sample):
    (event,) = bench.events("mobio", sample("note.create"))
    assert event.id == "35d0213a-6b1c-11ed-b77f-2e5611c3fe96"
    fields = bench.fields("mobio", sample("note.create"), "notes")
    assert event.id not in fields.values()


def test_m13_related_objects_come_from_the_list_that_has_all_four(bench, sample):
    fields = bench.fields("mobio", sample("note.create"), "notes")
    related = {name: fields[f"related_{name}_ids"] for name in ("profile", "company", "ticket")}
    assert related == {"profile": [], "company": [], "ticket": []}
    assert fields["related_deal_ids"] == ["635b528eb3528d2e7a0477ba"]


def test_m14_a_notes_text_is_html_and_a_comments_is_not(bench, sample):
    assert bench.fields("mobio", sample("note.create"), "notes")["body"] == "Nội dung 1"
    body = sample("note_comment.create")
    details = body["block_event"][0]["data_event"]["event_detail"]
    (text,) = [entry for entry in details if entry["field_key"] == "description"]
    text["add"] = ["giá <b> 5 triệu & hơn"]
    assert bench.fields("mobio", body, "note_comments")["body"] == "giá <b> 5 triệu & hơn"


def test_m15_type_and_result_stand_inside_the_information(bench):
    body = note("note_create", [detail("information", add=[{"type": "CALL", "result": "BUSY"}])])
    fields = bench.fields("mobio", body, "notes")
    assert (fields["type"], fields["result"]) == ("CALL", "BUSY")


def test_m15_a_call_that_becomes_a_meeting_loses_its_result(bench):
    change = {"from": {"type": "CALL", "result": "BUSY"}, "to": {"type": "MEETING"}}
    body = note("note_update_data", [detail("information", change=[change])])
    assert bench.fields("mobio", body, "notes") == {"type": "MEETING", "result": None}


def test_m16_the_merchant_is_no_field_but_can_be_put_before_an_id(bench, bench_with, sample):
    merchant = "1b99bdcf-d582-4f49-9715-1b61dfff3924"
    body = sample("note_comment.create")
    assert merchant not in bench.fields("mobio", body, "note_comments").values()
    own = """
        source: mobio
        events: [note_comment_create]
        records:
          - resource: rows
            id: concat(meta.account, '-', comment.id)
            fields: {status: comment.status}
    """
    (change,) = bench_with(own).changes("mobio", body)
    assert change.id == f"{merchant}-63847156b0d322e9a7678bee"


def test_m17_notes_of_either_app_of_a_merchant_are_mapped_alike(bench, sample):
    told = []
    for app_id in ("16453496-6a17-11ed-8a77-6632ed169876", "c71f0b7a-6ecc-11ed-9704-468042e8692e"):
        body = sample("note.create") | {"app_id": app_id}
        told.append(bench.changes("mobio", body))
    assert told[0] == told[1]


def test_m18_each_event_of_a_delivery_is_mapped_for_itself(bench):
    body = envelope(
        *(
            {
                "message_id": f"m{n}",
                "event_type": "note_create",
                "data_event": {
                    "note_id": f"n{n}",
                    "action_time": 1669108532.5,
                    "event_detail": [detail("description", add=[f"Ghi chú {n}"])],
                },
            }
            for n in (1, 2)
        )
    )
    notes = bench.crm(("mobio", body))["notes"]
    assert {key: row["body"] for key, row in notes.items()} == {
        "n1": "Ghi chú 1",
        "n2": "Ghi chú 2",
    }


@pytest.mark.parametrize("kind", MOBIO.kinds)
def test_m19_every_irregular_name_is_mapped(bench, kind):
    body = note(kind, [], comment_id="c1")
    (change,) = bench.changes("mobio", body)
    assert change.action == ("delete" if kind.endswith("delete") else "upsert")
    assert change.id == ("c1" if "comment" in kind else "n1")


def test_m20_a_version_keeps_every_microsecond(bench, sample):
    (change,) = bench.changes("mobio", sample("note_comment.create"))
    assert change.version == 1669624151_000324


def test_m21_the_time_of_action_decides_not_the_order_of_arrival(bench):
    def said(text: str, at: float) -> Json:
        change = [{"from": "", "to": text}]
        body = note("note_update_data", [detail("description", change=change)], action_time=at)
        body["block_event"][0]["message_id"] = text
        return body

    older, newer = said("cũ", 1669108532.5), said("mới", 1669108533.25)
    late = bench.crm(("mobio", newer, 1_700_000_000_000_000), ("mobio", older))
    assert late["notes"]["n1"]["body"] == "mới"
