"""CareSoft: signatures, events and documents beyond what its samples show."""

import copy
import hashlib
import json

import pytest

from connector.errors import BadSignature, EventUnreadable, NotJson
from connector.model import Event
from connector.sources import VENDORS

RECEIVED_AT = 1_733_100_000_123_456
BODY = b'{"ticket_id":1}'
SIGNATURE = "420A69CE7D3C36559E9828D6361530DF30065D37"  # documented for the key CS123


def changed(**user):
    return {"object": "user", "action": "update", "user": {"id": 1, **user}}


# --- signatures


def test_the_documented_signature_is_made(caresoft):
    assert caresoft.sign(BODY) == {"X-Hub-Signature": SIGNATURE}


@pytest.mark.parametrize(
    ("header", "form"),
    [
        (SIGNATURE, "<hex>"),
        (SIGNATURE.lower(), "<hex>"),
        (f"sha1={SIGNATURE}", "sha1=<hex>"),
        (f"SHA1={SIGNATURE.lower()}", "sha1=<hex>"),
        (f"  sha1 = {SIGNATURE} ", "sha1=<hex>"),
    ],
)
def test_every_form_of_the_signature_is_taken_and_noted(caresoft, header, form):
    verified = caresoft.verify(BODY, {"x-hub-signature": header})
    assert (verified.source, verified.body, verified.app_id) == ("care", BODY, None)
    assert verified.form == form


@pytest.mark.parametrize(
    "header",
    [
        "",
        "sha1=",
        SIGNATURE[:-1],
        SIGNATURE + "0",
        SIGNATURE[:-1] + "G",
        "0" * 40,
        f"sha256={SIGNATURE}",
        f"mac={SIGNATURE}",
        f"{SIGNATURE}, {SIGNATURE}",
        "１" * 40,
        "ÿ" * 40,
        "\ud800" * 40,
        f"ſha1={SIGNATURE}",
    ],
)
def test_any_other_signature_is_bad(caresoft, header):
    with pytest.raises(BadSignature):
        caresoft.verify(BODY, {"X-Hub-Signature": header})


def test_a_missing_signature_is_bad(caresoft):
    with pytest.raises(BadSignature):
        caresoft.verify(BODY, {"Content-Type": "application/json"})


@pytest.mark.parametrize("body", [b'{"ticket_id": 1}', b'{"ticket_id":1}\n', b""])
def test_the_signature_covers_every_byte(caresoft, body):
    with pytest.raises(BadSignature):
        caresoft.verify(body, {"X-Hub-Signature": SIGNATURE})


def test_old_and_new_secret_both_hold_while_rotating(make_caresoft):
    both = make_caresoft("new", "old")
    for secret in ("new", "old"):
        assert both.verify(BODY, make_caresoft(secret).sign(BODY)).body == BODY
    with pytest.raises(BadSignature):
        both.verify(BODY, make_caresoft("older").sign(BODY))


def test_the_first_secret_signs(make_caresoft):
    assert make_caresoft("new", "old").sign(BODY) == make_caresoft("new").sign(BODY)


def test_without_a_secret_nothing_is_accepted(make_caresoft):
    empty_key = "5D61605C3FEEA9799210DDCB71307D4BA264225F"
    for source in (make_caresoft(), make_caresoft("")):
        assert source.sign(b"") == {}
        for header in ({}, {"X-Hub-Signature": empty_key}):
            with pytest.raises(BadSignature):
                source.verify(b"", header)


def test_unsigned_accepts_everything_only_when_said_out_loud(make_caresoft):
    unsigned = make_caresoft(unsigned=True)
    for headers in ({}, {"X-Hub-Signature": "nonsense"}):
        assert unsigned.verify(BODY, headers).form == "unsigned"


def test_nothing_is_parsed_before_the_signature_holds(caresoft):
    with pytest.raises(BadSignature):
        caresoft.verify(b"no json at all", {"X-Hub-Signature": SIGNATURE})


# --- events


