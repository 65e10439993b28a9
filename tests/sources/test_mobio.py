"""Mobio: signatures, events and documents beyond what its samples show."""

import copy
import hashlib
import json

import pytest
import rfc8785

from connector.errors import BadSignature, EventUnreadable, NotJson
from connector.model import Event
from connector.sources import VENDORS

RECEIVED_AT = 1_733_100_000_123_456
NOTE_APP = "16453496-6a17-11ed-8a77-6632ed169876"
COMMENT_APP = "c71f0b7a-6ecc-11ed-9704-468042e8692e"
BODY = b'{"block_event": []}'
MAC = hashlib.sha256(NOTE_APP.encode() + BODY + b"note secret").hexdigest()


def batch(*elements, **envelope):
    return {"merchant_id": "m-1", **envelope, "block_event": list(elements)}


def note(kind, *details, **data):
    data_event = {"note_id": "n-1", "event_detail": list(details), **data}
    return {"message_id": "1", "event_type": kind, "data_event": data_event}


def detail(key, add=(), remove=(), change=()):
    return {"field_key": key, "add": list(add), "remove": list(remove), "change": list(change)}


# --- signatures


def test_the_signature_is_made_by_the_formula(mobio):
    assert mobio.sign(BODY, NOTE_APP) == {"X-mevent-signature": f"mac={MAC}"}


@pytest.mark.parametrize(
    ("header", "form"),
    [
        (f"mac={MAC}", "mac=<hex>"),
        (f"MAC={MAC.upper()}", "mac=<hex>"),
        (f"  mac={MAC}  ", "mac=<hex>"),
        (f"mac = {MAC}", "mac = <hex>"),
        (f"Mac  =\t{MAC}", "mac = <hex>"),
        (f"mac= {MAC}", "mac = <hex>"),
        (MAC, "<hex>"),
        (MAC.upper(), "<hex>"),
        (f"\t{MAC} ", "<hex>"),
    ],
)
def test_every_form_of_the_signature_is_taken_and_noted(mobio, header, form):
    verified = mobio.verify(BODY, {"X-MEVENT-SIGNATURE": header})
    assert (verified.source, verified.body, verified.app_id) == ("notes", BODY, NOTE_APP)
    assert verified.form == form


@pytest.mark.parametrize(
    "header",
    [
        "",
        "mac=",
        "mac",
        MAC[:-1],
        MAC + "00",
        MAC[:-1] + "g",
        "0" * 64,
        f"mac:{MAC}",
        f"sha256={MAC}",
        f"mac=mac={MAC}",
        f"mac={MAC[:32]} {MAC[32:]}",
        "é" * 64,
        "\udcff" * 64,
    ],
)
def test_any_other_signature_is_bad(mobio, header):
    with pytest.raises(BadSignature):
        mobio.verify(BODY, {"X-mevent-signature": header})


def test_a_missing_signature_is_bad(mobio):
    with pytest.raises(BadSignature):
        mobio.verify(BODY, {"X-Hub-Signature": MAC})


def test_the_signature_covers_every_byte(mobio):
    with pytest.raises(BadSignature):
        mobio.verify(BODY + b" ", {"X-mevent-signature": MAC})


def test_hmac_with_the_same_secret_is_not_what_mobio_signs(mobio):
    import hmac

    wrong = hmac.new(b"note secret", NOTE_APP.encode() + BODY, "sha256").hexdigest()
    with pytest.raises(BadSignature):
        mobio.verify(BODY, {"X-mevent-signature": wrong})


def test_old_and_new_secret_both_hold_while_rotating(make_mobio):
    both = make_mobio(app=("new", "old"))
    for secret in ("new", "old"):
        signed = make_mobio(app=(secret,)).sign(BODY)
        assert both.verify(BODY, signed).app_id == "app"
    with pytest.raises(BadSignature):
        both.verify(BODY, make_mobio(app=("older",)).sign(BODY))


