"""The 62 irregularities of the vendors' documents (C1–C41, M1–M21): what each becomes here.

Signature, event and document are this room's; where a value is only read by a mapping function
(`timestamp`, `custom`, `phone`), the test holds that the document hands it over as it was sent.
"""

import json

import pytest

from connector.errors import BadSignature, NotJson

RECEIVED_AT = 1_733_100_000_123_456
NOTE_APP = "16453496-6a17-11ed-8a77-6632ed169876"
COMMENT_APP = "c71f0b7a-6ecc-11ed-9704-468042e8692e"

CALLS = ("ticket.update-2", "ticket.update-3", "ticket.update-4")  # missed, IVR, outbound


@pytest.fixture
def care(care_document, sample):
    """The document of a CareSoft sample."""
    return lambda name: care_document(sample(f"caresoft/{name}"))


@pytest.fixture
def notes(mobio_document, sample):
    """The document of a Mobio sample."""
    return lambda name: mobio_document(sample(f"mobio/{name}"))


def with_fields(*elements):
    return {"object": "ticket", "action": "update", "ticket": {"addition_fields": list(elements)}}


def note_event(kind, *details, **element):
    data = {"note_id": "n-1", "event_detail": list(details)}
    return {"block_event": [{"event_type": kind, "data_event": data, **element}]}


def detail(key, add=(), remove=(), change=()):
    return {"field_key": key, "add": list(add), "remove": list(remove), "change": list(change)}


# --- CareSoft


def test_c01_the_type_of_a_custom_field_stays_number_or_text(care):
    listed = care("ticket.create-2")["ticket"]["addition_fields"]
    assert [element["type"] for element in listed] == [3, 3, "0"]


def test_c02_a_value_id_stays_number_text_empty_or_absent(care):
    def value_ids(name, entity):
        return [element.get("value_id") for element in care(name)[entity]["addition_fields"]]

    assert value_ids("ticket.create-1", "ticket") == [0]
    assert value_ids("ticket.create-2", "ticket") == ["1242", "1222", None]
    assert value_ids("lead.create", "lead") == [""]
    assert "value_id" not in care("lead.convert")["lead"]["addition_fields"][0]


def test_c03_a_custom_field_without_a_type_stays_in_the_list(care_document):
    element = {"id": 1234, "field": "addition_field1", "label": "Trường động", "value": "x"}
    assert care_document(with_fields(element))["ticket"]["addition_fields"] == [element]


@pytest.mark.parametrize("code", [5, "5", 99])
def test_c04_an_undefined_type_code_passes(care_document, code):
    element = {"field": "addition_field1", "type": code, "value": "https://caresoft.vn"}
    assert care_document(with_fields(element))["ticket"]["addition_fields"] == [element]


def test_c05_an_empty_element_is_dropped(care):
    document = care("ticket.update-1")
    assert {} in document["raw"]["ticket"]["addition_fields"]
    assert [e["field"] for e in document["ticket"]["addition_fields"]] == ["addition_field1"]


def test_c06_a_stray_custom_field_stays_and_joins_the_list(care):
    ticket = care("ticket.update-5")["ticket"]
    assert ticket["addition_field42"] == ""
    assert ticket["addition_fields"][-1] == {"field": "addition_field42", "value": ""}
    assert len(ticket["addition_fields"]) == 4


def test_c07_the_code_stays_where_the_label_changes(care):
    def labels(entity, *names):
        listed = [care(name)[entity]["addition_fields"][0] for name in names]
        assert len({element["field"] for element in listed}) == 1
        return [element["label"] for element in listed]

    assert labels("lead", "lead.create", "lead.update") == [
        "Reasons Unqualified",
        "Reasons  Unqualified",
    ]
    assert labels("deal", "deal.convert", "deal.update") == [
        "sample custom field",
        "Sample custom field",
    ]


def test_c08_secondary_tickets_stay_scalar_or_list(care):
    assert care("ticket.merge-1")["mergeOption"]["secondaryTickets"] == 1
    assert care("ticket.merge-2")["mergeOption"]["secondaryTickets"] == [316708]


def test_c09_a_merge_has_no_ticket_and_no_time_but_is_an_event(care):
    document = care("ticket.merge-2")
    assert document["meta"]["kind"] == "ticket.merge"
    assert "ticket" not in document
    assert document["mergeOption"]["primaryTicket"] == 316707
    assert "#220760" in document["mergeOption"]["primaryComment"]
    assert document["meta"]["received_at"] == "2024-12-02T00:40:00.123456Z"


