"""What each call on the reference CRM's API does, from the request's parts to the answer's.

Invariant: every refusal is decided before anything is written, and every write call that names a
resource goes through `write`: one transaction with its history, its log and its idempotency key.
Knows `crm_schema` and `crm_store`; Flask's request is taken apart by `crm`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import quote

from werkzeug.http import parse_etags, parse_options_header

from connector.demo.crm_schema import Resource, WrongFields, check_id, read_fields
from connector.demo.crm_store import Answer, Calls, Record, Store, Writing
from connector.errors import ConnectorError
from connector.model import Json
from connector.problems import did_you_mean

Query = Mapping[str, list[str]]
"""The parameters behind the `?`, each with all its values."""

LIMIT = 100
"""Records on a page of a search that names no limit."""

MOST = 1000
"""The largest limit of a search."""

KEY_LENGTH = 255
"""The longest idempotency key, in characters."""

_BOOLEANS = {"true": True, "false": False}


class Refused(ConnectorError):
    """A call that is answered with an error; nothing of it is written."""

    def __init__(self, status: int, code: str, message: str, **more: Json) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.more = more

    def answer(self) -> Answer:
        """The error as every error of this API looks."""
        return _answer(
            self.status, {"error": {"code": self.code, "message": str(self), **self.more}}
        )


@dataclass(frozen=True, slots=True)
class Call:
    """A write call. `address` is path and query, `id` the one in the path."""

    method: str
    resource: Resource
    id: str | None
    query: Query
    address: str
    content_type: str
    body: bytes
    if_match: str | None = None
    key: str | None = None

    @property
    def fingerprint(self) -> str:
        """What must be equal for two calls to be the same one."""
        head = f"{self.method}\n{self.address}\n".encode()
        return hashlib.sha256(head + self.body).hexdigest()


@dataclass(frozen=True, slots=True)
class Handling:
    """A write call being handled. `strict`: a reference must name a record that exists."""

    call: Call
    writing: Writing
    strict: bool


# --- reading


def read_one(store: Store, resource: Resource, record: str) -> Answer:
    """One record; 404 where there is none."""
    found = store.find(resource.name, record)
    if found is None:
        raise _not_found(resource, record)
    return _shown_answer(200, resource, found)


def search(store: Store, resource: Resource, query: Query) -> Answer:
    """The records that equal every parameter; a parameter that is unknown, given twice, or of
    another type than its field is 400, so that a misspelling never finds all rows.
    """
    paging = {"limit": LIMIT, "offset": 0}
    wanted: dict[str, Json] = {}
    for name, values in query.items():
        if len(values) != 1:
            raise _bad_parameter(name, "is given more than once")
        if name in paging:
            paging[name] = _page_number(name, values[0])
        else:
            wanted[name] = _wanted(resource, name, values[0])
    found, total = store.search(resource.name, wanted, **paging)
    items = [shown(resource, record) for record in found]
    return _answer(200, {"items": items, "total": total, **paging})


def call_counts(calls: Calls) -> Answer:
    """How many write calls were answered, for each resource and status."""
    resources = {
        resource: {
            "calls": sum(statuses.values()),
            "replayed": calls.replayed[resource],
            "statuses": {str(status): count for status, count in statuses.items()},
        }
        for resource, statuses in calls.statuses.items()
    }
    return _answer(200, {"last": calls.last, "calls": calls.number, "resources": resources})


def calls_since(query: Query) -> int:
    """The number in `?since=`; 0 without it."""
    for name, values in query.items():
        if name != "since":
            raise _bad_parameter(name, f"is unknown; {did_you_mean(name, ['since'])}")
        if len(values) != 1 or not (values[0].isdecimal() and len(values[0]) < 19):
            raise _bad_parameter(name, "should be the `last` of an earlier answer")
        return int(values[0])
    return 0


# --- writing


def write(store: Store, call: Call, *, strict: bool) -> Answer:
    """Carries out a write call, or gives the first answer to its idempotency key again."""
    with store.writing() as writing:
        answer, replayed = _first_or_again(Handling(call, writing, strict))
        writing.log(call.method, call.resource.name, call.id, answer.status, replayed=replayed)
    if not replayed:
        return answer
    return Answer(answer.status, {**answer.headers, "Idempotency-Replayed": "true"}, answer.body)


def _first_or_again(handling: Handling) -> tuple[Answer, bool]:
    """The answer, and whether it is an earlier one."""
    call, writing = handling.call, handling.writing
    if call.key is None:
        return _carry_out(handling), False
    if not 1 <= len(call.key) <= KEY_LENGTH:
        message = f"Idempotency-Key should have 1 to {KEY_LENGTH} characters"
        return Refused(400, "bad_idempotency_key", message).answer(), False
    if kept := writing.kept(call.key):
        fingerprint, answer = kept
        if fingerprint == call.fingerprint:
            return answer, True
        message = "this Idempotency-Key was used for another call"
        return Refused(422, "idempotency_key_reused", message).answer(), False
    answer = _carry_out(handling)
    writing.keep(call.key, call.fingerprint, answer)
    return answer, False


def _carry_out(handling: Handling) -> Answer:
    try:
        return OPERATIONS[handling.call.method](handling)
    except Refused as refused:
        return refused.answer()
    except WrongFields as wrong:
        message = f"wrong fields: {', '.join(wrong.fields)}"
        return Refused(422, "invalid_fields", message, fields=wrong.fields).answer()


def _put(handling: Handling) -> Answer:
    _flags(handling.call)
    record = check_id(handling.call.id)
    fields = _fields(handling, record)
    return _save(handling, record, _before(handling, record), fields)


def _patch(handling: Handling) -> Answer:
    create = _flags(handling.call, create=True)["create"]
    record = check_id(handling.call.id)
    fields = _fields(handling, record)
    before = _before(handling, record)
    if before is None and not create:
        raise _not_found(handling.call.resource, record)
    return _save(handling, record, before, {**(before.fields if before else {}), **fields})


def _post(handling: Handling) -> Answer:
    upsert = _flags(handling.call, upsert=False)["upsert"]
    body = _body(handling.call)
    if "id" not in body:
        raise WrongFields({"id": "is missing"})
    record = check_id(body["id"])
    fields = _fields(handling, record)
    before = _before(handling, record)
    if before is not None and not upsert:
        message = f"there is already a record {record!r} in {handling.call.resource.name}"
        raise Refused(409, "duplicate", message, id=record)
    return _save(handling, record, before, {**(before.fields if before else {}), **fields})


def _delete(handling: Handling) -> Answer:
    call = handling.call
    _flags(call)
    record = check_id(call.id)
    before = _before(handling, record)
    if before is None:
        raise _not_found(call.resource, record)
    handling.writing.delete(before, method=call.method, key=call.key)
    return Answer(204, {}, "")


OPERATIONS: Mapping[str, Callable[[Handling], Answer]] = MappingProxyType(
    {"PUT": _put, "PATCH": _patch, "POST": _post, "DELETE": _delete}
)
"""The methods that write."""


def _save(
    handling: Handling, record: str, before: Record | None, fields: Mapping[str, Json]
) -> Answer:
    call = handling.call
    name = (call.resource.name, record)
    saved = handling.writing.save(before, name, fields, method=call.method, key=call.key)
    return _shown_answer(200 if before else 201, call.resource, saved)


def _before(handling: Handling, record: str) -> Record | None:
    """The record as it is. 412 where `If-Match` says that it should be another (RFC 9110 §13.1.1:
    also where there is none).
    """
    before = handling.writing.find(handling.call.resource.name, record)
    if handling.call.if_match is None:
        return before
    wanted = parse_etags(handling.call.if_match)
    if before is None or not wanted.contains(str(before.version)):
        there = f"is version {before.version}" if before else "does not exist"
        raise Refused(412, "precondition_failed", f"If-Match does not fit: the record {there}")
    return before


def _fields(handling: Handling, record: str) -> dict[str, Json]:
    """The values in the body, checked."""
    body = _body(handling.call)
    if body.pop("id", record) != record:
        raise WrongFields({"id": "differs from the id in the path"})
    resource = handling.call.resource
    values = read_fields(resource, body)
    if handling.strict:
        _check_references(handling.writing, resource, values)
    return values


def _check_references(writing: Writing, resource: Resource, values: Mapping[str, Json]) -> None:
    wrong = {
        name: f"no record of {referred} has this id"
        for name, value in values.items()
        if value is not None
        and (referred := resource.fields[name].resource)
        and writing.find(referred, value) is None
    }
    if wrong:
        raise WrongFields(wrong)


def _body(call: Call) -> dict[str, Json]:
    """The JSON object that was sent: valid UTF-8, no NaN, no lone surrogates."""
    mimetype = parse_options_header(call.content_type)[0].lower()
    if mimetype != "application/json" and not mimetype.endswith("+json"):
        raise Refused(415, "not_json", "Content-Type should be application/json")
    try:
        data = json.loads(call.body.decode())
        json.dumps(data, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise Refused(400, "invalid_json", "the body is not valid JSON in UTF-8") from None
    if not isinstance(data, dict):
        raise Refused(400, "not_an_object", "the body should be a JSON object")
    return data


def _flags(call: Call, **defaults: bool) -> dict[str, bool]:
    """The call's parameters, all of them known and `true` or `false`."""
    flags = dict(defaults)
    for name, values in call.query.items():
        if name not in defaults:
            raise _bad_parameter(name, f"is unknown; {did_you_mean(name, defaults)}")
        if len(values) != 1 or values[0] not in _BOOLEANS:
            raise _bad_parameter(name, "should be true or false")
        flags[name] = _BOOLEANS[values[0]]
    return flags