def test_secrets_belong_to_their_app(make_mobio):
    source = make_mobio(a=("secret a",), b=("secret b",))
    assert source.verify(BODY, make_mobio(b=("secret b",)).sign(BODY)).app_id == "b"
    with pytest.raises(BadSignature):
        source.verify(BODY, make_mobio(b=("secret a",)).sign(BODY))


def test_without_a_secret_nothing_is_accepted(make_mobio):
    bare = hashlib.sha256(b"a" + BODY).hexdigest()
    for source in (make_mobio(), make_mobio(a=()), make_mobio(a=("",))):
        assert source.sign(BODY) == {}
        with pytest.raises(BadSignature):
            source.verify(BODY, {"X-mevent-signature": bare})


def test_the_app_that_the_body_names_signs_unless_another_is_asked_for(mobio):
    body = json.dumps(batch(app_id=COMMENT_APP)).encode()
    assert mobio.verify(body, mobio.sign(body)).app_id == COMMENT_APP
    assert mobio.verify(body, mobio.sign(body, NOTE_APP)).app_id == NOTE_APP


@pytest.mark.parametrize("body", [b"no json", b"{}", b'{"app_id": "unknown"}', b'{"app_id": []}'])
def test_the_first_app_signs_a_body_that_names_none_of_ours(mobio, body):
    assert mobio.verify(body, mobio.sign(body)).app_id == NOTE_APP


def test_an_app_that_is_not_configured_cannot_sign(mobio):
    with pytest.raises(BadSignature, match="other is not configured"):
        mobio.sign(BODY, "other")


def test_a_body_that_names_another_app_is_a_bad_signature(mobio):
    for named in (COMMENT_APP, "somebody else", 5):
        body = json.dumps(batch(app_id=named)).encode()
        verified = mobio.verify(body, mobio.sign(body, NOTE_APP))
        with pytest.raises(BadSignature, match="another app_id"):
            mobio.parse(verified, RECEIVED_AT)


@pytest.mark.parametrize("named", [{}, {"app_id": None}, {"app_id": ""}, {"app_id": []}])
def test_a_body_that_names_no_app_goes_by_its_signature(mobio, named):
    body = json.dumps(batch(note("note_create"), **named)).encode()
    assert len(mobio.parse(mobio.verify(body, mobio.sign(body)), RECEIVED_AT)) == 1


# --- events


def test_an_empty_batch_has_no_events(mobio, receive):
    assert receive(mobio, BODY) == []


@pytest.mark.parametrize("body", [b"", b"{", b'{"block_event": [NaN]}', b"\xff"])
def test_a_body_that_is_no_json_is_refused(mobio, receive, body):
    with pytest.raises(NotJson):
        receive(mobio, body)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ([], "the body is a list, an object was expected"),
        (None, "the body is null, an object was expected"),
        ({}, "`block_event` is missing, a list of events was expected"),
        ({"block_event": None}, "`block_event` is null, a list of events was expected"),
        ({"block_event": {}}, "`block_event` is an object, a list of events was expected"),
        ({"block_event": "x"}, "`block_event` is text, a list of events was expected"),
    ],
)
def test_a_body_without_a_batch_is_one_dead_event(mobio, receive, body, problem):
    raw = json.dumps(body).encode()
    (event,) = receive(mobio, raw)
    digest = hashlib.sha256(raw).hexdigest()
    assert event == Event("notes", "mobio", digest, None, raw, RECEIVED_AT, problem)
    with pytest.raises(EventUnreadable, match="was expected"):
        mobio.document(event)


def test_each_element_is_an_event_of_its_own(mobio, receive):
    first, second = note("note_create"), note("note_delete") | {"message_id": "2"}
    events = receive(mobio, batch(first, second, version=1))
    assert [(event.id, event.kind) for event in events] == [
        ("1", "note_create"),
        ("2", "note_delete"),
    ]
    assert [json.loads(event.body) for event in events] == [
        batch(first, version=1),
        batch(second, version=1),
    ]


def test_an_event_that_came_alone_keeps_the_bytes_of_the_request(mobio, receive):
    raw = b'{ "block_event" : [ {"message_id":"1","event_type":"note_create"} ] }'
    (event,) = receive(mobio, raw)
    assert event.body == raw