def test_c10_acd_assign_has_its_fields_under_data_and_no_account(care):
    document = care("ticket.acd_assign")
    assert document["data"] == {
        "assignee_id": 0,
        "ticket_id": 316702,
        "assign_at": 1704961720473,
    }
    assert "ticket" not in document
    assert document["meta"]["account"] is None


def test_c11_a_delete_has_only_the_id(care):
    document = care("ticket.delete-2")
    assert document["ticket"] == {"ticket_id": 316702, "addition_fields": []}
    assert document["raw"]["ticket"] == {"ticket_id": 316702}


def test_c12_java_dates_of_a_comment_are_handed_over_as_text(care):
    ticket = care("ticket.update-3")["ticket"]
    assert ticket["ticket_comment"]["created_at"] == "Wed Oct 06 09:45:53 ICT 2021"
    assert ticket["ticket_comment"]["updated_at"] == "Wed Oct 06 09:45:53 ICT 2021"
    assert ticket["updated_at"] == 1633488353675


def test_c13_milliseconds_and_zero_are_handed_over_as_numbers(care):
    call = care("ticket.update-2")["call_info"]
    assert (call["start_time"], call["answer_time"]) == (1633489860000, 0)


def test_c14_a_creation_time_is_rounded_later_and_makes_no_id(care, caresoft, sample):
    created, updated = care("ticket.create-2"), care("ticket.update-5")
    assert created["ticket"]["ticket_id"] == updated["ticket"]["ticket_id"]
    assert created["ticket"]["created_at"] == 1684384615500
    assert updated["ticket"]["created_at"] == 1684384616000
    rounded = sample("caresoft/ticket.create-2").replace(b"1684384615500", b"1684384616000")
    (event,) = caresoft.preview(rounded, RECEIVED_AT)
    assert event.id != created["meta"]["event_id"]


def test_c15_entity_and_activity_keep_their_own_times(care):
    lead, deal = care("lead.convert")["lead"], care("deal.convert")["deal"]
    assert lead["activity"]["updated_at"] - lead["updated_at"] == -2
    assert deal["activity"]["updated_at"] - deal["updated_at"] == 26


def test_c16_a_status_code_stays_text_number_zero_empty_or_absent(care):
    names = ("ticket.update-1", "ticket.update-4", "ticket.update-2", "smart_dialer.ad_end_call")
    codes = [care(name)["call_info"]["status_code"] for name in names]
    assert codes == ["200", 200, 0, ""]
    assert "status_code" not in care("ticket.update-3")["call_info"]


def test_c17_every_form_of_call_info_passes_as_sent(care, request):
    forms = set()
    folder = request.config.rootpath / "tests/samples/caresoft"
    for path in folder.glob("*.json"):
        sent = json.loads(path.read_bytes()).get("call_info")
        if sent is not None:
            assert care(path.stem)["call_info"] == sent
            forms.add(frozenset(sent))
    assert len(forms) == 7


def test_c18_caller_stays_the_customer_on_outbound_calls_too(care):
    document = care("ticket.update-4")
    assert document["ticket"]["ticket_comment"]["source"] == "Voice Out"
    assert document["call_info"]["caller"] == "0889999999"
    assert document["call_info"]["called"] == "1999999"


def test_c19_of_a_doubled_key_the_last_value_counts(care_document):
    raw = (
        b'{"object": "call_in", "action": "call_in_end", "call_info": '
        b'{"call_id": "c", "call_end_time": 1, "call_end_time": 2}}'
    )
    assert care_document(raw)["call_info"]["call_end_time"] == 2


def test_c20_an_agent_id_stays_text_or_number_beside_the_user_id(care):
    assert care("call_in.call_in_agent_ring")["call_info"]["agent_id"] == ""
    call = care("smart_dialer.pd_end_call")["call_info"]
    assert (call["agent_id"], call["agent_user_id"]) == (0, 0)


def test_c21_the_case_of_words_stays_as_sent(care, care_document):
    assert care("ticket.create-1")["ticket"]["ticket_priority"] == "normal"
    assert care("ticket.create-2")["ticket"]["ticket_priority"] == "Normal"
    assert care("ticket.create-1")["ticket"]["ticket_source"] == "web"
    assert care("ticket.create-2")["ticket"]["ticket_source"] == "Web"
    odd = care_document({"object": "Ticket", "action": "Update"})
    assert odd["meta"]["kind"] == "Ticket.Update"


