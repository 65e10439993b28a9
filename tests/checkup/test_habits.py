"""Every bad habit of a CRM is found by the probe that is for it, with the configuration that suits.

Over real HTTP, with the verb as a person runs it; whatever is found, nothing is left behind.
"""

from __future__ import annotations

from typing import Any

import pytest
from checkup.conftest import TARGET, TOKEN, Desk, Odd


def test_a_good_crm_suits_and_nothing_is_left_behind(odd_desk: Desk, odd: Odd) -> None:
    checked = odd_desk.check()
    assert checked.bad == {}
    assert (checked.code, checked.out["left_behind"], odd.rows) == (0, [], {})
    assert checked.out["target"] == "crm"
    assert checked.probes["fields"]["found"] == "all 4 came back as they were sent"
    assert all(
        {"probe", "found", "meaning", "suits", "config", "seconds"} <= f.keys()
        for f in checked.out["findings"]
    )


HABITS: list[tuple[dict[str, Any], str, str, str | None]] = [
    ({"drops": ("note",)}, "fields", "note is empty", "verify: [read]"),
    ({"cut": 255}, "text.long", "cut to 255 characters", "verify: [read]"),
    ({"ignores_null": True}, "null", "null does not clear note, '' does", 'empty: ""'),
    ({"replaces": True}, "update.others", "emptied or changed age, kind, name", "send: all"),
    ({"lag": 0.8}, "search_lag", "after 0.", "search_lag: 2"),
    ({"ignores_query": True}, "search.nobody", "an id that nobody has: 1 hits", None),
    ({"etag": "required"}, "update.if_match", "428", "etag: header"),
    (
        {"missing": 400},
        "update_missing",
        "400",
        "answers:\n  - {call: update, status: 400, means: gone}",
    ),
    ({"missing": 204}, "update_missing", "and nothing is there", "verify: [link]"),
    ({"reuses_ids": True}, "ids_again", "has the same id, 1", "verify: [link]"),
    (
        {"unique": "old"},
        "second_create",
        "answered 200",
        "answers:\n  - {call: create, status: 200, means: conflict}",
    ),
    ({"unknown": "drop"}, "unknown_field", "is dropped, and answered 2xx", "verify: [read]"),
    ({"number_text": "zero"}, "number_as_text", "the field holds 0", "verify: [read]"),
    (
        {"bad_in_ids": ":đ"},
        "id_characters",
        "a colon: refused (400); đ: refused",
        "id_format: slug",
    ),
    ({"uuids_only": True}, "id_format", "is refused", "id_format: uuid"),
    (
        {"wrong_token": 400},
        "auth",
        "400",
        "answers:\n  - {status: 400, when: error == 'unauthorized', means: credentials}",
    ),
    ({"open_check": True}, "auth.check", "answered 200", "check: {path: /people}"),
    ({"slow": 0.06}, "latency", " ms (at most ", "timeout: 1"),
]


@pytest.mark.parametrize(
    ("habits", "probe", "found", "config"),
    HABITS,
    ids=["-".join(f"{k}" for k in case[0]) for case in HABITS],
)
def test_a_bad_habit_is_found_with_what_would_suit(
    odd_desk: Desk, odd: Odd, habits: dict[str, Any], probe: str, found: str, config: str | None
) -> None:
    odd.be(**habits)
    if "slow" in habits:
        odd_desk.configure(odd.url, TARGET + "timeout: 0.11\n")
    checked = odd_desk.check()
    finding = checked.probes[probe]
    if "slow" in habits:  # the slower the machine, the longer the timeout that would do
        assert finding["config"].startswith("timeout: ")
        config = finding["config"]
    assert (finding["suits"], finding["config"]) == (False, config), finding
    assert found in finding["found"]
    assert checked.code == 1
    assert (checked.out["left_behind"], odd.rows) == ([], {})


HARMLESS: list[tuple[dict[str, Any], str, str]] = [
    ({"unique": None}, "second_create", "and there are two rows now"),
    ({"unique": 400}, "second_create", "400"),
    ({"unique": 500}, "second_create", "500"),
    ({"line_breaks": True}, "text.line_breaks", "kept, the line break as LF"),
    ({"substring": True}, "search.substring", "found all the same"),
    ({"case_blind": True}, "search.case", "found all the same"),
    ({"empty_finds_all": True}, "search.empty", "finds 1 rows, whoever's they are"),
    ({"ignores_unknown_parameters": True}, "search.misspelled", "finds 1 rows"),
    ({"tells_id": False}, "create", "without an id under `crm_id:`"),
    ({"missing_delete": 400}, "delete_twice", "a second delete: 400"),
]


@pytest.mark.parametrize(
    ("habits", "probe", "found"), HARMLESS, ids=["-".join(map(str, c[0])) for c in HARMLESS]
)
def test_a_habit_that_the_connector_bears_is_told_and_suits(
    odd_desk: Desk, odd: Odd, habits: dict[str, Any], probe: str, found: str
) -> None:
    odd.be(**habits)
    checked = odd_desk.check()
    assert found in checked.probes[probe]["found"]
    assert checked.suits(probe) is True
    assert (checked.bad, checked.code) == ({}, 0)
    assert (checked.out["left_behind"], odd.rows) == ([], {})