def test_an_event_of_a_batch_keeps_its_numbers_and_letters(mobio, receive):
    data = b'{"t": 1669200439.676389, "n": 12345678901234567890, "f": 1.0, "s": "Ti\\u1ebfng \\/"}'
    element = b'{"message_id": "1", "event_type": "x", "data_event": ' + data + b"}"
    event, _ = receive(mobio, b'{"a": 0.1, "block_event": [' + element + b", {}]}")
    assert (
        event.body
        == (
            '{"a":0.1,"block_event":[{"message_id":"1","event_type":"x","data_event":'
            '{"t":1669200439.676389,"n":12345678901234567890,"f":1.0,"s":"Tiếng /"}}]}'
        ).encode()
    )


def test_two_elements_with_one_id_are_both_returned(mobio, receive):
    events = receive(mobio, batch(note("note_create"), note("note_create")))
    assert [event.id for event in events] == ["1", "1"]


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (None, "is null, an object was expected"),
        ("note", "is text, an object was expected"),
        ([], "is a list, an object was expected"),
        ({}, "`event_type` is neither beside nor inside"),
        ({"event_type": 5}, "`event_type` is neither beside nor inside"),
        ({"event_type": " ", "data_event": "x"}, "`event_type` is neither beside nor inside"),
    ],
)
def test_one_bad_element_leaves_the_others_good(mobio, receive, bad, problem):
    events = receive(mobio, batch(note("note_create"), bad, note("note_delete")))
    assert [event.kind for event in events] == ["note_create", None, "note_delete"]
    assert [event.problem is None for event in events] == [True, False, True]
    assert problem in events[1].problem
    assert json.loads(events[1].body) == batch(bad)
    assert mobio.document(events[2])["note"] == {"id": "n-1"}


@pytest.mark.parametrize(
    ("flawed", "problem"),
    [
        ("[" * 47 + "]" * 47, None),
        ("[" * 48 + "]" * 48, "nested deeper than 50"),
        ("[" * 90_000 + "]" * 90_000, "nested deeper than 50"),
        ('"\\udc00"', "half a surrogate pair"),
        ("9" * 5_000, "too large"),
        ("1e400", "too large"),
    ],
)
def test_one_flawed_element_leaves_the_others_good(mobio, receive, flawed, problem):
    good = json.dumps(note("note_create"))
    element = f'{{"message_id": "7", "event_type": "note_create", "x": {flawed}}}'
    raw = f'{{"block_event": [{good}, {element}, {good}]}}'.encode()
    events = receive(mobio, raw)
    assert [event.id for event in events] == ["1", "7", "1"]
    assert [event.problem for event in (events[0], events[2])] == [None, None]
    assert json.loads(events[0].body) == {"block_event": [note("note_create")]}
    if problem is None:
        assert events[1].problem is None
    else:
        assert problem in events[1].problem
        assert events[1].kind == "note_create"
        assert events[1].body == raw
        with pytest.raises(EventUnreadable, match=problem):
            mobio.document(events[1])


def test_a_flawed_envelope_is_a_problem_of_all_its_events(mobio, receive):
    good = json.dumps(note("note_create"))
    raw = f'{{"x": "\\ud800", "block_event": [{good}, {good}]}}'.encode()
    events = receive(mobio, raw)
    assert all("surrogate" in event.problem for event in events)
    assert [event.body for event in events] == [raw, raw]


def test_a_body_that_names_another_app_is_refused_however_deep_it_is(mobio):
    raw = f'{{"x": {"[" * 9_000 + "]" * 9_000}, "app_id": "{COMMENT_APP}"}}'.encode()
    with pytest.raises(BadSignature):
        mobio.parse(mobio.verify(raw, mobio.sign(raw, NOTE_APP)), RECEIVED_AT)


# --- ids


