"""One phone call, told by ten events in any order, is one row that says how it went."""

from __future__ import annotations

import random

import pytest

from connector.model import Json

START = 1633489860000  # milliseconds: 2021-10-06 10:11:00 in Vietnam


def step(action: str, seconds: float, **info: Json) -> Json:
    """A step of call 42, so many seconds after it began."""
    told = {
        "event_name": action,
        "call_id": "42",
        "account_id": 1,
        "direction": "inbound",
        "caller": "0889999999",
        "called": "19009999",
        "event_time": START + int(seconds * 1000),
        **info,
    }
    return {"object": "call_in", "action": action, "call_info": told}


def end(status: str, seconds: float, **info: Json) -> Json:
    """The last step."""
    times = {"call_start_time": START, "call_end_time": START + int(seconds * 1000)}
    return step("call_in_end", seconds, status=status, **times, **info)


def of_ticket(seconds: float, source: str, **info: Json) -> Json:
    """The ticket made of the call."""
    at = START + int(seconds * 1000)
    comment = {"ticket_id": 9, "comment": "Cuộc gọi", "source": source, "created_at": at}
    told = {"ticket_id": 9, "updated_at": at, "requester_id": 5, "ticket_comment": comment}
    call = {"call_id": 42, "caller": "0889999999", "called": "19009999", "start_time": START}
    return {"object": "ticket", "action": "update", "ticket": told, "call_info": {**call, **info}}


ANSWERED = [
    step("call_in_start", 0),
    step("call_in_agent_ring", 1, agent_id="101"),
    step("call_in_agent_miss", 6, agent_id="101"),
    step("call_in_agent_ring", 6.5, agent_id="102"),
    step("call_in_agent_ring", 6.5, agent_id="103"),
    step("call_in_agent_answer", 8, agent_id="102"),
    step("call_in_agent_miss", 8.2, agent_id=103),
    step("call_in_customer_end", 30, agent_id="102"),
    step("call_in_agent_end", 30.4, agent_id="102"),
    end(
        "answered",
        30.5,
        call_answer_time=START + 8000,
        call_duration=31,
        answer_duration=23,
        record_url="https://example.vn/42.mp3",
    ),
    of_ticket(31, "Voice", answer_time=START + 8000, end_time=START + 30500, status_code=200),
]

ANSWERED_ROW = {
    "ticket": "9",
    "direction": "INBOUND",
    "status": "ENDED",
    "status_code": "200",
    "customer_phone": "+84889999999",
    "company_number": "19009999",
    "started_at": "2021-10-06T03:11:00.000Z",
    "answered_at": "2021-10-06T03:11:08.000Z",
    "ended_at": "2021-10-06T03:11:30.500Z",
    "customer_left_at": "2021-10-06T03:11:30.000Z",
    "agent_left_at": "2021-10-06T03:11:30.400Z",
    "duration_seconds": 31,
    "talk_seconds": 23,
    "recording_url": "https://example.vn/42.mp3",
    "agent_extension": "102",
}


def row_after(bench, bodies: list[Json]) -> Json:
    """The one row of the call."""
    crm = bench.crm(*(("caresoft", body) for body in bodies))
    assert list(crm["calls"]) == ["42"]
    return crm["calls"]["42"]


@pytest.mark.parametrize("seed", range(25))
def test_an_answered_call_is_one_row_in_any_order_and_with_duplicates(bench, seed):
    chance = random.Random(seed)
    bodies = [*ANSWERED, *chance.sample(ANSWERED, 4)]
    chance.shuffle(bodies)
    row = row_after(bench, bodies)
    assert sorted(row.pop("missed_extensions")) == ["101", "103"]
    assert row.pop("last_rung_extension") in ("102", "103")  # both rang in the same millisecond
    assert row == ANSWERED_ROW


def test_the_status_follows_the_call(bench):
    statuses = [row_after(bench, ANSWERED[:n])["status"] for n in range(1, len(ANSWERED) + 1)]
    assert statuses == [*["RINGING"] * 5, *["ANSWERED"] * 4, *["ENDED"] * 2]


def test_an_agent_who_missed_the_call_a_moment_after_another_answered_does_not_unanswer_it(bench):
    answered, missed = ANSWERED[5], ANSWERED[6]
    assert missed["call_info"]["event_time"] > answered["call_info"]["event_time"]
    assert row_after(bench, [ANSWERED[0], answered, missed])["status"] == "ANSWERED"


@pytest.mark.parametrize("late", ["call_in_start", "call_in_agent_ring", "call_in_agent_answer"])
@pytest.mark.parametrize("told_by", [end("miss", 30), of_ticket(31, "MissCall", end_time=START)])
def test_a_call_that_is_over_stays_over_whatever_comes_late(bench, late, told_by):
    told_by["call_info"].setdefault("answer_time", 0)
    straggler = step(late, 900, agent_id="101")  # a clock that is wrong by a quarter of an hour
    for order in ([told_by, straggler], [straggler, told_by]):
        assert row_after(bench, order)["status"] == "MISSED"


def test_a_missed_call_was_never_answered(bench):
    row = row_after(bench, [*ANSWERED[:3], end("miss", 10, call_answer_time=0)])
    assert row["status"] == "MISSED"
    assert not {"answered_at", "agent_extension", "recording_url"} & set(row)
    assert row["missed_extensions"] == ["101"]


@pytest.mark.parametrize(
    ("answer", "status"),
    [({"answer_time": 0}, "MISSED"), ({"answer_time": START + 1}, "ENDED"), ({}, "ENDED")],
)
def test_a_call_known_from_its_ticket_alone_says_how_it_ended(bench, answer, status):
    row = row_after(bench, [of_ticket(31, "Voice", end_time=START + 30500, **answer)])
    assert row["status"] == status


def test_a_ticket_whose_call_goes_on_does_not_end_it(bench):
    going_on = of_ticket(9, "Voice", answer_time=START + 8000, end_time=0)
    assert row_after(bench, [*ANSWERED[:6], going_on])["status"] == "ANSWERED"


def test_a_ticket_without_a_call_writes_none(bench):
    body = of_ticket(9, "Web")
    for nothing in ({}, {"call_id": ""}, {"call_id": None}, None):
        body["call_info"] = nothing
        assert "calls" not in bench.crm(("caresoft", body))


def test_the_same_call_by_number_and_by_text_is_one_row(bench):
    crm = bench.crm(
        ("caresoft", step("call_in_start", 0, call_id=42)),
        ("caresoft", step("call_in_agent_ring", 1, call_id="42", agent_id="101")),
    )
    assert list(crm["calls"]) == ["42"]


def test_a_campaigns_call_and_its_ticket_are_one_row(bench):
    campaign = {
        "object": "smart_dialer",
        "action": "pd_end_call",
        "call_info": {
            "call_id": "42",
            "line": "19009999",
            "phone_number": "0889999999",
            "campaign_id": 12,
            "customer_id": 5,
            "start_time": START,
            "connect_time": START + 8000,
            "end_time": START + 30500,
            "agent_user_id": 4444,
            "agent_id": 50007,
        },
    }
    ticket = of_ticket(31, "Voice Campaign", answer_time=START + 8000, end_time=START + 30500)
    for order in ([campaign, ticket], [ticket, campaign]):
        row = row_after(bench, order)
        assert (row["direction"], row["dialer"], row["status"]) == (
            "OUTBOUND",
            "PREDICTIVE",
            "ENDED",
        )
        assert (row["ticket"], row["campaign_id"], row["agent_id"]) == ("9", "12", "4444")