def test_c22_ticket_and_comment_keep_their_own_source(care):
    ticket = care("ticket.update-2")["ticket"]
    assert ticket["ticket_source"] == "Voice"
    assert ticket["ticket_comment"]["source"] == "MissCall"
    assert "source" not in care("ticket.create-2")["ticket"]["ticket_comment"]


def test_c23_nobody_stays_minus_one_zero_or_absent(care):
    assert care("ticket.update-2")["ticket"]["assignee_id"] == -1
    assert care("ticket.acd_assign")["data"]["assignee_id"] == 0
    assert "assignee_id" not in care("ticket.create-2")["ticket"]


def test_c24_a_first_notice_of_a_call_is_an_update_with_the_whole_ticket(care):
    for name in CALLS:
        document = care(name)
        assert document["meta"]["kind"] == "ticket.update"
        assert {"ticket_id", "ticket_subject", "created_at"} <= document["ticket"].keys()
        assert document["call_info"]["call_id"]


def test_c25_a_partial_update_names_only_what_changed(care):
    user = care("user.update-2")["user"]
    assert user["addition_fields"] == [{"field": "addition_field13", "value": "x123x"}]
    assert user.keys() == {"id", "username", "updated_at", "changes", "addition_fields"}
    organization = care("organization.update-2")["organization"]
    assert organization["organization_name"] == "Công ty cổ phần CareSoft"
    assert organization["addition_fields"] == []
    assert not {"note", "details", "organization_domain"} & organization.keys()
    assert care("user.update-1")["user"]["email"] == ""


def test_c26_updated_properties_are_asked_by_name(care):
    document = care("deal.convert")
    assert document["updated"] == {
        "value": 0,
        "converted_at": 1713154107391,
        "converted_by": 1,
        "converted_type": 1,
    }
    assert "converted_at" not in document["deal"]
    assert len(document["updated_properties"]) == 4
    assert "updated" not in care("deal.create")


def test_c27_an_updated_select_is_its_value_id_and_the_field_keeps_its_label(care):
    document = care("deal.update")
    assert document["updated"]["addition_field22"] == "92942"
    (select,) = [
        element
        for element in document["deal"]["addition_fields"]
        if element["field"] == "addition_field22"
    ]
    assert (select["value"], select["value_id"]) == ("123a", "92942")


@pytest.mark.parametrize(
    ("name", "entity", "parent"),
    [
        ("lead.create", "lead", "ticket_id"),
        ("lead.convert", "lead", "lead_id"),
        ("deal.create", "deal", "deal_id"),
        ("deal.update", "deal", "ticket_id"),
    ],
)
def test_c28_an_activity_names_its_parent_as_it_likes(care, name, entity, parent):
    found = care(name)[entity]
    assert found["activity"][parent] == found[f"{entity}_id"]
    assert {"ticket_id", "lead_id", "deal_id"} & found["activity"].keys() == {parent}


def test_c29_a_converted_deal_has_the_id_of_its_lead_and_another_kind(care):
    lead, deal = care("lead.create"), care("deal.convert")
    assert lead["lead"]["lead_id"] == deal["deal"]["deal_id"] == 414856712
    assert lead["meta"]["kind"] != deal["meta"]["kind"]
    assert "lead" not in deal


def test_c30_one_user_may_have_several_parts(care):
    ticket = care("ticket.update-5")["ticket"]
    parts = (
        ticket["requester_id"],
        ticket["assignee_id"],
        ticket["ticket_comment"]["commentator_id"],
    )
    assert parts == (63215882, 63215882, 63215882)


@pytest.mark.parametrize(
    ("name", "account"),
    [
        ("ticket.update-2", "9999"),
        ("user.create-2", "1"),
        ("user.create-1", "0"),
        ("call_in.call_in_start", "0"),
        ("ticket.update-1", None),
        ("smart_dialer.pd_end_call", None),
        ("ticket.acd_assign", None),
    ],
)
def test_c31_the_account_is_found_at_the_top_nested_or_nowhere(care, name, account):
    assert care(name)["meta"]["account"] == account


def test_c32_object_and_action_may_stand_anywhere(care, care_document, sample):
    body = json.loads(sample("caresoft/lead.create"))
    assert list(body)[-1] == "object"
    turned = care_document(dict(reversed(body.items())))
    assert turned["meta"]["kind"] == care("lead.create")["meta"]["kind"] == "lead.create"