def identified(mobio, receive, element):
    (event,) = receive(mobio, batch(element))
    return event.id


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        ({"message_id": "m"}, "m"),
        ({"message_id": " m:1/đ "}, " m:1/đ "),
        ({"message_id": 17}, "17"),
        ({"message_id": "m", "data_event": {"event_id": "e"}, "event_type": "t"}, "m"),
        ({"data_event": {"message_id": "m"}}, "m"),
        ({"message_id": "", "data_event": {"event_id": "e"}, "event_type": "t"}, "e:t"),
        ({"message_id": None, "data_event": {"event_id": "e"}, "event_type": "t"}, "e:t"),
        ({"message_id": ["m"], "data_event": {"event_id": "e"}, "event_type": "t"}, "e:t"),
        ({"message_id": True, "data_event": {"event_id": "e"}, "event_type": "t"}, "e:t"),
        ({"data_event": {"event_id": "e", "event_type": "t"}}, "e:t"),
        ({"event_id": "e", "event_type": "t"}, "e:t"),
        ({"data_event": {"event_id": 5}, "event_type": "t"}, "5:t"),
    ],
)
def test_an_id_is_the_message_id_or_the_event_id_with_its_type(mobio, receive, element, expected):
    assert identified(mobio, receive, element) == expected


@pytest.mark.parametrize(
    "element",
    [
        {"event_type": "note_create", "data_event": {"b": 1, "a": [1.0, "é"]}},
        {"data_event": {"event_id": "e"}},
        {"event_id": {"x": 1}, "event_type": "t"},
        {},
        "x",
        None,
    ],
)
def test_an_element_without_an_id_is_known_by_its_canonical_json(mobio, receive, element):
    expected = hashlib.sha256(rfc8785.dumps(element)).hexdigest()
    assert identified(mobio, receive, element) == expected


def test_spelling_does_not_change_the_id(mobio, receive):
    first = b'{"block_event": [{"event_type": "t", "a": 1.0, "b": "\\u00e9"}]}'
    second = '{"x": 1, "block_event": [{"b": "é", "event_type": "t", "a": 1}]}'.encode()
    assert receive(mobio, first)[0].id == receive(mobio, second)[0].id


@pytest.mark.parametrize("value", ["12345678901234567890", '"\\ud800"', "[" * 60 + "]" * 60])
def test_what_has_no_canonical_json_still_has_a_steady_id(mobio, receive, value):
    def identify(text):
        raw = f'{{"block_event": [{{"event_type": "t", {text}}}]}}'
        return receive(mobio, raw.encode())[0].id

    assert identify(f'"a": {value}, "b": 1') == identify(f'"b": 1, "a": {value}')
    assert identify(f'"a": {value}, "b": 1') != identify(f'"a": {value}, "b": 2')


# --- documents


def fields_of(mobio_document, kind, *details):
    return mobio_document(batch(note(kind, *details)))


@pytest.mark.parametrize("kind", VENDORS["mobio"].kinds)
def test_every_documented_kind_has_a_sample_with_a_document(kind, mobio_document, request):
    folder = request.config.rootpath / "tests/samples/mobio"
    documents = [mobio_document(path.read_bytes()) for path in folder.glob("*.json")]
    (document,) = [found for found in documents if found["meta"]["kind"] == kind]
    name = "comment" if "comment" in kind else "note"
    assert document[name] is document["fields"]
    assert document["fields"]["id"] == document["data_event"][f"{name}_id"]
    assert {"note", "comment"} & document.keys() == {name}


def test_a_document_is_the_element_its_envelope_and_its_deltas(mobio_document):
    element = note("note_update_data", detail("description", change=[{"from": "a", "to": "b"}]))
    document = mobio_document(batch(element, timestamp=1, app_id=NOTE_APP))
    assert document == {
        **element,
        "envelope": {"merchant_id": "m-1", "timestamp": 1, "app_id": NOTE_APP},
        "fields": {"description": "b", "id": "n-1"},
        "note": {"description": "b", "id": "n-1"},
        "was": {"description": "a"},
        "raw": element,
        "meta": {
            "kind": "note_update_data",
            "source": "notes",
            "account": "m-1",
            "event_id": "1",
            "received_at": "2024-12-02T00:40:00.123456Z",
        },
    }


