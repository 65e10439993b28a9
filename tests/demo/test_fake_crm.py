"""The fake CRM is what chaos tests believe: its misbehaviour and its memory must be true."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

Fake = Any  # the class lives in conftest, which tests cannot import


def put(crm: Fake, path: str, timeout: float = 5, **fields: Any) -> requests.Response:
    return requests.put(crm.url + path, json=fields, timeout=timeout)


def wait_until(condition: Callable[[], bool], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_rows_are_kept_by_each_way_of_writing(fake_crm: Fake) -> None:
    assert put(fake_crm, "/people/1", name="a", age=1).status_code == 201
    assert put(fake_crm, "/people/1", name="b").json() == {"id": "1", "name": "b"}
    url = f"{fake_crm.url}/people"
    assert requests.patch(f"{url}/1", json={"age": 2}, timeout=5).status_code == 200
    assert requests.patch(f"{url}/9?create=false", json={}, timeout=5).status_code == 404
    assert requests.post(url, json={"id": "1"}, timeout=5).status_code == 409
    assert requests.post(url, json={"id": "x", "name": "c"}, timeout=5).status_code == 201
    assert requests.get(f"{url}?name=c", timeout=5).json()["items"] == [{"id": "x", "name": "c"}]
    assert requests.delete(f"{url}/x", timeout=5).status_code == 204
    assert requests.delete(f"{url}/x", timeout=5).status_code == 404
    assert requests.put(f"{url}/1", data="{", timeout=5).status_code == 400
    assert fake_crm.rows("people") == {"1": {"id": "1", "name": "b", "age": 2}}


def test_post_without_an_id_gets_one(fake_crm: Fake) -> None:
    answers = [
        requests.post(f"{fake_crm.url}/people", json={"n": n}, timeout=5).json() for n in (1, 2)
    ]
    assert answers == [{"id": "1", "n": 1}, {"id": "2", "n": 2}]


def test_every_call_is_remembered(fake_crm: Fake) -> None:
    before = time.time()
    requests.put(
        f"{fake_crm.url}/people/a%2Fb?x=1",
        json={"name": "đ"},
        headers={"Idempotency-Key": "k"},
        timeout=5,
    )
    fake_crm.behave("422", answer={"no": 1})
    put(fake_crm, "/people/2")
    first, second = fake_crm.calls()
    assert (first["method"], first["path"]) == ("PUT", "/people/a%2Fb?x=1")
    assert (first["resource"], first["record"], first["status"]) == ("people", "a/b", 201)
    assert first["headers"]["idempotency-key"] == "k"
    assert (first["body"], first["wrote"]) == ('{"name": "\\u0111"}', True)
    assert before <= first["start"] <= first["end"] <= second["start"]
    assert (second["status"], second["answer"], second["wrote"]) == (422, '{"no": 1}', False)
    assert fake_crm.calls(since=first["number"]) == [second]


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_status_mode_answers_so_and_writes_nothing(fake_crm: Fake, status: int) -> None:
    fake_crm.behave(str(status), retry_after="7")
    answer = put(fake_crm, "/people/1")
    assert (answer.status_code, answer.headers["Retry-After"]) == (status, "7")
    assert requests.get(fake_crm.url, timeout=5).status_code == status
    assert fake_crm.rows("people") == {}


def test_mode_for_so_many_calls_ends_by_itself(fake_crm: Fake) -> None:
    fake_crm.behave("503", times=2)
    assert [put(fake_crm, f"/people/{n}").status_code for n in range(3)] == [503, 503, 201]


def test_mode_holds_for_the_named_calls_only(fake_crm: Fake) -> None:
    fake_crm.behave("503", methods=["PUT"], resource="people")
    assert put(fake_crm, "/people/1").status_code == 503
    assert put(fake_crm, "/calls/1").status_code == 201
    assert requests.get(f"{fake_crm.url}/people", timeout=5).status_code == 200


def test_one_bad_apple_is_refused_alone(fake_crm: Fake) -> None:
    fake_crm.behave("refuse_record:7")
    assert put(fake_crm, "/people/7").status_code == 422
    assert put(fake_crm, "/people/8").status_code == 201


@pytest.mark.parametrize("unknown", [{"mode": "sulk"}, {"mode": "ok", "latncy": 1}])
def test_unknown_behaviour_is_refused(fake_crm: Fake, unknown: dict[str, Any]) -> None:
    answer = requests.post(f"{fake_crm.url}/_control", json=unknown, timeout=5)
    assert answer.status_code == 400


@pytest.mark.parametrize(("mode", "written"), [("reset_before", 0), ("reset_after_write", 1)])
def test_reset_breaks_the_connection(fake_crm: Fake, mode: str, written: int) -> None:
    fake_crm.behave(mode)
    with pytest.raises(requests.exceptions.ConnectionError, match="reset"):
        put(fake_crm, "/people/1")
    fake_crm.behave()
    assert len(fake_crm.rows("people")) == written
    assert fake_crm.calls()[0]["status"] is None


@pytest.mark.parametrize(("mode", "written"), [("hang", 0), ("hang_after_write", 1)])
def test_hanging_call_ends_when_the_client_goes(fake_crm: Fake, mode: str, written: int) -> None:
    fake_crm.behave(mode)
    with pytest.raises(requests.exceptions.ReadTimeout):
        put(fake_crm, "/people/1", timeout=1)
    wait_until(lambda: fake_crm.calls()[0]["end"] is not None)
    assert len(fake_crm.rows("people")) == written


def test_hanging_call_is_let_go_when_the_mode_changes(fake_crm: Fake) -> None:
    fake_crm.behave("hang")
    threading.Timer(0.1, fake_crm.behave).start()
    with pytest.raises(requests.exceptions.ConnectionError):
        put(fake_crm, "/people/1", timeout=30)


def test_calls_on_one_record_at_the_same_time_are_overlaps(fake_crm: Fake) -> None:
    fake_crm.behave(latency=0.1)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda path: put(fake_crm, path), ["/people/1", "/people/1", "/people/2"]))
    put(fake_crm, "/people/2")
    (overlap,) = fake_crm.overlaps()
    assert (overlap["resource"], overlap["record"]) == ("people", "1")


def test_away_refuses_connections_for_a_while(fake_crm: Fake) -> None:
    with requests.Session() as http:
        http.put(f"{fake_crm.url}/people/1", json={}, timeout=5)
        fake_crm.behave("away", seconds=2.0)
        with pytest.raises(requests.exceptions.ConnectionError):
            http.put(f"{fake_crm.url}/people/2", json={}, timeout=5)

    def answers() -> bool:
        try:
            return put(fake_crm, "/people/3").status_code == 201
        except requests.exceptions.ConnectionError:
            return False

    wait_until(answers)
    assert set(fake_crm.rows("people")) == {"1", "3"}


def test_key_is_honoured_only_when_told(fake_crm: Fake) -> None:
    def create() -> requests.Response:
        headers = {"Idempotency-Key": "k"}
        return requests.post(f"{fake_crm.url}/people", json={}, headers=headers, timeout=5)

    assert [create().json()["id"] for _ in range(2)] == ["1", "2"]
    fake_crm.behave(honour_keys=True)
    assert create().json()["id"] == "2"
    assert create().headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize(
    ("mode", "status", "text"),
    [("html", 200, "<!doctype"), ("redirect", 302, ""), ("garbage", 200, "{")],
)
def test_answers_that_are_no_answers(fake_crm: Fake, mode: str, status: int, text: str) -> None:
    fake_crm.behave(mode)
    answer = requests.put(f"{fake_crm.url}/p/1", json={}, allow_redirects=False, timeout=5)
    assert (answer.status_code, answer.text[: len(text)]) == (status, text)
    assert fake_crm.rows("p") == {}


def test_killed_server_comes_back_empty_on_the_same_port(fake_crm: Fake) -> None:
    put(fake_crm, "/people/1")
    fake_crm.kill()
    with pytest.raises(requests.exceptions.ConnectionError):
        put(fake_crm, "/people/1")
    fake_crm.start()
    assert fake_crm.rows("people") == {}


def test_person_changes_rows_without_a_call(fake_crm: Fake) -> None:
    fake_crm.put_rows({"people": {"1": {"id": "1", "name": "by hand"}}})
    assert fake_crm.rows("people")["1"]["name"] == "by hand"
    assert fake_crm.calls() == []


def test_manners_of_real_crms_are_switched_on_by_name(fake_crm: Fake) -> None:
    fake_crm.behave(manners=["duplicate_400", "text_ids"])
    url = f"{fake_crm.url}/people"
    assert requests.post(url, json={"ext": "7"}, timeout=5).json() == {"id": "r101", "ext": "7"}
    assert requests.post(url, json={"ext": "7"}, timeout=5).status_code == 400
    assert requests.get(f"{url}?ext=7", timeout=5).json()["items"] == [{"id": "r101", "ext": "7"}]
    assert fake_crm.rows("people") == {"r101": {"id": "r101", "ext": "7"}}
    fake_crm.behave(manners=["loses_answers"])
    with pytest.raises(requests.ConnectionError):
        requests.post(url, json={"ext": "8"}, timeout=5)
    assert len(fake_crm.rows("people")) == 2


def test_unknown_manner_is_refused(fake_crm: Fake) -> None:
    answer = requests.post(f"{fake_crm.url}/_control", json={"manners": ["polite"]}, timeout=5)
    assert (answer.status_code, answer.json()) == (400, {"error": "unknown manners: polite"})