@pytest.mark.parametrize(
    ("name", "action"), [("lead", "create"), ("ticket", "acd_assign"), ("pd_end_call", "new_one")]
)
def test_c33_a_kind_need_not_be_in_the_tables(care_document, name, action):
    document = care_document({"object": name, "action": action})
    assert document["meta"]["kind"] == f"{name}.{action}"


def test_c34_a_missing_key_stays_missing(care):
    ivr = care("ticket.update-3")["ticket"]
    assert not {"assignee_id", "ticket_source_end_status"} & ivr.keys()
    assert "is_public" not in ivr["ticket_comment"]
    assert "service_id" not in care("ticket.create-2")["ticket"]
    assert "estimated_closed_date" not in care("lead.convert")["lead"]
    assert "probability" not in care("deal.convert")["deal"]


def test_c35_the_html_of_a_comment_is_handed_over_as_sent(care, sample):
    document = care("ticket.update-3")
    assert "</br>" in document["ticket"]["ticket_comment"]["comment"]
    escaped = care("ticket.update-2")["ticket"]["ticket_comment"]["comment"]
    assert escaped.startswith("<b>Cuộc gọi vào</b><br/>")


def test_c35_escaped_slashes_of_a_comment_are_read(care_document):
    raw = rb'{"object": "ticket", "action": "update", "ticket": {"ticket_subject": "a<\/b>"}}'
    assert care_document(raw)["ticket"]["ticket_subject"] == "a</b>"


def test_c36_user_and_organization_keep_their_own_names(care):
    assert "detail" in care("user.create-1")["user"]
    organization = care("organization.create-1")["organization"]
    assert "details" in organization
    assert "id" not in organization
    assert care("organization.create-2")["organization"]["organization_id"] == 126


def test_c37_camel_case_stays(care):
    assert "campaignId" in care("ticket.create-1")["ticket"]
    assert "primaryIsPublic" in care("ticket.merge-1")["mergeOption"]


@pytest.mark.parametrize(
    "text",
    [
        '{"object": "ticket", "action": "create", "created_at": 0, //Time in millis\n "a": 1}',
        '{"object": "ticket" "action": "create"}',
        '{"object": "ticket", "action": "create",}',
        '{"object": "ticket", "action": "create", "start_time": 000}',
        '{"object": "ticket", "action": "create", "type": 0|1|2}',
        '<strong>{"object": "ticket", "action": "create"}</strong>',
    ],
)
def test_c38_what_only_the_documents_call_json_is_refused(care_document, text):
    with pytest.raises(NotJson):
        care_document(text.encode())


def test_c39_the_end_of_a_day_in_vietnam_stays_to_the_millisecond(care):
    assert care("lead.create")["lead"]["estimated_closed_date"] == 1713200399000


def test_c40_the_documented_signature_is_of_the_body_without_markdown(caresoft):
    header = {"X-Hub-Signature": "420A69CE7D3C36559E9828D6361530DF30065D37"}
    assert caresoft.verify(b'{"ticket_id":1}', header).source == "care"
    with pytest.raises(BadSignature):
        caresoft.verify(rb'{"ticket\_id":1}', header)


def test_c41_an_ivr_call_keeps_its_ticket_new_and_without_service(care):
    ticket = care("ticket.update-3")["ticket"]
    assert (ticket["ticket_status"], ticket["service_id"]) == ("new", 0)
    assert care("ticket.update-2")["ticket"]["ticket_status"] == "new"


# --- Mobio


def test_m01_times_are_handed_over_in_all_their_forms(notes):
    created, updated, deleted = (
        notes("note.create"),
        notes("note.update_data"),
        notes("note.delete"),
    )
    assert created["envelope"]["timestamp"] == 1669200453
    assert created["data_event"]["action_time"] == 1669200439.676389
    assert created["note"]["created_time"] == "2022-11-23T10:47Z"
    assert deleted["was"]["created_time"] == 1669276693.631579
    assert updated["was"]["updated_time"] == 1669106044.477118
    assert updated["note"]["updated_time"] == 1669108532.829107


def test_m02_author_and_editor_have_one_name_for_notes_and_comments(notes):
    note, comment = notes("note.create")["note"], notes("note_comment.create")["comment"]
    assert note["created_by"] == note["create_by"] == "70176784-07f7-4eb7-9280-4028f21152b7"
    assert note["updated_by"] == note["update_by"]
    assert comment["created_by"] == "7fc0a33c-baf5-11e7-a7c2-0242ac180003"
    was = notes("note.delete")["was"]
    assert was["created_by"] == was["create_by"] == "91331124-bff5-4f13-83cd-f9b4aa8a333a"