def test_the_id_is_the_hash_of_the_raw_body(caresoft, receive):
    raw = b'{ "object":"ticket", "action":"delete", "ticket":{"ticket_id":1} }'
    (event,) = receive(caresoft, raw)
    assert event == Event(
        source="care",
        vendor="caresoft",
        id=hashlib.sha256(raw).hexdigest(),
        kind="ticket.delete",
        body=raw,
        received_at=RECEIVED_AT,
    )


@pytest.mark.parametrize("body", [b"", b"ticket_id=1", b'{"object": NaN}', b"\xff\xfe{}"])
def test_a_body_that_is_no_json_is_refused(caresoft, receive, body):
    with pytest.raises(NotJson):
        receive(caresoft, body)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ([], "the body is a list"),
        (None, "the body is null"),
        ("ticket", "the body is text"),
        (5, "the body is a number"),
        (True, "the body is a boolean"),
        ({}, "`object` is missing"),
        ({"object": "ticket"}, "`action` is missing"),
        ({"action": "create"}, "`object` is missing"),
        ({"object": 1, "action": "create"}, "`object` is a number"),
        ({"object": "ticket", "action": None}, "`action` is null"),
        ({"object": "ticket", "action": ["create"]}, "`action` is a list"),
        ({"object": "", "action": "create"}, "`object` is blank"),
        ({"object": "ticket", "action": " "}, "`action` is blank"),
    ],
)
def test_authentic_json_that_names_no_kind_is_kept_with_its_problem(
    caresoft, receive, body, problem
):
    raw = json.dumps(body).encode()
    (event,) = receive(caresoft, raw)
    assert event.kind is None
    assert event.body == raw
    assert event.id == hashlib.sha256(raw).hexdigest()
    assert event.problem.startswith(problem)
    with pytest.raises(EventUnreadable, match="was expected"):
        caresoft.document(event)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("[" * 49 + "1" + "]" * 49, None),
        ("[" * 50 + "1" + "]" * 50, "nested deeper than 50"),
        ("[" * 100_000 + "]" * 100_000, "nested deeper than 50"),
        ('"\\ud800"', "half a surrogate pair"),
        ("1" * 5_000, "too large"),
        ("1e999", "too large"),
    ],
)
def test_json_that_cannot_be_carried_on_is_kept_with_its_kind(caresoft, receive, value, problem):
    raw = f'{{"object": "ticket", "action": "update", "x": {value}}}'.encode()
    (event,) = receive(caresoft, raw)
    assert event.kind == "ticket.update"
    assert event.body == raw
    if problem is None:
        assert event.problem is None
        assert caresoft.document(event)["meta"]["kind"] == "ticket.update"
    else:
        assert problem in event.problem
        with pytest.raises(EventUnreadable, match=problem):
            caresoft.document(event)


def test_a_kind_that_cannot_be_written_is_none(caresoft, receive):
    (event,) = receive(caresoft, rb'{"object": "ticket\ud800", "action": "update"}')
    assert event.kind is None
    assert "surrogate" in event.problem


def test_preview_gives_what_parse_gives(caresoft, receive, sample):
    body = sample("caresoft/deal.update")
    assert caresoft.preview(body, RECEIVED_AT) == receive(caresoft, body)


@pytest.mark.parametrize("kind", VENDORS["caresoft"].kinds)
def test_every_documented_kind_has_a_sample_with_a_document(
    kind, caresoft, care_document, sample, request
):
    folder = request.config.rootpath / "tests/samples/caresoft"
    paths = sorted([*folder.glob(f"{kind}.json"), *folder.glob(f"{kind}-?.json")])
    assert paths
    for path in paths:
        document = care_document(path.read_bytes())
        assert document["meta"]["kind"] == kind
        assert document["raw"] == json.loads(path.read_bytes())


# --- documents: meta and raw