def test_the_document_leaves_the_body_untouched(mobio, receive, sample):
    (event,) = receive(mobio, sample("mobio/note.create"))
    document = mobio.document(event)
    assert document["raw"] == json.loads(event.body)["block_event"][0]


def test_names_of_the_document_win_over_keys_of_the_element(mobio_document):
    names = ("raw", "meta", "envelope", "fields", "was", "note")
    element = note("note_create", detail("description", add=["x"])) | dict.fromkeys(names, "forged")
    document = mobio_document(batch(copy.deepcopy(element)))
    assert document["raw"] == element
    assert document["envelope"] == {"merchant_id": "m-1"}
    assert document["note"] == document["fields"] == {"description": "x", "id": "n-1"}
    assert document["was"] == {}
    assert document["meta"]["kind"] == "note_create"


@pytest.mark.parametrize(
    ("body", "account"),
    [
        (batch({"data_event": {"merchant_id": "d"}}), "m-1"),
        ({"block_event": [{"data_event": {"merchant_id": "d"}}]}, "d"),
        ({"block_event": [{"data_event": {"merchant_id": ["l-1", "l-2"]}}]}, "l-1"),
        ({"merchant_id": "", "block_event": [{"data_event": {"merchant_id": 5}}]}, "5"),
        ({"merchant_id": ["e-1"], "block_event": [{}]}, "e-1"),
        ({"block_event": [{"merchant_id": []}]}, None),
        (
            {"block_event": [{"data_event": {"event_detail": [detail("merchant_id", add=["f"])]}}]},
            "f",
        ),
        ({"block_event": [{}]}, None),
    ],
)
def test_the_account_is_text_wherever_it_stands(mobio_document, body, account):
    body["block_event"][0]["event_type"] = "thing_create"
    assert mobio_document(body)["meta"]["account"] == account


# --- documents: creates


@pytest.mark.parametrize(
    ("add", "value"),
    [
        (["x"], "x"),
        (["x", "y"], ["x", "y"]),
        ([["x"]], ["x"]),
        ([{"type": "CALL"}], {"type": "CALL"}),
        ([0], 0),
        ([""], ""),
        ([None], None),
    ],
)
def test_a_create_gives_the_one_value_or_the_list(mobio_document, add, value):
    document = fields_of(mobio_document, "note_create", detail("x", add=add))
    assert document["fields"]["x"] == value
    assert document["was"] == {}


@pytest.mark.parametrize(
    "key", ["attachment_ids", "file_attachment_ids", "mentions", "mention", "account_mentions"]
)
@pytest.mark.parametrize(
    ("add", "value"),
    [
        ([[]], []),
        (["a"], ["a"]),
        ([["a"]], ["a"]),
        (["a", "b"], ["a", "b"]),
        ([["a"], ["b"]], ["a", "b"]),
        ([["a", "b"], "c", []], ["a", "b", "c"]),
        ([None], []),
    ],
)
def test_a_list_field_is_a_flat_list_always(mobio_document, key, add, value):
    created = fields_of(mobio_document, "note_create", detail(key, add=add))
    assert created["fields"][key] == value
    deleted = fields_of(mobio_document, "note_delete", detail(key, remove=add))
    assert deleted["was"][key] == value


def test_a_field_whose_lists_are_all_empty_is_absent(mobio_document):
    for kind in ("note_create", "note_update_data", "note_delete"):
        details = (detail("description"), detail("mentions"), {"field_key": "source"})
        document = fields_of(mobio_document, kind, *details)
        assert document["fields"] == {"id": "n-1"}
        assert document["was"] == {}


def test_a_create_that_tells_a_change_is_understood(mobio_document):
    change = [{"from": "a", "to": "b"}]
    document = fields_of(mobio_document, "note_create", detail("status", change=change))
    assert document["fields"]["status"] == "b"
    assert document["was"]["status"] == "a"


def test_a_create_tells_no_old_value_by_remove(mobio_document):
    document = fields_of(mobio_document, "note_create", detail("status", remove=["x"]))
    assert document["fields"] == {"id": "n-1"}
    assert document["was"] == {}