def test_m03_mention_of_the_table_is_mentions_of_the_sample(notes, mobio_document):
    assert notes("note.create")["note"]["mentions"] == []
    note = mobio_document(note_event("note_create", detail("mention", [["a-1"]])))["note"]
    assert note["mentions"] == note["mention"] == ["a-1"]


def test_m04_a_comment_is_known_by_its_comment_id_and_names_no_note(notes):
    for name in ("note_comment.create", "note_comment.update_data", "note_comment.delete"):
        document = notes(name)
        assert document["comment"]["id"] == "63847156b0d322e9a7678bee"
        assert "note_id" not in document["data_event"]
        assert "note" not in document


def test_m05_the_parent_of_a_comment_stands_in_create_and_delete_only(notes):
    parent = "63843fceb0d322e9a7678bec"
    assert notes("note_comment.create")["comment"]["object_id"] == parent
    assert notes("note_comment.delete")["was"]["object_id"] == parent
    update = notes("note_comment.update_data")
    assert "object_id" not in update["comment"]
    assert "object_id" not in update["was"]


def test_m06_a_list_in_a_list_and_a_flat_list_are_one(notes, mobio_document):
    assert notes("note.create")["note"]["attachment_ids"] == []
    assert notes("note_comment.delete")["was"]["file_attachment_ids"] == [
        "6384725a6ed9395b5a9c6a6b"
    ]
    for add in (["a"], [["a"]]):
        created = mobio_document(note_event("note_create", detail("attachment_ids", add)))
        assert created["note"]["attachment_ids"] == ["a"]


def test_m07_an_update_may_add_and_remove_beside_changes(notes):
    document = notes("note_comment.update_data")
    assert document["comment"]["file_attachment_ids"] == {"add": ["6384725a6ed9395b5a9c6a6b"]}
    assert document["comment"]["status"] == "edited"
    assert document["was"]["status"] == "created"


def test_m08_the_order_of_add_change_remove_means_nothing(notes, mobio_document):
    told = {"add": [], "remove": [], "change": [{"from": "a", "to": "b"}]}
    for keys in (("add", "change", "remove"), ("change", "remove", "add")):
        entry = {key: told[key] for key in keys} | {"field_key": "description"}
        document = mobio_document(note_event("note_update_data", entry))
        assert document["note"] == {"description": "b", "id": "n-1"}
    silent = note_event("note_update_data", detail("description"))
    assert "description" not in mobio_document(silent)["note"]


def test_m09_an_update_holds_only_what_changed(notes):
    note = notes("note.update_data")["note"]
    assert note.keys() == {"id", "description", "updated_time"}


def test_m10_a_delete_tells_the_last_values_as_was(notes):
    document = notes("note.delete")
    assert document["note"] == {"id": "637f2415e60854241823a73d"}
    assert document["was"]["description"] == "<div>Ghi chú 1</div>"
    assert document["was"]["related_to"]["ticket_ids"] == ["6328caf2454150000ee59180"]
    assert not {"attachment_ids", "mentions", "account_mentions"} & document["was"].keys()


def test_m11_only_a_new_comment_has_an_updated_time(notes):
    assert "updated_time" not in notes("note.create")["note"]
    assert notes("note_comment.create")["comment"]["updated_time"] == "2022-11-28T08:29Z"


def test_m12_a_message_id_stands_beside_the_data_or_as_the_table_says_in_it(mobio, sample):
    body = json.loads(sample("mobio/note.create"))
    (event,) = mobio.preview(sample("mobio/note.create"), RECEIVED_AT)
    assert event.id == "35d0213a-6b1c-11ed-b77f-2e5611c3fe96"
    element = body["block_event"][0]
    element["data_event"]["message_id"] = element.pop("message_id")
    (inside,) = mobio.preview(json.dumps(body).encode(), RECEIVED_AT)
    assert inside.id == event.id
    del element["data_event"]["message_id"]
    (without,) = mobio.preview(json.dumps(body).encode(), RECEIVED_AT)
    assert without.id == "637dfa39de75b0ce9e0848f5:note_create"


def test_m13_relations_stay_with_and_without_empty_lists(notes):
    note = notes("note.create")["note"]
    assert note["related_to"].keys() == {"profile_ids", "company_ids", "deal_ids", "ticket_ids"}
    assert note["related_to_not_delete"] == {"deal_ids": ["635b528eb3528d2e7a0477ba"]}