def test_meta_tells_what_the_connector_knows(care_document):
    document = care_document({"object": "ticket", "action": "delete", "account_id": 7})
    assert document["meta"] == {
        "kind": "ticket.delete",
        "source": "care",
        "account": "7",
        "event_id": hashlib.sha256(
            b'{"object": "ticket", "action": "delete", "account_id": 7}'
        ).hexdigest(),
        "received_at": "2024-12-02T00:40:00.123456Z",
    }


@pytest.mark.parametrize(
    ("body", "account"),
    [
        ({"account_id": 1, "user": {"account_id": 2}}, "1"),
        ({"user": {"account_id": 2}}, "2"),
        ({"call_info": {"account_id": "t-3"}}, "t-3"),
        ({"data": {"inner": {"account_id": 4}}}, "4"),
        ({"data": [{"account_id": 5}]}, "5"),
        ({"account_id": None, "user": {"account_id": 2}}, "2"),
        ({"account_id": "", "user": {"account_id": 2}}, "2"),
        ({"account_id": [8, 9]}, "8"),
        ({"account_id": []}, None),
        ({"account_id": {}}, None),
        ({"account_id": True}, None),
        ({"account_id": 0}, "0"),
        ({}, None),
    ],
)
def test_the_account_is_text_wherever_it_stands(care_document, body, account):
    assert care_document({"object": "x", "action": "y", **body})["meta"]["account"] == account


def test_raw_and_meta_win_over_keys_of_the_body(care_document):
    body = {"object": "x", "action": "y", "raw": 1, "meta": {"kind": "forged"}}
    document = care_document(body)
    assert document["raw"] == body
    assert document["meta"]["kind"] == "x.y"


def test_what_the_body_holds_stays_as_sent(care_document):
    body = {"object": "contract", "action": "signed", "contract": {"id": 1}, "list": [1, {}]}
    document = care_document(body)
    assert {key: document[key] for key in body} == body


def test_raw_is_untouched_by_folding(care_document, sample):
    body = {
        "object": "user",
        "action": "update",
        "user": {
            "id": 1,
            "addition_field9": "stray",
            "addition_fields": [{}, {"field": "addition_field1", "value": "old"}],
            "changes": [
                {"field": "addition_field1", "value": "new"},
                {"field": "username", "value": "Lan"},
            ],
        },
    }
    document = care_document(copy.deepcopy(body))
    assert document["raw"] == body
    assert document["user"] != body["user"]


# --- documents: changes


def test_changes_set_fields_and_the_rest_is_absent(care_document):
    user = care_document(changed(changes=[{"field": "note", "value": "VIP"}]))["user"]
    assert user == {
        "id": 1,
        "note": "VIP",
        "addition_fields": [],
        "changes": [{"field": "note", "value": "VIP"}],
    }


def test_a_change_wins_over_the_field_it_names(care_document):
    user = care_document(changed(note="old", changes=[{"field": "note", "value": ""}]))["user"]
    assert user["note"] == ""


def test_of_two_changes_of_one_field_the_last_wins(care_document):
    changes = [
        {"field": "note", "value": "a"},
        {"field": "addition_field1", "value": "a"},
        {"field": "note", "value": "b"},
        {"field": "addition_field1", "value": "b"},
    ]
    user = care_document(changed(changes=changes))["user"]
    assert user["note"] == "b"
    assert user["addition_fields"] == [{"field": "addition_field1", "value": "b"}]


def test_a_change_wins_over_an_element_and_keeps_its_definition(care_document):
    old = {"id": 5, "field": "addition_field1", "label": "L", "type": 3, "value": "a"}
    other = {"id": 6, "field": "addition_field2", "type": 0, "value": "x"}
    user = care_document(
        changed(
            addition_fields=[old | {"value_id": 11}, other],
            changes=[{"field": "addition_field1", "value": "b"}],
        )
    )["user"]
    assert user["addition_fields"] == [old | {"value": "b"}, other]


def test_a_change_replaces_every_element_of_its_code(care_document):
    user = care_document(
        changed(
            addition_fields=[
                {"field": "addition_field1", "value": "a"},
                {"field": "addition_field1", "value": "b"},
            ],
            changes=[{"field": "addition_field1", "value": "c"}],
        )
    )["user"]
    assert user["addition_fields"] == [{"field": "addition_field1", "value": "c"}]