def _page_number(name: str, text: str) -> int:
    lowest, highest = {"limit": (1, MOST), "offset": (0, 10**9)}[name]
    if not (text.isdecimal() and len(text) <= 10 and lowest <= int(text) <= highest):
        raise _bad_parameter(name, f"should be a whole number from {lowest} to {highest}")
    return int(text)


def _wanted(resource: Resource, name: str, text: str) -> Json:
    """What a field must be equal to, from a parameter's text."""
    if name == "id":
        return text
    field = resource.fields.get(name)
    if field is None:
        raise _bad_parameter(name, f"is unknown; {did_you_mean(name, ['id', *resource.fields])}")
    if field.rule.parse is None:
        raise _bad_parameter(name, f"cannot be searched: it holds {field.rule.expects}")
    try:
        return field.rule.parse(text)
    except ValueError:
        raise _bad_parameter(name, f"should be {field.rule.expects}") from None


def shown(resource: Resource, record: Record) -> dict[str, Json]:
    """A record as the API shows it: every field of the schema, null where it is empty."""
    return {
        "id": record.id,
        **{name: record.fields.get(name) for name in resource.fields},
        "_created_at": record.created_at,
        "_updated_at": record.updated_at,
        "_version": record.version,
    }


def record_path(resource: str, record: str) -> str:
    """Where a record stands in the API."""
    return f"/{resource}/{quote(record, safe='')}"


def _shown_answer(status: int, resource: Resource, record: Record) -> Answer:
    headers = {"ETag": f'"{record.version}"'}
    if status == 201:
        headers["Location"] = record_path(resource.name, record.id)
    return _answer(status, shown(resource, record), headers)


def _answer(status: int, body: Json, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, headers or {}, json.dumps(body, ensure_ascii=False))


def _not_found(resource: Resource, record: str) -> Refused:
    return Refused(404, "not_found", f"there is no record {record!r} in {resource.name}")


def _bad_parameter(name: str, why: str) -> Refused:
    return Refused(400, "bad_parameter", f"the parameter {name!r} {why}", parameter=name)
