"""`connector targets check`: what it asks, prints and leaves, and what it does in trouble."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from checkup.conftest import TARGET, TOKEN, Desk, Odd

BY_ID = """\
auth: {type: none}
check: {path: /}
timeout: 1
"""


# --- asking


def test_it_asks_before_anything_is_created(odd_desk: Desk, odd: Odd) -> None:
    result = odd_desk.run("targets", "check", "crm", given="n\n")
    assert result.exit_code == 2
    assert f"scratch records of people will be created in {odd.url}" in result.stderr
    assert odd.paths == []


def test_nobody_there_to_agree_is_told_of_yes(odd_desk: Desk, odd: Odd) -> None:
    result = odd_desk.run("targets", "check", "crm")
    assert (result.exit_code, "say --yes" in result.stderr, odd.paths) == (2, True, [])


def test_who_agrees_gets_a_table_with_what_would_suit(odd_desk: Desk, odd: Odd) -> None:
    odd.be(cut=20, missing=400)
    result = odd_desk.run("targets", "check", "crm", given="y\n")
    assert result.exit_code == 1
    assert re.search(r"text\.long +a text of 10000 characters in note is cut to 20", result.stdout)
    shown = result.stdout.partition("This would suit better:\n")[2]
    assert shown == (
        "targets:\n  crm:\n    resources:\n      people:\n        verify: [read]\n"
        "        answers:\n          - {call: update, status: 400, means: gone}\n"
    )


# --- what is sent


def test_the_scratch_record_is_like_what_the_mapping_makes(odd_desk: Desk, odd: Odd) -> None:
    odd.be(deletes=403)
    odd_desk.check()
    row = next(iter(odd.rows.values()))
    assert row["ext"].startswith("connector-check-")
    assert (row["name"], row["kind"]) == ("Lan Anh", "A")


def test_own_fields_take_the_place_of_the_samples(odd_desk: Desk, odd: Odd) -> None:
    (odd_desk.folder / "mine.yaml").write_text("name: Somebody\n", "utf-8")
    odd.be(deletes=403)
    odd_desk.check("--fields", "mine.yaml")
    assert all("Somebody" in str(row["name"] or "Somebody") for row in odd.rows.values())
    assert all("age" not in row for row in odd.rows.values())


@pytest.mark.parametrize("text", ["- a\n", "{}\n", "a: [\n"])
def test_a_file_of_fields_that_is_none_could_not_run(odd_desk: Desk, text: str) -> None:
    (odd_desk.folder / "mine.yaml").write_text(text, "utf-8")
    result = odd_desk.run("targets", "check", "crm", "--yes", "--fields", "mine.yaml")
    assert (result.exit_code, "mine.yaml" in result.stderr) == (2, True)


def test_a_misspelled_target_or_resource_is_told(odd_desk: Desk, odd: Odd) -> None:
    result = odd_desk.run("targets", "check", "cmr", "--yes")
    assert (result.exit_code, "did you mean 'crm'?" in result.stderr) == (2, True)
    result = odd_desk.run("targets", "check", "crm", "--yes", "--resource", "poeple")
    assert (result.exit_code, "nothing maps to 'poeple'" in result.stderr) == (2, True)
    assert odd.paths == []


# --- what is left


def test_rows_that_cannot_be_deleted_are_named_with_the_ids_of_the_crm(
    odd_desk: Desk, odd: Odd
) -> None:
    odd.be(deletes=403)
    checked = odd_desk.check()
    left = checked.out["left_behind"]
    assert {(each["id"], each["crm_id"]) for each in left} == {
        (row["ext"], number) for number, row in odd.rows.items()
    }
    assert all("403" in each["why"] for each in left)
    assert checked.code == 1
    result = odd_desk.run("targets", "check", "crm", "--yes")
    assert re.search(
        r"left behind: people connector-check-\S+ \(the CRM's id: \d+\): 403", result.stderr
    )


def test_a_row_that_is_only_marked_as_deleted_is_told(odd_desk: Desk, odd: Odd) -> None:
    odd.be(soft=True)
    checked = odd_desk.check()
    assert "still shown afterwards" in checked.probes["delete"]["meaning"]
    assert all("still shows it" in each["why"] for each in checked.out["left_behind"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_takes_its_rows_away(
    odd_desk: Desk, odd: Odd, number: signal.Signals
) -> None:
    odd.be(slow=0.05)
    process = start(odd_desk, "--json")
    until = time.monotonic() + 30
    while not odd.rows and time.monotonic() < until:
        time.sleep(0.01)
    assert odd.rows
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    told = json.loads(out)
    assert (process.returncode, told["stopped"]) == (2, "interrupted")
    assert (odd.rows, told["left_behind"]) == ({}, [])


def test_interrupted_in_a_create_it_takes_away_what_the_crm_does_later(
    odd_desk: Desk, odd: Odd
) -> None:
    odd.be(slow=0.7)
    process = start(odd_desk, "--json")
    until = time.monotonic() + 30
    while not any(path.startswith("POST") for path in odd.paths) and time.monotonic() < until:
        time.sleep(0.01)
    assert not odd.rows
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert odd.counter == 1
    assert (odd.rows, json.loads(out)["left_behind"]) == ({}, [])


def start(desk: Desk, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "connector", "targets", "check", "crm", "--yes", *words]
    environ = {k: v for k, v in os.environ.items() if k != "CONNECTOR_CONFIG"}
    return subprocess.Popen(
        command, cwd=desk.folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


# --- secrets


@pytest.mark.parametrize("words", [["--json"], []])
def test_a_token_that_the_crm_repeats_is_not_shown(
    odd_desk: Desk, odd: Odd, words: list[str]
) -> None:
    odd.be(wrong_token=401)
    odd_desk.configure(odd.url, TARGET.replace(TOKEN, "other-secret-9"))
    odd.habits.wrong_token_body = {"error": "no such token: other-secret-9"}
    result = odd_desk.run("targets", "check", "crm", "--yes", *words)
    assert result.exit_code == 1
    assert "other-secret-9" not in result.output
    assert "the configured credentials are refused: 401" in result.output


LOGIN = "{type: login, call: {path: /login, body: {password: xxxx}}, token: token}"


def test_a_token_is_fetched_once_and_shared_with_the_workers(
    desk: Desk, odd: Odd, redis_url: str
) -> None:
    target = TARGET.replace(f"{{type: bearer, token: {TOKEN}}}", LOGIN)
    desk.configure(odd.url, target, redis_url)
    checked = desk.check()
    assert (checked.bad, odd.logins) == ({}, 1)
    assert "a wrong token gets: 401" in checked.probes["auth"]["found"]
    desk.run("config", "check")
    desk.check()
    assert odd.logins == 1


def test_without_redis_a_token_is_fetched_for_this_run(desk: Desk, odd: Odd) -> None:
    desk.configure(odd.url, TARGET.replace(f"{{type: bearer, token: {TOKEN}}}", LOGIN))
    assert (desk.check().bad, odd.logins) == ({}, 1)


def test_a_refresh_token_is_not_used_up_behind_the_workers_backs(desk: Desk, odd: Odd) -> None:
    auth = f"{{type: oauth2_refresh_token, token_url: {odd.url}/login, refresh_token: rrrr, "
    auth += "client_id: us, client_secret: ssss}"
    desk.configure(odd.url, TARGET.replace(f"{{type: bearer, token: {TOKEN}}}", auth))
    result = desk.run("targets", "check", "crm", "--yes")
    assert (result.exit_code, odd.paths) == (2, [])
    assert "Redis cannot be reached" in result.stderr


# --- the CRM of the tests, in every mode


@pytest.fixture
def by_id(desk: Desk, fake_crm: Any) -> Desk:
    desk.configure(fake_crm.url, BY_ID)
    return desk


def test_the_fake_crm_in_good_order_suits(by_id: Desk, fake_crm: Any) -> None:
    checked = by_id.check()
    assert (checked.bad, checked.code, fake_crm.rows("people")) == ({}, 0, {})


AWAY = [
    ("503", "answered 503"),
    ("429", "answered 429"),
    ("500", "answered 500"),
    ("hang", "timed out after 1 s"),
    ("reset_before", "reset"),
]


@pytest.mark.parametrize(("mode", "found"), AWAY, ids=[mode for mode, _ in AWAY])
def test_a_crm_that_is_out_of_order_could_not_be_checked(
    by_id: Desk, fake_crm: Any, mode: str, found: str
) -> None:
    fake_crm.behave(mode)
    checked = by_id.check()
    assert found in checked.probes["reachable"]["found"]
    assert (checked.code, checked.suits("reachable")) == (2, False)


def test_a_crm_that_nobody_runs_could_not_be_checked(desk: Desk, free_port: int) -> None:
    desk.configure(f"http://127.0.0.1:{free_port}", BY_ID)
    checked = desk.check()
    assert (checked.code, checked.suits("reachable")) == (2, False)
    assert "refused" in checked.probes["reachable"]["found"]


SWITCHES: list[tuple[str, dict[str, Any], str, str]] = [
    ("401", {}, "auth", "the configured credentials are refused: 401"),
    ("html", {"methods": ["GET"]}, "check", "200 with a page of HTML"),
    ("redirect", {}, "redirects", "302 to https://elsewhere.example/login"),
    ("422", {"methods": ["PUT"]}, "create", "422"),
    ("garbage", {"methods": ["PUT"]}, "create", "answered 200, no JSON"),
    ("hang_after_write", {"methods": ["PUT"]}, "create", "timed out after 1 s"),
    ("reset_after_write", {"methods": ["PUT"]}, "create", "reset"),
    ("404", {"methods": ["DELETE"]}, "delete", "404"),
    ("400", {"methods": ["DELETE"]}, "delete", "400"),
    ("ok", {"latency": 0.06, "methods": ["PUT"]}, "latency", "PUT 6"),
]


@pytest.mark.parametrize(("mode", "how", "probe", "found"), SWITCHES, ids=[s[0] for s in SWITCHES])
def test_each_switch_of_the_fake_crm_is_found(
    by_id: Desk, fake_crm: Any, mode: str, how: dict[str, Any], probe: str, found: str
) -> None:
    fake_crm.behave(
        mode, resource=None if probe in ("auth", "redirects", "check") else "people", **how
    )
    if how.get("latency"):
        by_id.configure(fake_crm.url, BY_ID.replace("timeout: 1", "timeout: 0.11"))
    checked = by_id.check()
    if mode == "404":  # counts as gone, but the row is still there
        assert "still shown afterwards" in checked.probes["delete"]["meaning"]
    else:
        assert found in checked.probes[probe]["found"]
        assert checked.suits(probe) is False
    assert checked.code == 1
    rows = fake_crm.rows("people")
    assert {left["id"] for left in checked.out["left_behind"]} == rows.keys()


def test_a_garbled_check_is_told(by_id: Desk, fake_crm: Any) -> None:
    fake_crm.behave("garbage", resource="")
    assert "no JSON" in by_id.check().probes["check"]["found"]


def test_keys_that_are_honoured_are_found(by_id: Desk, fake_crm: Any) -> None:
    fake_crm.behave("ok", honour_keys=True)
    found = by_id.check().probes["idempotency_key"]
    assert (found["found"], found["suits"]) == ("Idempotency-Key is honoured", True)


def test_the_row_of_a_create_without_an_answer_is_taken_away(by_id: Desk, fake_crm: Any) -> None:
    fake_crm.behave("hang_after_write", methods=["PUT"])
    checked = by_id.check()
    assert "create" in checked.bad
    assert (fake_crm.rows("people"), checked.out["left_behind"]) == ({}, [])
    assert any(call["method"] == "PUT" and call["wrote"] for call in fake_crm.calls())