def test_a_change_without_a_value_tells_null(care_document):
    user = care_document(changed(note="old", changes=[{"field": "note"}]))["user"]
    assert user["note"] is None


def test_a_change_wins_over_a_stray_in_the_list_and_the_stray_stays(care_document):
    user = care_document(
        changed(addition_field1="stray", changes=[{"field": "addition_field1", "value": "new"}])
    )["user"]
    assert user["addition_fields"] == [{"field": "addition_field1", "value": "new"}]
    assert user["addition_field1"] == "stray"


def test_a_change_called_changes_leaves_the_list_in_place(care_document):
    changes = [{"field": "changes", "value": 1}]
    assert care_document(changed(changes=changes))["user"]["changes"] == changes


def test_a_change_of_the_whole_list_is_read_as_a_list(care_document):
    listed = [{}, {"field": "addition_field1", "value": "x"}]
    user = care_document(changed(changes=[{"field": "addition_fields", "value": listed}]))["user"]
    assert user["addition_fields"] == listed[1:]


@pytest.mark.parametrize("name", ["user", "organization"])
def test_changes_are_folded_into_users_and_organizations(care_document, name):
    body = {"object": name, "action": "update", name: {"changes": [{"field": "note", "value": 1}]}}
    assert care_document(body)[name]["note"] == 1


def test_changes_of_other_objects_stay_alone(care_document):
    body = {
        "object": "ticket",
        "action": "update",
        "ticket": {"changes": [{"field": "note", "value": 1}]},
        "changes": [{"field": "note", "value": 2}],
    }
    document = care_document(body)
    assert "note" not in document["ticket"]
    assert "note" not in document


@pytest.mark.parametrize("empty", [None, [], "", {}, [None], [{}], [""]])
def test_empty_changes_change_nothing(care_document, empty):
    user = care_document(changed(changes=empty))["user"]
    assert user == {"id": 1, "changes": empty, "addition_fields": []}


def test_a_lone_change_stands_for_a_list_of_one(care_document):
    assert care_document(changed(changes={"field": "note", "value": 1}))["user"]["note"] == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("note", "user.changes is text"),
        (7, "user.changes is a number"),
        (["note"], "user.changes holds text"),
        ([{"field": "note", "value": 1}, 5], "user.changes holds a number"),
        ([{"value": 1}], "without a field"),
        ([{"field": "", "value": 1}], "without a field"),
        ([{"field": 3, "value": 1}], "without a field"),
        ({"note": "x"}, "without a field"),
    ],
)
def test_changes_that_would_be_lost_make_the_event_unreadable(care_document, changes, message):
    with pytest.raises(EventUnreadable, match=message):
        care_document(changed(changes=changes))


# --- documents: addition_fields


@pytest.mark.parametrize("name", ["user", "organization", "ticket", "lead", "deal"])
@pytest.mark.parametrize("sent", [{}, {"addition_fields": None}, {"addition_fields": []}])
def test_addition_fields_are_a_list_also_when_absent(care_document, name, sent):
    document = care_document({"object": name, "action": "create", name: sent})
    assert document[name]["addition_fields"] == []


def test_elements_without_a_code_are_dropped(care_document):
    good = {"field": "addition_field1", "value": "x"}
    listed = [{}, None, good, "", {"id": 5, "value": "y"}, {"field": "", "value": "z"}, 3, []]
    document = care_document(
        {"object": "deal", "action": "create", "deal": {"addition_fields": listed}}
    )
    assert document["deal"]["addition_fields"] == [good]


def test_a_lone_element_stands_for_a_list_of_one(care_document):
    good = {"field": "addition_field1", "value": "x"}
    document = care_document(
        {"object": "deal", "action": "create", "deal": {"addition_fields": good}}
    )
    assert document["deal"]["addition_fields"] == [good]


