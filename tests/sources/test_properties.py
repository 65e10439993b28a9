"""Whatever arrives, only the declared errors come out, and nothing that was sent is changed."""

import copy
import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.errors import BadSignature, EventUnreadable, NotJson

RECEIVED_AT = 1_733_100_000_123_456
NOTE_APP = "16453496-6a17-11ed-8a77-6632ed169876"
COMMENT_APP = "c71f0b7a-6ecc-11ed-9704-468042e8692e"

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, 2**53, 2**64, 10**30])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.text("ab\ud800", max_size=3)
)
words = st.sampled_from(
    [
        "object",
        "action",
        "ticket",
        "user",
        "organization",
        "lead",
        "deal",
        "changes",
        "field",
        "value",
        "addition_fields",
        "addition_field1",
        "addition_field2",
        "updated_properties",
        "account_id",
        "raw",
        "meta",
        "block_event",
        "event_type",
        "message_id",
        "event_id",
        "data_event",
        "event_detail",
        "fields",
        "field_key",
        "add",
        "remove",
        "change",
        "from",
        "to",
        "mentions",
        "mention",
        "create_by",
        "note_id",
        "comment_id",
        "merchant_id",
        "app_id",
        "id",
        "note_create",
        "note_update_data",
        "note_delete",
        "note_comment_create",
        "update",
        "create",
        "delete",
    ]
)
anything = st.recursive(
    scalars | words,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(words | st.text(max_size=4), inner, max_size=5)
    ),
    max_leaves=25,
)
details = st.fixed_dictionaries(
    {"field_key": words},
    optional={
        "add": st.lists(anything, max_size=2) | anything,
        "remove": st.lists(anything, max_size=2) | anything,
        "change": st.lists(
            st.fixed_dictionaries({}, optional={"from": anything, "to": anything}), max_size=2
        ),
    },
)
elements = st.fixed_dictionaries(
    {"event_type": words},
    optional={
        "message_id": scalars,
        "data_event": st.fixed_dictionaries(
            {},
            optional={"event_detail": st.lists(details), "note_id": scalars, "event_id": scalars},
        )
        | anything,
    },
)
mobio_bodies = st.fixed_dictionaries(
    {"block_event": st.lists(elements | anything, max_size=4)},
    optional={"merchant_id": anything, "app_id": st.sampled_from([NOTE_APP, "", None])},
)
changes = st.lists(st.fixed_dictionaries({"field": words, "value": anything}), max_size=4)
entities = st.fixed_dictionaries(
    {},
    optional={
        "changes": changes | anything,
        "addition_fields": changes | anything,
        "addition_field1": anything,
    },
)
care_bodies = st.fixed_dictionaries(
    {"object": words, "action": words},
    optional=dict.fromkeys(("user", "organization", "ticket", "lead", "deal"), entities | anything)
    | {"updated_properties": changes | anything, "account_id": anything},
)

quick = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def is_json(raw):
    def refuse(constant):
        raise ValueError(constant)

    try:
        json.loads(raw.decode("utf-8-sig"), parse_constant=refuse)
    except ValueError:
        return False
    return True


def documents(source, events):
    """The documents of those events that have one."""
    found = []
    for event in events:
        try:
            found.append((event, source.document(event)))
        except EventUnreadable:
            continue
    return found


@quick
@given(body=care_bodies | anything)
def test_a_caresoft_body_is_one_event_and_a_document_or_unreadable(caresoft, body):
    raw = json.dumps(body).encode()
    events = caresoft.parse(caresoft.verify(raw, caresoft.sign(raw)), RECEIVED_AT)
    assert len(events) == 1
    for event, document in documents(caresoft, events):
        assert event.body == raw
        assert document["raw"] == body
        for name in ("user", "organization", "ticket", "lead", "deal"):
            if isinstance(document.get(name), dict):
                listed = document[name]["addition_fields"]
                assert isinstance(listed, list)
                assert all(isinstance(item, dict) and item["field"] for item in listed)


@quick
@given(body=mobio_bodies | anything)
def test_a_mobio_body_is_its_elements_and_documents_or_unreadable(mobio, body):
    raw = json.dumps(body).encode()
    verified = mobio.verify(raw, mobio.sign(raw, NOTE_APP))
    try:
        events = mobio.parse(verified, RECEIVED_AT)
    except BadSignature:
        assert body["app_id"] != NOTE_APP
        return
    if isinstance(body, dict) and isinstance(body.get("block_event"), list):
        assert len(events) == len(body["block_event"])
        sent = body["block_event"]
    else:
        assert len(events) == 1
        sent = [None]
    assert all(event.id and isinstance(event.id, str) for event in events)
    assert all((event.problem is not None) or event.kind for event in events)
    raws = [document["raw"] for _, document in documents(mobio, events)]
    assert all(raw in sent for raw in raws)


@quick
@given(body=mobio_bodies)
def test_each_event_of_a_batch_reads_as_if_it_had_come_alone(mobio, body):
    raw = json.dumps(body).encode()
    for event, document in documents(mobio, mobio.preview(raw, RECEIVED_AT)):
        alone = json.dumps({**body, "block_event": [document["raw"]]}).encode()
        (again,) = mobio.preview(alone, RECEIVED_AT)
        assert (again.id, again.kind) == (event.id, event.kind)
        assert mobio.document(again) == document


@quick
@given(body=care_bodies)
def test_making_a_document_twice_gives_the_same(caresoft, body):
    (event,) = caresoft.preview(json.dumps(body).encode(), RECEIVED_AT)
    for _, document in documents(caresoft, [event]):
        kept = copy.deepcopy(document)
        assert caresoft.document(event) == kept
        assert document == kept


@quick
@given(
    raw=st.binary(max_size=60) | st.text('[]{}":,0123456789eEnul\\', max_size=60).map(str.encode)
)
def test_any_bytes_are_events_or_no_json(caresoft, mobio, raw):
    for source in (caresoft, mobio):
        try:
            source.parse(source.verify(raw, source.sign(raw)), RECEIVED_AT)
        except NotJson:
            assert not is_json(raw)
        else:
            assert is_json(raw)


@quick
@given(
    body=st.binary(max_size=40),
    header=st.text(max_size=80)
    | st.from_regex(r"\s*(mac|sha1)?\s*=?\s*[0-9a-fA-F]{38,66}\s*", fullmatch=True),
)
def test_a_made_up_signature_is_bad_and_nothing_worse(caresoft, mobio, body, header):
    headers = {"x-hub-signature": header, "x-mevent-signature": header}
    for source in (caresoft, mobio):
        try:
            source.verify(body, headers)
        except BadSignature:
            continue
        raise AssertionError("a made-up signature was accepted")


@quick
@given(body=st.binary(max_size=200), more=st.binary(min_size=1, max_size=3))
def test_what_is_signed_verifies_and_what_is_changed_does_not(caresoft, mobio, body, more):
    for source in (caresoft, mobio):
        signed = source.sign(body)
        assert source.verify(body, signed).body == body
        try:
            source.verify(body + more, signed)
        except BadSignature:
            continue
        raise AssertionError("a changed body was accepted")