# --- documents: updates


def test_of_several_changes_the_first_from_and_the_last_to_count(mobio_document):
    changes = [{"from": "a", "to": "b"}, {"from": "b", "to": "c"}, {"from": "c", "to": "d"}]
    document = fields_of(mobio_document, "note_update_data", detail("status", change=changes))
    assert document["fields"]["status"] == "d"
    assert document["was"]["status"] == "a"


@pytest.mark.parametrize(
    ("add", "remove", "delta"),
    [
        (["a"], [], {"add": ["a"]}),
        ([], ["b"], {"remove": ["b"]}),
        (["a"], ["b"], {"add": ["a"], "remove": ["b"]}),
        ([["a", "b"]], [["c"], []], {"add": ["a", "b"], "remove": ["c"]}),
        ([[]], ["c"], {"remove": ["c"]}),
    ],
)
@pytest.mark.parametrize("key", ["mentions", "tags"])
def test_an_update_gives_what_was_added_and_removed(mobio_document, key, add, remove, delta):
    document = fields_of(mobio_document, "note_update_data", detail(key, add, remove))
    assert document["fields"][key] == delta
    assert document["was"] == {}


def test_a_delta_of_empty_lists_is_absent(mobio_document):
    document = fields_of(mobio_document, "note_update_data", detail("mentions", [[]], [[], []]))
    assert document["fields"] == {"id": "n-1"}


def test_a_change_tells_the_whole_value_whatever_was_added(mobio_document):
    told = detail("mentions", add=["b"], change=[{"from": ["a"], "to": ["a", "b"]}])
    document = fields_of(mobio_document, "note_update_data", told)
    assert document["fields"]["mentions"] == ["a", "b"]
    assert document["was"]["mentions"] == ["a"]


@pytest.mark.parametrize(
    ("change", "new", "old"),
    [
        ({"from": [["a"]], "to": [["b"], "c"]}, ["b", "c"], ["a"]),
        ({"from": "a", "to": "b"}, ["b"], ["a"]),
        ({"from": None, "to": None}, [], []),
        ({"from": [], "to": []}, [], []),
    ],
)
def test_a_changed_list_field_is_a_list_on_both_sides(mobio_document, change, new, old):
    document = fields_of(mobio_document, "note_update_data", detail("mentions", change=[change]))
    assert document["fields"]["mentions"] == new
    assert document["was"]["mentions"] == old


def test_a_change_may_tell_one_side_only(mobio_document):
    document = fields_of(
        mobio_document,
        "note_update_data",
        detail("status", change=[{"to": "b"}]),
        detail("source", change=[{"from": "a"}]),
        detail("description", change=[{"from": "a", "to": None}]),
    )
    assert document["fields"] == {"status": "b", "description": None, "id": "n-1"}
    assert document["was"] == {"source": "a", "description": "a"}


def test_entries_of_one_field_count_as_one(mobio_document):
    document = fields_of(
        mobio_document,
        "note_update_data",
        detail("mentions", add=["a"]),
        detail("mentions", add=["b"], remove=["c"]),
        detail("status", change=[{"from": "a", "to": "b"}]),
        detail("status", change=[{"from": "b", "to": "c"}]),
    )
    assert document["fields"]["mentions"] == {"add": ["a", "b"], "remove": ["c"]}
    assert (document["was"]["status"], document["fields"]["status"]) == ("a", "c")


# --- documents: deletes


def test_a_delete_holds_only_the_id_and_what_was(mobio_document):
    document = fields_of(
        mobio_document,
        "note_delete",
        detail("description", remove=["x"]),
        detail("tags", remove=["a", "b"]),
        detail("status", change=[{"from": "old", "to": "new"}]),
        detail("source", add=["y"]),
    )
    assert document["fields"] == document["note"] == {"id": "n-1"}
    assert document["was"] == {"description": "x", "tags": ["a", "b"], "status": "old"}


