"""Every row of the table of docs/answers.md, and every manner that real CRMs were seen to have, has
a test that would fail without it: this is the list, and it is checked against the tests there are.

`M:name` is a manner of tests/manners.py, tried one by one and in pairs by test_manners.py; any
other entry is a test, `file::function` within tests/.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest
from manners import ALL

TESTS = Path(__file__).parents[1]

ANSWERS = {
    "2xx, and `success:` holds": [
        "targets/test_answers.py::test_2xx_is_done",
        "targets/test_answers.py::test_success_must_hold_for_a_write_that_has_a_body",
    ],
    "2xx with an error inside": [
        "targets/test_answers.py::test_2xx_with_an_error_inside_is_refused",
        "targets/test_answers.py::test_answer_that_holds_the_record_has_no_error_inside",
        "M:envelope",
        "M:says_error",
    ],
    "207 with a bad part": ["targets/test_answers.py::test_207_is_judged_by_its_parts", "M:parts"],
    "2xx with HTML where JSON is expected": [
        "targets/test_answers.py::test_html_where_json_is_expected_is_a_login_page",
    ],
    "404, 410 on an update or the read before it": [
        "targets/test_answers.py::test_record_that_is_not_there",
        "targets/test_search_then_write.py::test_record_that_is_gone_is_created_again",
        "targets/test_search_then_write.py::test_gone_record_may_be_left_alone",
        "targets/test_reading.py::test_record_that_is_gone_before_its_update_is_created",
        "M:gone_is_410",
    ],
    "404, 410 on a delete, any refusal of one whose record is not found": [
        "targets/test_one_call.py::test_delete_is_done_when_the_record_is_not_there",
        "targets/test_search_then_write.py::test_refused_delete_of_what_is_no_longer_found_is_done",
        "targets/test_search_then_write.py::test_refused_delete_of_what_is_still_there_is_refused",
        "M:gone_is_400",
    ],
    "409, 412": [
        "targets/test_answers.py::test_conflict_needs_a_way_to_look",
        "targets/test_search_then_write.py::test_somebody_faster_is_found_and_updated",
        "targets/test_search_then_write.py::test_conflict_that_never_ends_is_a_dead_letter",
        "targets/test_one_call.py::test_conflict_without_a_way_to_look_is_refused",
        "M:duplicate_409",
    ],
    "a create refused by 400, 422 or 500 whose record a search finds": [
        "targets/test_search_then_write.py::test_refused_create_whose_record_is_there_was_a_race",
        "M:duplicate_400",
        "M:duplicate_500",
    ],
    "400, 422 and other 4xx": ["targets/test_answers.py::test_other_4xx_are_refused"],
    "401, or 403 while the check is refused too": [
        "targets/test_answers.py::test_401_is_credentials",
        "targets/test_line.py::test_403_is_settled_by_the_check",
        "targets/test_line.py::test_403_for_everything_is_credentials_once_anything_worked",
        "targets/test_logins.py::test_session_that_ended_is_renewed_once",
        "targets/test_logins.py::test_session_that_ended_with_403_is_opened_again_from_the_first_call",
    ],
    "403 while that call works": [
        "targets/test_search_then_write.py::test_403_of_a_record_that_is_no_longer_found_means_gone",
        "targets/test_search_then_write.py::test_403_of_a_record_that_is_still_there_is_refused",
        "M:gone_is_403",
        "M:forbids_reading",
    ],
    "408, 425, 429, 502-504, refused, reset, timed out": [
        "targets/test_answers.py::test_away_or_busy_is_not_now_and_a_definite_answer",
        "targets/test_answers.py::test_gateway_that_lost_the_crm_leaves_a_write_unknown",
        "targets/test_answers.py::test_no_answer_is_not_now_and_unknown_once_sent",
        "M:busy",
        "M:flickers",
        "M:loses_answers",
        "M:gateway",
    ],
    "500, 501, 505": [
        "targets/test_answers.py::test_other_5xx_are_a_fault",
        "M:fails_at_first",
    ],
    "3xx": [
        "targets/test_answers.py::test_3xx_is_misled_with_the_address",
        "targets/test_one_call.py::test_redirect_is_never_followed",
    ],
}

MANNERS = {
    "PATCH of nothing answers 204": ["M:patch_of_nothing"],
    "POST of a known id answers 200 with the old row": ["M:old_row"],
    "a duplicate is 400, 409, 500": ["M:duplicate_400", "M:duplicate_409", "M:duplicate_500"],
    "a duplicate is a second row": [
        "servers/test_real_servers.py::test_twelve_events_at_once_for_a_new_record_make_one_row"
    ],
    "an unknown field or a long text is dropped or cut": ["M:drops_unknown", "M:cuts_text"],
    "null is ignored": ["M:ignores_null"],
    "a required column in every write": ["M:needs_subject"],
    "a create's answer has no id": [
        "M:silent_create",
        "M:id_in_location",
        "targets/test_location.py::test_create_that_answers_with_an_address_alone_is_linked",
    ],
    "ids are used again": [
        "M:reuses_ids",
        "targets/test_reading.py::test_row_that_belongs_to_another_record_is_left_alone",
        "targets/test_reading.py::test_row_that_belongs_to_another_record_is_not_deleted",
    ],
    "ids may not hold everything": [
        "M:strict_ext",
        "targets/test_one_call.py::test_id_format_holds_in_path_body_and_references",
    ],
    "a path wants its own escaping": [
        "targets/test_one_call.py::test_escape_is_for_ids_of_path_and_query"
    ],
    "an id belongs in the body": ["M:id_in_body"],
    "substring or case-blind matches": ["M:substring", "M:case_blind"],
    "a misspelled parameter finds all rows": [
        "targets/test_manners.py::test_search_that_ignores_what_it_does_not_know_pauses",
        "servers/test_peculiarities.py::"
        "test_a_search_that_finds_every_row_pauses_the_target_and_writes_nothing",
    ],
    "several equal hits": ["targets/test_search_then_write.py::test_several_equal_hits"],
    "If-Match is required, 412": [
        "M:if_match",
        "targets/test_reading.py::test_record_that_changed_meanwhile_is_read_again",
        "targets/test_reading.py::test_lock_version_goes_where_the_crm_wants_it",
    ],
    "values only as text": ["M:strings"],
    "wrapped bodies, rows in a list, custom fields in a list": [
        "M:wrapped",
        "M:listed",
        "M:custom",
    ],
    "a required Origin": ["M:origin"],
    "text comes back changed": [
        "M:crlf",
        "targets/test_reading.py::test_text_that_comes_back_changed_is_no_edit",
    ],
    "a request id that a failed request uses up": ["M:keys_once"],
}


@cache
def functions(file: str) -> frozenset[str]:
    tree = ast.parse((TESTS / file).read_text("utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize(("said", "shown"), [*ANSWERS.items(), *MANNERS.items()])
def test_row_is_shown_by_tests_that_there_are(said, shown):
    for entry in shown:
        file, _, name = entry.partition("::")
        assert (
            entry.removeprefix("M:") in ALL if entry.startswith("M:") else name in functions(file)
        )


def test_every_manner_is_told_of():
    told = {entry[2:] for shown in (*ANSWERS.values(), *MANNERS.values()) for entry in shown}
    ways = {"only_post", "forms", "text_ids", "slow_index", "paged", "unasked", "hits_204"}
    assert ALL.keys() - told == ways