NEITHER: list[tuple[dict[str, Any], str, str]] = [
    ({"unique": None}, "two_at_once", "2 rows"),
    ({"strips": True}, "text.blanks", "are trimmed"),
    ({"quote_breaks": True}, "search.special", "refused: '"),
    ({"etag": "offered"}, "etag", "a stale one is answered 412"),
    ({"unknown": "keep"}, "unknown_field", "is kept"),
    ({"limit": {"X-RateLimit-Limit": "100", "X-RateLimit-Reset": "60"}}, "rate_limit", "100/60 s"),
    ({"limit": {"RateLimit-Policy": '"x";q=50;w=10'}}, "rate_limit", "50/10 seconds"),
]


@pytest.mark.parametrize(
    ("habits", "probe", "found"), NEITHER, ids=["-".join(map(str, c[0])) for c in NEITHER]
)
def test_what_is_good_to_know_is_told_without_a_verdict(
    odd_desk: Desk, odd: Odd, habits: dict[str, Any], probe: str, found: str
) -> None:
    odd.be(**habits)
    checked = odd_desk.check()
    assert found in checked.probes[probe]["found"]
    assert checked.suits(probe) is None
    assert checked.code == 0
    assert (checked.out["left_behind"], odd.rows) == ([], {})


def test_advice_that_is_followed_suits_the_next_time(odd_desk: Desk, odd: Odd) -> None:
    odd.be(cut=255, missing=400, etag="required", ignores_null=True, lag=0.8)
    assert odd_desk.check().code == 1
    followed = TARGET.replace("search_lag: 0.3", "search_lag: 2") + (
        "    verify: [read]\n    etag: header\n    empty: ''\n"
        "    answers: [{call: update, status: 400, means: gone}]\n"
    )
    odd_desk.configure(odd.url, followed)
    checked = odd_desk.check()
    assert (checked.bad, checked.code, odd.rows) == ({}, 0, {})


def test_a_configured_limit_within_that_of_the_crm_suits(odd_desk: Desk, odd: Odd) -> None:
    odd.be(limit={"RateLimit-Policy": '"x";q=5000;w=10'})
    odd_desk.configure(odd.url, TARGET + "rate_limit: 400/second\n")
    assert odd_desk.check().suits("rate_limit") is True


STRATEGIES = {
    "create_then_update": (
        "create_then_update}",
        {"second_create"},
        "the connector cannot tell which row it met",
    ),
    "create_then_update with a search": (
        'create_then_update, search: {path: /people, query: {ext: "{external_id}"}, found: data}}',
        set(),
        "",
    ),
    "post": (
        'post, search: {path: /people, query: {ext: "{external_id}"}, found: data}}',
        {"update", "second_create"},
        "what changes a record was not probed",
    ),
    "put": ('put, path: "/people/{external_id}"}', {"create"}, "creates none"),
}


@pytest.mark.parametrize(("upsert", "bad", "meaning"), STRATEGIES.values(), ids=list(STRATEGIES))
def test_every_strategy_is_probed_with_its_own_calls(
    desk: Desk, odd: Odd, upsert: str, bad: set[str], meaning: str
) -> None:
    """The odd CRM gives ids of its own and answers 409: it does not suit all of them."""
    target = (
        f"auth: {{type: bearer, token: {TOKEN}}}\nresources:\n  people:\n"
        f"    upsert: {{strategy: {upsert}\n"
    )
    if not upsert.startswith("put"):
        target += "    external_id_field: ext\n    crm_id: data.id\n    hit_id: id\n"
        target += '    delete: {path: "/people/{crm_id}"}\n'
    desk.configure(odd.url, target)
    checked = desk.check()
    assert checked.bad.keys() == bad
    assert meaning in "".join(checked.probes[probe]["meaning"] for probe in bad)
    assert (odd.rows, checked.out["left_behind"]) == ({}, [])


def test_a_patch_that_is_answered_and_writes_nothing_is_found(desk: Desk, odd: Odd) -> None:
    odd.be(missing=204)
    desk.configure(
        odd.url,
        f"auth: {{type: bearer, token: {TOKEN}}}\nresources:\n  people:\n"
        '    upsert: {strategy: patch, path: "/people/{external_id}"}\n',
    )
    checked = desk.check()
    assert checked.suits("create.kept") is False
    assert checked.probes["create.kept"]["config"] == (
        "upsert:\n  strategy: patch\n  path: /people/{external_id}\n"
        "  create: {method: POST, path: '/{resource}'}"
    )
    assert checked.code == 1


def test_a_429_is_waited_out_and_told(odd_desk: Desk, odd: Odd) -> None:
    odd.be(busy_at=20)
    checked = odd_desk.check()
    assert checked.code == 0
    assert "429 after" in checked.probes["rate_limit"]["found"]


def test_a_crm_that_has_moved_is_told_with_its_new_address(odd_desk: Desk, odd: Odd) -> None:
    odd.be(moved="https://new.example/api")
    checked = odd_desk.check()
    assert checked.bad == {"redirects": "base_url: https://new.example/api"}
    assert checked.code == 1


def test_a_second_record_that_is_refused_ends_only_the_probes_that_need_one(
    odd_desk: Desk, odd: Odd
) -> None:
    odd.be(one_email=True)
    checked = odd_desk.check()
    assert "another scratch record is refused: 422" in checked.probes["ids_again"]["found"]
    assert "latency" in checked.probes
    assert odd.rows == {}