def test_m14_a_description_stays_html_or_plain(notes):
    assert notes("note.create")["note"]["description"] == "<div>Nội dung 1</div>"
    assert notes("note_comment.create")["comment"]["description"].startswith("Đã liên hệ 1 lần")


def test_m15_type_and_result_are_keys_of_information(notes, mobio_document):
    assert notes("note.create")["note"]["information"] == {"type": "GENERAL"}
    call = {"type": "CALL", "result": "MISS_CALL"}
    document = mobio_document(note_event("note_create", detail("information", [call])))
    assert document["note"]["information"] == call
    assert not {"type", "result"} & document["note"].keys()


def test_m16_the_merchant_stands_three_times_and_is_one_account(notes):
    document = notes("note_comment.create")
    merchant = "1b99bdcf-d582-4f49-9715-1b61dfff3924"
    assert document["envelope"]["merchant_id"] == merchant
    assert document["data_event"]["merchant_id"] == merchant
    assert document["comment"]["merchant_id"] == merchant
    assert document["meta"]["account"] == merchant


def test_m17_each_app_of_a_merchant_signs_with_its_own_secret(mobio, sample):
    for name, app_id in (("note.create", NOTE_APP), ("note_comment.create", COMMENT_APP)):
        body = sample(f"mobio/{name}")
        verified = mobio.verify(body, mobio.sign(body))
        assert verified.app_id == app_id
        assert len(mobio.parse(verified, RECEIVED_AT)) == 1
    body = sample("mobio/note.create")
    with pytest.raises(BadSignature):
        mobio.parse(mobio.verify(body, mobio.sign(body, COMMENT_APP)), RECEIVED_AT)


def test_m18_every_event_of_a_batch_counts_and_a_bad_one_spoils_none(mobio, sample, receive):
    bodies = [json.loads(sample(f"mobio/{name}")) for name in ("note.create", "note.delete")]
    elements = [bodies[0]["block_event"][0], {"data_event": 5}, bodies[1]["block_event"][0]]
    events = receive(mobio, bodies[0] | {"block_event": elements})
    assert [event.kind for event in events] == ["note_create", None, "note_delete"]
    assert [event.problem is None for event in events] == [True, False, True]
    alone = mobio.document(receive(mobio, bodies[0])[0])
    assert mobio.document(events[0]) == alone


@pytest.mark.parametrize(
    ("name", "kind", "known"),
    [
        ("note.create", "note_create", {"description", "source"}),
        ("note.update_data", "note_update_data", {"description"}),
        ("note.delete", "note_delete", set()),
        ("note_comment.create", "note_comment_create", {"description", "source"}),
        ("note_comment.update_data", "note_comment_update_data", {"description"}),
        ("note_comment.delete", "note_comment_delete", set()),
    ],
)
def test_m19_irregular_names_of_types_are_kinds_verbatim(notes, name, kind, known):
    document = notes(name)
    assert document["meta"]["kind"] == kind
    assert document["fields"].keys() & {"description", "source"} == known


def test_m20_microseconds_survive_alone_and_in_a_batch(mobio, sample, receive):
    body = json.loads(sample("mobio/note_comment.delete"))
    doubled = body | {"block_event": body["block_event"] * 2}
    for event in [*receive(mobio, body), *receive(mobio, doubled)]:
        document = mobio.document(event)
        assert document["data_event"]["action_time"] == 1669625443.474335
        assert document["data_event"]["created_time"] == 1669625445.483678
        assert document["was"]["created_time"] == 1669624150.896838
        assert b"1669625443.474335" in event.body


def test_m21_late_events_keep_their_own_time_and_order(mobio, sample):
    names = ("note_comment.create", "note_comment.update_data", "note_comment.delete")
    arrived = [
        mobio.document(mobio.preview(sample(f"mobio/{name}"), RECEIVED_AT + late)[0])
        for late, name in enumerate(reversed(names))
    ]
    by_arrival = sorted(arrived, key=lambda document: document["meta"]["received_at"])
    by_action = sorted(arrived, key=lambda document: document["data_event"]["action_time"])
    assert by_action == list(reversed(by_arrival))
    for document in arrived:
        assert document["data_event"]["action_time"] < document["data_event"]["created_time"]
        assert document["data_event"]["created_time"] < document["envelope"]["timestamp"]
