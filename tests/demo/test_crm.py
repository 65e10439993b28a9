"""The reference CRM as its own process, spoken to over real HTTP."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from connector.demo.crm_schema import DEFAULT_SCHEMA
from connector.demo.ports import free_port

SCHEMA = {
    "people": {
        "description": "Who calls <us>",
        "fields": {
            "name": {"type": "text", "description": "As they write it"},
            "age": {"type": "integer"},
            "balance": {"type": "number"},
            "vip": {"type": "boolean"},
            "seen_at": {"type": "datetime"},
            "born_on": {"type": "date"},
            "tags": {"type": "list"},
            "extra": {"type": "object"},
            "company": {"type": "reference", "resource": "companies"},
        },
    },
    "companies": {"description": "", "fields": {"name": {"type": "text"}}},
}
EMPTY = dict.fromkeys(SCHEMA["people"]["fields"])
numbers = count(1)


@dataclass
class Crm:
    """A running CRM and a connection to it."""

    url: str
    process: subprocess.Popen[bytes]
    http: requests.Session = field(default_factory=requests.Session)

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> requests.Response:
        if body is not None:
            more["json"] = body
        return self.http.request(method, self.url + path, timeout=10, **more)


@contextmanager
def running(folder: Path, *options: str, schema: object = SCHEMA) -> Iterator[Crm]:
    (folder / "schema.json").write_text(json.dumps(schema))
    port = free_port()
    command = [sys.executable, "-m", "connector.demo.crm", "--port", str(port)]
    command += ["--db", str(folder / "crm.sqlite"), "--schema", str(folder / "schema.json")]
    environ = {name: value for name, value in os.environ.items() if name != "CRM_TOKEN"}
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, env=environ)
    assert process.stdout is not None
    try:
        assert b"reference CRM at" in process.stdout.readline()
        yield Crm(f"http://127.0.0.1:{port}", process)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def crm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crm]:
    with running(tmp_path_factory.mktemp("crm")) as server:
        yield server


@pytest.fixture
def new_id() -> str:
    return f"p{next(numbers)}"


def shown(answer: requests.Response) -> dict[str, Any]:
    """The record in an answer, without what the CRM adds."""
    return {name: value for name, value in answer.json().items() if not name.startswith("_")}


# --- create, replace, change, delete


def test_put_creates_then_replaces(crm: Crm, new_id: str) -> None:
    created = crm.call("PUT", f"/people/{new_id}", {"name": "Tân", "age": 30})
    assert created.status_code == 201
    assert created.headers["Location"] == f"/people/{new_id}"
    assert shown(created) == {"id": new_id, **EMPTY, "name": "Tân", "age": 30}
    replaced = crm.call("PUT", f"/people/{new_id}", {"name": "Hoa"})
    assert replaced.status_code == 200
    assert shown(crm.call("GET", f"/people/{new_id}")) == {"id": new_id, **EMPTY, "name": "Hoa"}


def test_patch_creates_then_changes_only_what_it_names(crm: Crm, new_id: str) -> None:
    assert crm.call("PATCH", f"/people/{new_id}", {"name": "Tân", "age": 30}).status_code == 201
    changed = crm.call("PATCH", f"/people/{new_id}", {"age": 31})
    assert changed.status_code == 200
    assert shown(changed) == {"id": new_id, **EMPTY, "name": "Tân", "age": 31}


def test_null_clears(crm: Crm, new_id: str) -> None:
    crm.call("PUT", f"/people/{new_id}", {"name": "Tân", "age": 30})
    assert crm.call("PATCH", f"/people/{new_id}", {"name": None}).json()["name"] is None
    assert crm.call("GET", "/people", params={"name": "Tân", "id": new_id}).json()["total"] == 0


def test_patch_without_create_refuses_a_missing_record(crm: Crm, new_id: str) -> None:
    refused = crm.call("PATCH", f"/people/{new_id}?create=false", {"name": "x"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "not_found")
    assert crm.call("GET", f"/people/{new_id}").status_code == 404


def test_post_creates_once(crm: Crm, new_id: str) -> None:
    assert crm.call("POST", "/people", {"id": new_id, "name": "first"}).status_code == 201
    refused = crm.call("POST", "/people", {"id": new_id, "name": "second"})
    assert refused.status_code == 409
    assert refused.json()["error"]["code"] == "duplicate"
    assert refused.json()["error"]["id"] == new_id
    assert crm.call("GET", f"/people/{new_id}").json()["name"] == "first"


def test_post_with_upsert_changes_what_is_there(crm: Crm, new_id: str) -> None:
    crm.call("POST", "/people?upsert=true", {"id": new_id, "name": "first", "age": 3})
    changed = crm.call("POST", "/people?upsert=true", {"id": new_id, "name": "second"})
    assert changed.status_code == 200
    assert shown(changed) == {"id": new_id, **EMPTY, "name": "second", "age": 3}


def test_post_needs_an_id(crm: Crm) -> None:
    refused = crm.call("POST", "/people", {"name": "nobody"})
    assert (refused.status_code, refused.json()["error"]["fields"]) == (422, {"id": "is missing"})


def test_delete_removes_once(crm: Crm, new_id: str) -> None:
    crm.call("PUT", f"/people/{new_id}", {"name": "x"})
    gone = crm.call("DELETE", f"/people/{new_id}")
    assert (gone.status_code, gone.content) == (204, b"")
    assert crm.call("DELETE", f"/people/{new_id}").status_code == 404
    assert crm.call("GET", f"/people/{new_id}").status_code == 404


@pytest.mark.parametrize(
    "odd", ["a/b", "/lead", "a b", "đ:1.5", "50%", "q?x=1&y#z", "_x", "trail/"]
)
def test_id_may_hold_anything_printable(crm: Crm, odd: str) -> None:
    path = f"/people/{quote(odd, safe='')}"
    assert crm.call("PUT", path, {"name": odd}).json()["id"] == odd
    assert crm.call("GET", path).json()["name"] == odd
    assert crm.call("GET", "/people", params={"id": odd}).json()["total"] == 1
    assert crm.call("GET", f"/_{path}").status_code == 200
    assert crm.call("DELETE", path).status_code == 204


@pytest.mark.parametrize("bad", ["%00", "a%0Ab", "%FF", "x" * 256])
def test_impossible_id_is_refused(crm: Crm, bad: str) -> None:
    refused = crm.call("PUT", f"/people/{bad}", {})
    assert (refused.status_code, list(refused.json()["error"]["fields"])) == (422, ["id"])


def test_id_in_the_body_must_be_the_one_in_the_path(crm: Crm, new_id: str) -> None:
    assert crm.call("PUT", f"/people/{new_id}", {"id": new_id}).status_code == 201
    refused = crm.call("PUT", f"/people/{new_id}", {"id": "other"})
    assert refused.status_code == 422
    assert "id" in refused.json()["error"]["fields"]


# --- fields


GOOD = [
    ("name", ""),
    ("name", "đồ 𝄞 \n\t"),
    ("age", -(2**63) + 1),
    ("age", 0),
    ("balance", 12.5),
    ("balance", 12),
    ("vip", False),
    ("seen_at", "2024-02-29T23:59:59.999Z"),
    ("seen_at", "2024-02-29T23:59:59Z"),
    ("born_on", "2024-02-29"),
    ("tags", []),
    ("tags", ["a", "a"]),
    ("extra", {"a": [1, None, {"b": 2.5}]}),
    ("extra", []),
    ("company", "never seen"),
]
BAD = [
    ("name", 5),
    ("name", ["x"]),
    ("age", 2**63),
    ("age", 1.5),
    ("age", True),
    ("age", "5"),
    ("balance", "12"),
    ("balance", True),
    ("vip", 1),
    ("vip", "true"),
    ("seen_at", "2024-02-29T23:59:59+07:00"),
    ("seen_at", "2024-02-30T00:00:00Z"),
    ("seen_at", "2024-02-29"),
    ("seen_at", 1709251199000),
    ("born_on", "2023-02-29"),
    ("born_on", "20240229"),
    ("born_on", "2024-02-29T00:00:00Z"),
    ("tags", "a"),
    ("tags", ["a", 1]),
    ("tags", [None]),
    ("extra", "text"),
    ("company", ""),
    ("company", 7),
    ("nmae", "x"),
    ("_version", 3),
]


@pytest.mark.parametrize(("name", "value"), GOOD)
def test_value_of_the_right_type_comes_back_as_it_went(
    crm: Crm, new_id: str, name: str, value: object
) -> None:
    assert crm.call("PUT", f"/people/{new_id}", {name: value}).status_code == 201
    kept = crm.call("GET", f"/people/{new_id}").json()[name]
    assert (kept, type(kept)) == (value, type(value))


@pytest.mark.parametrize(("name", "value"), BAD)
def test_wrong_value_is_refused_by_name_and_nothing_is_written(
    crm: Crm, new_id: str, name: str, value: object
) -> None:
    refused = crm.call("PUT", f"/people/{new_id}", {"vip": True, name: value})
    assert refused.status_code == 422
    assert list(refused.json()["error"]["fields"]) == [name]
    assert crm.call("GET", f"/people/{new_id}").status_code == 404


def test_every_wrong_field_is_named_at_once_without_its_value(crm: Crm, new_id: str) -> None:
    body = {"age": "0889999999", "vip": "x", "nickname": "x", "name": "fine"}
    refused = crm.call("PUT", f"/people/{new_id}", body)
    assert set(refused.json()["error"]["fields"]) == {"age", "vip", "nickname"}
    assert "0889999999" not in refused.text


def test_whole_float_is_an_integer(crm: Crm, new_id: str) -> None:
    assert crm.call("PUT", f"/people/{new_id}", {"age": 5.0}).text.count('"age": 5,') == 1


def test_endlessly_deep_object_is_refused(crm: Crm, new_id: str) -> None:
    deep: object = {}
    for _ in range(200):
        deep = {"a": deep}
    assert crm.call("PUT", f"/people/{new_id}", {"extra": deep}).status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b'{"age": NaN}', b'{"balance": 1e999}', b'{"name": "\xff"}'),
        *(b'{"name":"\\ud800"}', b"[" * 100_000, b'["list"]', b'"text"', b"null"),
    ],
)
def test_body_that_is_no_json_object_is_refused(crm: Crm, new_id: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    refused = crm.call("PUT", f"/people/{new_id}", data=body, headers=headers)
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] in ("invalid_json", "not_an_object")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_body_must_say_that_it_is_json(crm: Crm, new_id: str, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    refused = crm.call("PUT", f"/people/{new_id}", data=b"{}", headers=headers)
    assert refused.status_code == 415


@pytest.mark.parametrize("chunked", [False, True])
def test_body_of_more_than_a_mebibyte_is_refused(crm: Crm, new_id: str, chunked: bool) -> None:
    body = json.dumps({"name": "x" * 1024 * 1024}).encode()
    refused = requests.put(
        f"{crm.url}/people/{new_id}",
        data=iter([body]) if chunked else body,
        headers={"Content-Type": "application/json"},
        timeout=10,
    )
    assert (refused.status_code, refused.json()["error"]["code"]) == (
        413,
        "request_entity_too_large",
    )


# --- finding


def test_search_gives_exactly_the_equal_records_in_pages(crm: Crm, new_id: str) -> None:
    for number in range(5):
        body = {"company": new_id, "name": f"{new_id} {number % 2}"}
        crm.call("PUT", f"/people/{new_id}-{number}", body)
    crm.call("PUT", f"/people/{new_id}-other", {"company": f"{new_id}x"})
    found = crm.call("GET", "/people", params={"company": new_id, "limit": 2, "offset": 1}).json()
    assert [item["id"] for item in found["items"]] == [f"{new_id}-1", f"{new_id}-2"]
    assert (found["total"], found["limit"], found["offset"]) == (5, 2, 1)
    both = crm.call("GET", "/people", params={"company": new_id, "name": f"{new_id} 1"}).json()
    assert [item["id"] for item in both["items"]] == [f"{new_id}-1", f"{new_id}-3"]


@pytest.mark.parametrize(
    ("name", "value", "asked", "other"),
    [
        ("age", 5, "5", "6"),
        ("balance", 5, "5.0", "5.1"),
        ("vip", True, "true", "false"),
        ("seen_at", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z", "2024-01-01T00:00:01Z"),
        ("born_on", "2024-01-01", "2024-01-01", "2024-01-02"),
        ("name", "5", "5", "5.0"),
        ("name", "%", "%", "_"),
    ],
)
def test_search_compares_by_type(
    crm: Crm, new_id: str, name: str, value: object, asked: str, other: str
) -> None:
    crm.call("PUT", f"/people/{new_id}", {name: value})
    assert crm.call("GET", "/people", params={"id": new_id, name: asked}).json()["total"] == 1
    assert crm.call("GET", "/people", params={"id": new_id, name: other}).json()["total"] == 0


@pytest.mark.parametrize(
    "query",
    [
        *("nmae=x", "name[eq]=x", "name=a&name=b", "age=x", "vip=1", "seen_at=today", "tags=a"),
        *("extra=x", "company=", "limit=0", "limit=1001", "limit=x", "offset=-1", "offset=1e9"),
        "=x",
    ],
)
def test_search_that_cannot_be_meant_is_refused(crm: Crm, query: str) -> None:
    refused = crm.call("GET", f"/people?{query}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "bad_parameter")


def test_search_for_a_field_of_another_resource_is_refused_with_a_hint(crm: Crm) -> None:
    refused = crm.call("GET", "/people?nmae=x")
    assert "did you mean 'name'?" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("PUT", "/nothing/1", 404),
        ("PUT", "/_/1", 404),
        ("POST", "/people/1", 405),
        ("PUT", "/people", 405),
        ("PUT", "/people/1?create=false", 400),
        ("PATCH", "/people/1?create=maybe", 400),
        ("POST", "/people?upsrt=true", 400),
        ("GET", "/_/nothing", 404),
        ("GET", "/_/people/never-seen", 404),
        ("GET", "/a/b/c/d", 404),
    ],
)
def test_every_error_is_json(crm: Crm, method: str, path: str, status: int) -> None:
    refused = crm.call(method, path, {} if method != "GET" else None)
    assert refused.status_code == status
    assert set(refused.json()["error"]) >= {"code", "message"}


# --- versions


def test_version_and_etag_grow_with_each_change_only(crm: Crm, new_id: str) -> None:
    first = crm.call("PUT", f"/people/{new_id}", {"name": "a"})
    same = crm.call("PUT", f"/people/{new_id}", {"name": "a"})
    changed = crm.call("PATCH", f"/people/{new_id}", {"name": "b"})
    assert [answer.headers["ETag"] for answer in (first, same, changed)] == ['"1"', '"1"', '"2"']
    assert first.json()["_updated_at"] == same.json()["_updated_at"]
    assert changed.json()["_created_at"] == first.json()["_created_at"]
    assert changed.json()["_version"] == 2


def test_stale_if_match_is_refused(crm: Crm, new_id: str) -> None:
    old = crm.call("PUT", f"/people/{new_id}", {"name": "a"}).headers["ETag"]
    fits = crm.call("PATCH", f"/people/{new_id}", {"name": "b"}, headers={"If-Match": old})
    assert fits.status_code == 200
    for method, body in (("PUT", {}), ("PATCH", {"name": "c"}), ("DELETE", None)):
        stale = crm.call(method, f"/people/{new_id}", body, headers={"If-Match": old})
        assert stale.status_code == 412
    assert crm.call("GET", f"/people/{new_id}").json()["name"] == "b"
    any_of = {"If-Match": f'{old}, "2"'}
    assert crm.call("DELETE", f"/people/{new_id}", headers=any_of).status_code == 204


def test_if_match_on_a_missing_record_is_refused(crm: Crm, new_id: str) -> None:
    refused = crm.call("PUT", f"/people/{new_id}", {}, headers={"If-Match": "*"})
    assert refused.status_code == 412


def test_version_goes_on_after_delete(crm: Crm, new_id: str) -> None:
    old = crm.call("PUT", f"/people/{new_id}", {"name": "a"}).headers["ETag"]
    crm.call("DELETE", f"/people/{new_id}")
    assert crm.call("PUT", f"/people/{new_id}", {"name": "a"}).headers["ETag"] == '"3"'
    stale = crm.call("DELETE", f"/people/{new_id}", headers={"If-Match": old})
    assert stale.status_code == 412


def test_concurrent_creates_make_one_record(crm: Crm, new_id: str) -> None:
    def create(number: int) -> int:
        body = {"id": new_id, "age": number}
        return requests.post(f"{crm.url}/people", json=body, timeout=10).status_code

    with ThreadPoolExecutor(8) as pool:
        answers = sorted(pool.map(create, range(16)))
    assert answers == [201] + [409] * 15


def test_concurrent_changes_are_all_kept(crm: Crm, new_id: str) -> None:
    fields = {"name": "n", "age": 1, "balance": 2.5, "vip": True, "tags": ["t"], "company": "c"}

    def change(item: tuple[str, object]) -> int:
        url = f"{crm.url}/people/{new_id}"
        return requests.patch(url, json=dict([item]), timeout=10).status_code

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(change, fields.items())) == [200] * 5 + [201]
    assert (
        crm.call("GET", f"/people/{new_id}").json().items()
        >= {
            **fields,
            "_version": 6,
        }.items()
    )


# --- idempotency keys


def test_same_key_gives_the_first_answer_again(crm: Crm, new_id: str) -> None:
    headers = {"Idempotency-Key": f"key {new_id}"}
    body = {"id": new_id, "name": "a"}
    first = crm.call("POST", "/people", body, headers=headers)
    crm.call("PATCH", f"/people/{new_id}", {"name": "b"})
    again = crm.call("POST", "/people", body, headers=headers)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["ETag"] == first.headers["ETag"]
    assert again.headers["Location"] == first.headers["Location"]
    assert crm.call("GET", f"/people/{new_id}").json()["name"] == "b"


def test_refusal_is_kept_too(crm: Crm, new_id: str) -> None:
    headers = {"Idempotency-Key": f"key {new_id}"}
    first = crm.call("PATCH", f"/people/{new_id}?create=false", {}, headers=headers)
    crm.call("PUT", f"/people/{new_id}", {})
    again = crm.call("PATCH", f"/people/{new_id}?create=false", {}, headers=headers)
    assert (first.status_code, again.status_code) == (404, 404)
    assert again.headers["Idempotency-Replayed"] == "true"


def test_delete_with_a_key_may_be_repeated(crm: Crm, new_id: str) -> None:
    headers = {"Idempotency-Key": f"key {new_id}"}
    crm.call("PUT", f"/people/{new_id}", {})
    answers = [crm.call("DELETE", f"/people/{new_id}", headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [204, 204]


def test_key_of_another_call_is_refused(crm: Crm, new_id: str) -> None:
    headers = {"Idempotency-Key": f"key {new_id}"}
    crm.call("PUT", f"/people/{new_id}", {"name": "a"}, headers=headers)
    for method, path, body in (
        ("PUT", f"/people/{new_id}", {"name": "b"}),
        ("PATCH", f"/people/{new_id}", {"name": "a"}),
        ("PUT", f"/people/{new_id}x", {"name": "a"}),
        ("PATCH", f"/people/{new_id}?create=false", {"name": "a"}),
    ):
        refused = crm.call(method, path, body, headers=headers)
        assert refused.status_code == 422
        assert refused.json()["error"]["code"] == "idempotency_key_reused"
    assert crm.call("GET", f"/people/{new_id}").json()["name"] == "a"


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_impossible_key_is_refused(crm: Crm, new_id: str, key: str) -> None:
    refused = crm.call("PUT", f"/people/{new_id}", {}, headers={"Idempotency-Key": key})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "bad_idempotency_key")


def test_concurrent_repeats_write_once(crm: Crm, new_id: str) -> None:
    def create(_: int) -> tuple[int, str | None]:
        answer = requests.post(
            f"{crm.url}/people",
            json={"id": new_id},
            headers={"Idempotency-Key": f"key {new_id}"},
            timeout=10,
        )
        return answer.status_code, answer.headers.get("Idempotency-Replayed")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(create, range(16)))
    assert answers.count((201, None)) == 1
    assert answers.count((201, "true")) == 15


def test_key_is_forgotten_after_a_day(tmp_path: Path) -> None:
    headers = {"Idempotency-Key": "k"}
    with running(tmp_path) as crm:
        crm.call("PUT", "/people/1", {"name": "a"}, headers=headers)
        with sqlite3.connect(tmp_path / "crm.sqlite") as database:
            database.execute("UPDATE answers SET at = at - 86401")
        again = crm.call("PUT", "/people/1", {"name": "b"}, headers=headers)
    assert (again.status_code, again.json()["name"]) == (200, "b")


def test_server_error_is_not_kept_and_leaves_nothing(tmp_path: Path) -> None:
    headers = {"Idempotency-Key": "k"}
    with running(tmp_path) as crm:
        with sqlite3.connect(tmp_path / "crm.sqlite") as database:
            database.execute(
                "CREATE TRIGGER broken BEFORE INSERT ON calls "
                "BEGIN SELECT RAISE(ABORT, 'disk trouble'); END"
            )
        failed = crm.call("PUT", "/people/1", {"name": "a"}, headers=headers)
        assert (failed.status_code, failed.json()["error"]["code"]) == (
            500,
            "internal_server_error",
        )
        assert crm.call("GET", "/people/1").status_code == 404
        with sqlite3.connect(tmp_path / "crm.sqlite") as database:
            database.execute("DROP TRIGGER broken")
        again = crm.call("PUT", "/people/1", {"name": "a"}, headers=headers)
    assert again.status_code == 201
    assert "Idempotency-Replayed" not in again.headers


# --- what the demo asks for


def test_calls_are_counted_by_resource_and_answer(tmp_path: Path) -> None:
    headers = {"Idempotency-Key": "k"}
    with running(tmp_path) as crm:
        crm.call("PUT", "/companies/1", {})
        middle = crm.call("GET", "/_calls").json()["last"]
        crm.call("PUT", "/people/1", {}, headers=headers)
        crm.call("PUT", "/people/1", {}, headers=headers)
        crm.call("PUT", "/people/1", {"nmae": "x"})
        crm.call("GET", "/people/1")
        all_calls = crm.call("GET", "/_calls").json()
        later = crm.call("GET", f"/_calls?since={middle}").json()
        none = crm.call("GET", f"/_calls?since={all_calls['last']}").json()
        assert crm.call("GET", "/_calls?since=x").status_code == 400
        assert crm.call("GET", "/_calls?sice=1").status_code == 400
    people = {"calls": 3, "replayed": 1, "statuses": {"201": 2, "422": 1}}
    companies = {"calls": 1, "replayed": 0, "statuses": {"201": 1}}
    assert all_calls["resources"] == {"companies": companies, "people": people}
    assert all_calls["calls"] == 4
    assert later["resources"] == {"people": people}
    assert none == {"last": all_calls["last"], "calls": 0, "resources": {}}


def test_root_is_json_for_programs_and_a_page_for_people(crm: Crm) -> None:
    told = crm.call("GET", "/")
    assert set(told.json()["resources"]) == {"people", "companies"}
    page = crm.call("GET", "/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"


def test_openapi_describes_each_resource(crm: Crm) -> None:
    document = crm.call("GET", "/openapi.json").json()
    assert document["openapi"].startswith("3.1.")
    assert set(document["paths"]["/people/{id}"]) == {"parameters", "get", "put", "patch", "delete"}
    fields = document["components"]["schemas"]["people.fields"]
    assert fields["additionalProperties"] is False
    assert fields["properties"]["company"]["x-reference"] == "companies"
    assert fields["properties"]["name"]["type"] == ["string", "null"]
    links = set(find_links(document))
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert links
    assert links <= known


def find_links(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for inner in node:
            yield from find_links(inner)
    if isinstance(node, dict):
        for name, inner in node.items():
            if name == "$ref":
                yield inner
            yield from find_links(inner)


# --- pages


def test_pages_escape_everything(crm: Crm, new_id: str) -> None:
    evil = f"<script>alert('{new_id}')</script>\"'>"
    path = f"/people/{quote(evil, safe='')}"
    headers = {"Idempotency-Key": evil.replace("é", "e")}
    body = {"name": evil, "tags": [evil], "extra": {evil: evil}, "company": evil}
    assert crm.call("PUT", path, body, headers=headers).status_code == 201
    crm.call("PUT", f"/companies/{quote(evil, safe='')}", {"name": "x"})
    for page in ("/", "/_/people", f"/_{path}", f"/_{path.replace('people', 'companies')}"):
        shown_page = crm.call("GET", page, headers={"Accept": "text/html"})
        assert shown_page.status_code == 200
        assert new_id in shown_page.text
        assert "<script" not in shown_page.text
        assert "Who calls <us>" not in shown_page.text
        policy = shown_page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


def test_page_of_a_record_shows_its_history_newest_first(crm: Crm, new_id: str) -> None:
    headers = {"Idempotency-Key": f"key-{new_id}"}
    crm.call("PUT", f"/people/{new_id}", {"name": "before"}, headers=headers)
    crm.call("PATCH", f"/people/{new_id}", {"name": "after"})
    crm.call("PATCH", f"/people/{new_id}", {"name": "after"})
    page = crm.call("GET", f"/_/people/{new_id}").text
    history = page[page.index("History") :]
    assert "<del>before</del> <ins>after</ins>" in history
    places = [history.index(word) for word in ("nothing changed", "<del>before", "<ins>before")]
    assert places == sorted(places)
    assert f"key-{new_id}" in history


def test_page_of_a_deleted_record_keeps_its_history(crm: Crm, new_id: str) -> None:
    crm.call("PUT", f"/people/{new_id}", {"name": "x"})
    crm.call("DELETE", f"/people/{new_id}")
    assert "This record was deleted" in crm.call("GET", f"/_/people/{new_id}").text


def test_page_of_a_record_lists_what_refers_to_it(crm: Crm, new_id: str) -> None:
    crm.call("PUT", f"/companies/{new_id}", {"name": "ACME"})
    crm.call("PUT", f"/people/{new_id}-member", {"company": new_id})
    page = crm.call("GET", f"/_/companies/{new_id}").text
    assert f'<a href="/_/people/{new_id}-member">' in page


def test_table_shows_the_last_changed_first_in_pages(tmp_path: Path) -> None:
    with running(tmp_path) as crm:
        for number in range(102):
            crm.call("PUT", f"/people/p{number:03}", {"age": number})
        crm.call("PATCH", "/people/p000", {"age": 1000})
        first = crm.call("GET", "/_/people").text
        second = crm.call("GET", "/_/people?offset=100").text
        assert crm.call("GET", "/_/people?offset=-1").status_code == 400
    assert first.index("/_/people/p000") < first.index("/_/people/p101")
    assert "/_/people/p002" not in first
    assert "/_/people/p002" in second
    assert 'href="?offset=100"' in first
    assert 'href="?offset=0"' in second


def test_pages_use_no_foreign_assets(crm: Crm) -> None:
    page = crm.call("GET", "/_/people").text
    assert "http" not in page
    assert crm.call("GET", "/_static/crm.css").headers["Content-Type"].startswith("text/css")


# --- how it runs


@pytest.mark.parametrize(
    ("options", "good", "bad"),
    [
        (["--token", "s3cret"], {"Authorization": "Bearer s3cret"}, {"Authorization": "Bearer x"}),
        (["--basic", "đỗ:pa:ss"], ("đỗ".encode(), b"pa:ss"), ("đỗ".encode(), b"pass")),
        (["--token", "s3cret"], ("anybody", "s3cret"), ("s3cret", "")),
    ],
)
def test_credentials_are_asked_for_everywhere(
    tmp_path: Path, options: list[str], good: Any, bad: Any
) -> None:
    def sending(credentials: Any) -> dict[str, Any]:
        return {"headers" if isinstance(credentials, dict) else "auth": credentials}

    with running(tmp_path, *options) as crm:
        for path in ("/", "/people", "/people/1", "/_/people", "/openapi.json", "/nothing"):
            for refused in (crm.call("GET", path), crm.call("GET", path, **sending(bad))):
                assert refused.status_code == 401
                assert refused.json()["error"]["code"] == "unauthorized"
                assert "Bearer" in refused.headers["WWW-Authenticate"]
        assert crm.call("PUT", "/people/1", {}).status_code == 401
        assert crm.call("PUT", "/people/1", {}, **sending(good)).status_code == 201
        assert crm.call("GET", "/", **sending(good)).json()["resources"]["people"]["records"] == 1


def test_strict_references_must_exist(tmp_path: Path) -> None:
    with running(tmp_path, "--strict-references") as crm:
        refused = crm.call("PUT", "/people/1", {"company": "c"})
        assert refused.status_code == 422
        assert list(refused.json()["error"]["fields"]) == ["company"]
        crm.call("PUT", "/companies/c", {})
        assert crm.call("PUT", "/people/1", {"company": "c"}).status_code == 201
        assert crm.call("PATCH", "/people/1", {"company": None}).status_code == 200


def test_latency_delays_calls_side_by_side(tmp_path: Path) -> None:
    with running(tmp_path, "--latency", "5") as crm:
        before = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            urls = [f"{crm.url}/people/{number}" for number in range(8)]
            list(pool.map(lambda url: requests.put(url, json={}, timeout=60), urls))
        assert 5 < time.monotonic() - before < 8 * 5


def test_acknowledged_write_survives_kill_9(tmp_path: Path) -> None:
    with running(tmp_path) as crm:
        for number in range(20):
            crm.call("PUT", f"/people/{number}", {"age": number})
    with running(tmp_path) as crm:
        assert crm.call("GET", "/people").json()["total"] == 20


def test_field_added_to_the_schema_is_there_after_a_restart(tmp_path: Path) -> None:
    with running(tmp_path) as crm:
        crm.call("PUT", "/companies/1", {"name": "a"})
    fields = {**SCHEMA["companies"]["fields"], "tax": {"type": "text"}}  # type: ignore[dict-item]
    wider = {**SCHEMA, "companies": {"fields": fields}}
    with running(tmp_path, schema=wider) as crm:
        assert crm.call("PATCH", "/companies/1", {"tax": "9"}).json().items() >= {
            ("name", "a"),
            ("tax", "9"),
        }


def test_sigterm_ends_it_in_good_order(tmp_path: Path) -> None:
    with running(tmp_path) as crm:
        crm.call("PUT", "/people/1", {}, headers={"Connection": "close"})
        crm.process.send_signal(signal.SIGTERM)
        assert crm.process.wait(10) == 0


def test_foreign_host_name_is_refused_on_the_open_loopback(crm: Crm) -> None:
    refused = crm.call("GET", "/people", headers={"Host": "rebound.example"})
    assert refused.status_code == 400


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--host", "0.0.0.0"], "give --token or --basic"),
        (["--basic", "nobody"], "should be USER:PASSWORD"),
        (["--schema", "missing.json"], "cannot be read as JSON"),
    ],
)
def test_wrong_option_says_what_would_be_right(
    tmp_path: Path, options: list[str], told: str
) -> None:
    command = [sys.executable, "-m", "connector.demo.crm", "--port", "1", "--db"]
    ran = subprocess.run(
        [*command, str(tmp_path / "crm.sqlite"), *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert ran.returncode == 2
    assert told in ran.stderr


@pytest.mark.parametrize("content", [b"no database at all, but long enough for one" * 40, b""])
def test_only_a_database_of_its_own_is_used(tmp_path: Path, content: bytes) -> None:
    database = tmp_path / "crm.sqlite"
    database.write_bytes(content)
    if not content:
        with sqlite3.connect(database) as foreign:
            foreign.execute("CREATE TABLE precious (x)")
    command = [sys.executable, "-m", "connector.demo.crm", "--port", "1", "--db", str(database)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert str(database) in ran.stderr
    assert "Traceback" not in ran.stderr


def test_default_schema_holds_the_ten_resources_of_the_mappings(tmp_path: Path) -> None:
    with running(tmp_path, schema=json.loads(DEFAULT_SCHEMA.read_text())) as crm:
        assert set(crm.call("GET", "/").json()["resources"]) == {
            *("contacts", "organizations", "tickets", "ticket_comments", "calls"),
            *("leads", "deals", "activities", "notes", "note_comments"),
        }


def test_many_callers_at_once_are_all_served(crm: Crm, new_id: str) -> None:
    answers: list[int] = []

    def write(caller: int) -> None:
        with requests.Session() as http:
            for number in range(10):
                url = f"{crm.url}/people/{new_id}-{caller}-{number}"
                answers.append(http.put(url, json={"company": new_id}, timeout=10).status_code)

    threads = [threading.Thread(target=write, args=(caller,)) for caller in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [201] * 160
    assert crm.call("GET", "/people", params={"company": new_id}).json()["total"] == 160