@pytest.mark.parametrize(
    ("kind", "fields", "was"),
    [
        ("profile_update", {"x": {"add": ["a"], "remove": ["b"]}}, {}),
        ("updated_and_deleted", {"x": {"add": ["a"], "remove": ["b"]}}, {}),
        ("PROFILE_DELETE", {}, {"x": "b"}),
        ("profile_deleted", {}, {"x": "b"}),
        ("profile_merge", {"x": "a"}, {}),
    ],
)
def test_the_name_of_the_type_tells_what_it_does(mobio_document, kind, fields, was):
    document = fields_of(mobio_document, kind, detail("x", ["a"], ["b"]))
    assert (document["fields"], document["was"]) == (fields, was)
    assert not {"note", "comment"} & document.keys()


# --- documents: other names of a field


def test_names_of_old_tables_are_given_under_the_new_names_too(mobio_document):
    details = [
        detail("create_by", ["a"]),
        detail("update_by", ["b"]),
        detail("mention", [["c"]]),
    ]
    fields = fields_of(mobio_document, "note_create", *details)["fields"]
    assert (fields["create_by"], fields["created_by"]) == ("a", "a")
    assert (fields["update_by"], fields["updated_by"]) == ("b", "b")
    assert (fields["mention"], fields["mentions"]) == (["c"], ["c"])


def test_was_has_the_new_names_too(mobio_document):
    was = fields_of(mobio_document, "note_delete", detail("create_by", remove=["a"]))["was"]
    assert was == {"create_by": "a", "created_by": "a"}


def test_a_field_sent_under_both_names_keeps_both_values(mobio_document):
    details = [detail("create_by", ["a"]), detail("created_by", ["b"])]
    fields = fields_of(mobio_document, "note_create", *details)["fields"]
    assert (fields["create_by"], fields["created_by"]) == ("a", "b")


def test_the_id_of_the_entity_wins_over_a_field_called_id(mobio_document):
    fields = fields_of(mobio_document, "note_create", detail("id", ["x"]))["fields"]
    assert fields["id"] == "n-1"


def test_a_note_without_its_id_has_none(mobio_document):
    element = note("note_create", detail("description", ["x"]))
    del element["data_event"]["note_id"]
    assert mobio_document(batch(element))["note"] == {"description": "x"}


# --- documents: what is not as documented


@pytest.mark.parametrize(
    ("sent", "value"), [("x", "x"), ({"a": 1}, {"a": 1}), (0, 0), (None, "absent")]
)
def test_a_value_that_is_no_list_stands_for_a_list_of_one(mobio_document, sent, value):
    entry = {"field_key": "x", "add": sent}
    assert fields_of(mobio_document, "note_create", entry)["fields"].get("x", "absent") == value


def test_a_change_that_is_no_list_stands_for_a_list_of_one(mobio_document):
    entry = {"field_key": "x", "change": {"from": 1, "to": 2}}
    document = fields_of(mobio_document, "note_update_data", entry)
    assert (document["was"]["x"], document["fields"]["x"]) == (1, 2)


@pytest.mark.parametrize("empty", [None, [], {}, "", [None], [{}]])
def test_empty_details_tell_nothing(mobio_document, empty):
    element = note("note_create")
    element["data_event"]["event_detail"] = empty
    assert mobio_document(batch(element))["fields"] == {"id": "n-1"}


@pytest.mark.parametrize(
    ("details", "message"),
    [
        ("x", "event_detail is text"),
        (["x"], "event_detail holds text"),
        ([{"field_name": "x"}], "without a field_key"),
        ([{"field_key": 5, "add": [1]}], "without a field_key"),
        ([detail("x", ["a"]), 5], "event_detail holds a number"),
        ([{"field_key": "x", "change": ["b"]}], "`change` of x holds text"),
    ],
)
def test_details_that_would_be_lost_make_the_event_unreadable(mobio_document, details, message):
    element = note("note_create")
    element["data_event"]["event_detail"] = details
    with pytest.raises(EventUnreadable, match=message):
        mobio_document(batch(element))