@pytest.mark.parametrize("wrong", ["x", 5, True, {"addition_field1": "x"}])
def test_addition_fields_of_another_type_make_the_event_unreadable(care_document, wrong):
    with pytest.raises(EventUnreadable, match=r"deal\.addition_fields is .*, a list was expected"):
        care_document({"object": "deal", "action": "create", "deal": {"addition_fields": wrong}})


def test_a_stray_joins_the_list_only_when_the_list_lacks_it(care_document):
    listed = [{"field": "addition_field1", "type": 0, "value": "listed"}]
    ticket = care_document(
        {
            "object": "ticket",
            "action": "update",
            "ticket": {
                "addition_field1": "stray",
                "addition_field2": None,
                "addition_field3": "new",
                "addition_fields": listed,
                "addition_fieldx": 1,
                "my_addition_field4": 1,
            },
        }
    )["ticket"]
    assert ticket["addition_fields"] == [
        *listed,
        {"field": "addition_field2", "value": None},
        {"field": "addition_field3", "value": "new"},
    ]
    assert ticket["addition_field1"] == "stray"
    assert ticket["addition_field3"] == "new"


@pytest.mark.parametrize("value", [None, "x", 5, [{"addition_fields": []}]])
def test_an_object_of_another_type_passes_as_sent(care_document, value):
    document = care_document({"object": "ticket", "action": "create", "ticket": value})
    assert document["ticket"] == value


# --- documents: updated_properties


def converted(properties):
    return {"object": "deal", "action": "convert", "deal": {}, "updated_properties": properties}


def test_updated_properties_are_given_by_name_and_stay(care_document):
    properties = [
        {"field": "value", "value": 0},
        {"field": "converted_at", "value": 1713154107391},
        {"field": "addition_field22", "value": "92942"},
    ]
    document = care_document(converted(properties))
    assert document["updated"] == {
        "value": 0,
        "converted_at": 1713154107391,
        "addition_field22": "92942",
    }
    assert document["updated_properties"] == properties
    assert "converted_at" not in document["deal"]


def test_of_two_updates_of_one_property_the_last_wins(care_document):
    properties = [{"field": "value", "value": 1}, {"field": "value", "value": 2}]
    assert care_document(converted(properties))["updated"] == {"value": 2}


@pytest.mark.parametrize("empty", [None, [], [{}]])
def test_empty_updated_properties_give_an_empty_object(care_document, empty):
    assert care_document(converted(empty))["updated"] == {}


@pytest.mark.parametrize("wrong", ["value", [1], [{"value": 1}], {"value": 1}])
def test_updated_properties_that_would_be_lost_make_the_event_unreadable(care_document, wrong):
    with pytest.raises(EventUnreadable, match="updated_properties"):
        care_document(converted(wrong))


# --- kinds that nobody documented


def test_an_undocumented_kind_is_an_event_like_any_other(care_document):
    document = care_document(
        {
            "object": "lead",
            "action": "merge",
            "lead": {"lead_id": 1, "addition_field3": "x"},
            "updated_properties": [{"field": "name", "value": "n"}],
        }
    )
    assert document["meta"]["kind"] == "lead.merge"
    assert document["updated"] == {"name": "n"}
    assert document["lead"]["addition_fields"] == [{"field": "addition_field3", "value": "x"}]


def test_an_undocumented_kind_may_use_known_names_for_something_else(care_document):
    document = care_document(
        {
            "object": "user",
            "action": "audit",
            "user": {"id": 1, "changes": "many"},
            "updated_properties": ["name", "note"],
        }
    )
    assert document["user"] == {"id": 1, "changes": "many", "addition_fields": []}
    assert "updated" not in document


def test_an_event_kept_with_another_body_is_unreadable(caresoft):
    for body in (b"[]", b"no json", b'{"a": "\\ud800"}'):
        event = Event("care", "caresoft", "1", "ticket.update", body, RECEIVED_AT)
        with pytest.raises(EventUnreadable):
            caresoft.document(event)