@pytest.mark.parametrize("data", [None, "x", []])
def test_a_documented_kind_needs_its_data(mobio_document, data):
    element = note("note_create") | {"data_event": data}
    with pytest.raises(EventUnreadable, match="`data_event` is"):
        mobio_document(batch(element))


@pytest.mark.parametrize("body", [b"{}", b'{"block_event": []}', b'{"block_event": [1]}', b"x"])
def test_an_event_kept_with_another_body_is_unreadable(mobio, body):
    event = Event("notes", "mobio", "1", "note_create", body, RECEIVED_AT)
    with pytest.raises(EventUnreadable):
        mobio.document(event)


# --- other event types (profile, sales and task pages)


def test_a_profile_event_has_its_type_inside_and_fields_for_details(mobio_document):
    element = {
        "message_id": "p-1",
        "data_event": {
            "event_type": "profile_create_new",
            "profile_id": "u-1",
            "merchant_id": ["m-1", "m-2"],
            "fields": [
                {
                    "field_key": "name",
                    "field_name": "Tên",
                    "display_type": "single_line",
                    "field_property": 2,
                    "format": None,
                    "add": ["Lan"],
                    "remove": [],
                    "change": [],
                },
                detail("created_time", ["2022-11-23T15:12:39.390879Z"]),
            ],
        },
    }
    document = mobio_document({"block_event": [element]})
    assert document["meta"]["kind"] == "profile_create_new"
    assert document["meta"]["account"] == "m-1"
    assert document["fields"] == {"name": "Lan", "created_time": "2022-11-23T15:12:39.390879Z"}


def test_a_sales_event_has_numbers_and_no_event_id(mobio_document):
    element = {
        "event_type": "sale_create_deal",
        "data_event": {"deal_id": "d-1", "id": "e-1", "fields": [detail("value", [12_000_000])]},
    }
    document = mobio_document(batch(element))
    assert document["fields"] == {"value": 12_000_000}
    assert document["meta"]["event_id"] == hashlib.sha256(rfc8785.dumps(element)).hexdigest()


def test_a_task_event_has_details_and_escaped_letters(mobio_document):
    raw = (
        b'{"block_event": [{"message_id": "1", "event_type": "task_comment_update", "data_event": '
        b'{"comment_id": "c-1", "event_detail": [{"field_key": "description", "add": [], '
        b'"remove": [], "change": [{"from": "c\\u0169", "to": "m\\u1edbi"}]}]}}]}'
    )
    document = mobio_document(raw)
    assert document["fields"] == {"description": "mới"}
    assert document["was"] == {"description": "cũ"}


def test_details_win_over_fields_unless_they_are_empty(mobio_document):
    both = {"event_detail": [detail("a", [1])], "fields": [detail("b", [2])]}
    element = {"event_type": "task_create", "data_event": both}
    assert mobio_document(batch(element))["fields"] == {"a": 1}
    element = {"event_type": "task_create", "data_event": {**both, "event_detail": []}}
    assert mobio_document(batch(element))["fields"] == {"b": 2}


@pytest.mark.parametrize(
    "data", [None, "x", 5, [], {"fields": {"a": 1}}, {"fields": ["a"]}, {"event_detail": "x"}]
)
def test_an_undocumented_kind_may_have_any_shape(mobio_document, data):
    element = {"message_id": "1", "event_type": "ticket_sync", "data_event": data}
    document = mobio_document(batch(element))
    assert document["data_event"] == data
    assert document["fields"] == document["was"] == {}


def test_a_delta_list_of_an_undocumented_kind_is_never_read_by_halves(mobio_document):
    data = {"fields": [detail("a", [1]), "b"]}
    with pytest.raises(EventUnreadable, match=r"data_event\.fields holds text"):
        mobio_document(batch({"event_type": "ticket_sync", "data_event": data}))


def test_preview_gives_events_of_any_app(mobio, sample):
    body = sample("mobio/note.create").replace(NOTE_APP.encode(), b"another app")
    (event,) = mobio.preview(body, RECEIVED_AT)
    assert event.problem is None
    assert mobio.document(event)["note"]["id"] == "637dfa373e395b0cead72666"
