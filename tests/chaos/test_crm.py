"""A CRM that is away, slow, rude or confused: it gets everything in the end, each thing once."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from email.utils import formatdate

import pytest
import requests
from system import Json, Load, Stream, System, Tally, balance, wait_for

Brisk = Callable[..., AbstractContextManager[System]]

OUTAGES: dict[str, dict[str, Json]] = {
    "refuses connections": {"mode": "away", "seconds": 4},
    "503": {"mode": "503"},
    "503 with Retry-After": {"mode": "503", "retry_after": "1"},
    "429 with Retry-After": {"mode": "429", "retry_after": "1"},
    "502 of a gateway": {"mode": "502"},
    "500 for everything": {"mode": "500"},
    "a login page": {"mode": "html"},
    "401": {"mode": "401"},
    "hangs": {"mode": "hang"},
    "hangs after it has written": {"mode": "hang_after_write"},
    "cuts the connection": {"mode": "reset_before"},
    "cuts the connection after it has written": {"mode": "reset_after_write"},
}
WRITES_IN_SECRET = {"hang_after_write", "reset_after_write"}


@pytest.mark.parametrize("outage", OUTAGES)
def test_an_outage_loses_and_doubles_nothing(brisk: Brisk, tally: Tally, outage: str) -> None:
    """Due times, breaker, doubt: records wait, the newest value goes out once the CRM is back, and
    what it may have taken without saying so counts as not delivered."""
    stream = Stream(20)
    with brisk() as system:
        with Load(system, stream.one_for_each(), rate=200) as before:
            pass
        wait_for(lambda: len(system.rows("tickets")) == 20, "rows")
        first = len(system.calls())
        system.behave(**OUTAGES[outage])
        with Load(system, stream.bodies(250), rate=150) as load:
            pass
        wait_for(lambda: _answers(system), "the CRM answers questions again", 10)
        during = len(system.calls()) - first
        system.behave()
        begun = time.monotonic()
        calls = balance(system, stream, before, load, tally=tally, within=25)
        took = time.monotonic() - begun
        tally.note(outage, calls_during=during, done_after=f"{took:.1f} s")
        assert len(load.acknowledged) == 250
        unheard = [call for call in calls if call["record"] and call["status"] is None]
        repeated = {call["headers"]["idempotency-key"] for call in unheard}
        assert repeated or OUTAGES[outage]["mode"] not in WRITES_IN_SECRET


def _answers(system: System) -> bool:
    try:
        return bool(system.crm("_counts"))
    except requests.ConnectionError:
        return False


@pytest.mark.parametrize(("status", "form"), [("503", "seconds"), ("429", "date")])
def test_retry_after_is_obeyed_for_the_whole_target(
    brisk: Brisk, tally: Tally, status: str, form: str
) -> None:
    """Hold: one answer with `Retry-After` stops every record of the target until then."""
    stream = Stream(20)
    with brisk(workers=2) as system:
        with Load(system, stream.one_for_each()) as first:
            pass
        balance(system, stream, first, tally=tally)
        asked = "4" if form == "seconds" else formatdate(time.time() + 5, usegmt=True)
        system.behave(mode=status, retry_after=asked, times=1)
        with Load(system, stream.bodies(300), rate=60) as load:
            pass
        calls = balance(system, stream, first, load, tally=tally)
    refused = next(call for call in calls if call["status"] == int(status))
    early = [
        call["start"] - refused["end"]
        for call in calls
        if 1.0 < call["start"] - refused["end"] < 3.5
    ]
    tally.note("calls before the time that the CRM named", n=len(early))
    assert early == []


def test_a_delete_of_a_record_never_seen_costs_one_call_and_is_no_error(
    brisk: Brisk, tally: Tally
) -> None:
    stream = Stream(5)
    with brisk() as system:
        with Load(system, [stream.delete(record) for record in stream.records], rate=50) as load:
            pass
        assert system.wait_until_settled(5) == {"done": 5}
        with Load(system, stream.one_for_each(), rate=50) as late:
            pass
        assert system.wait_until_settled(10) == {"done": 10}
        calls = balance(system, stream, load, late, tally=tally)
        assert len(calls) <= 5
        assert system.rows("tickets") == {}
        assert system.cli("dead")["dead"] == []


def test_a_burst_after_an_outage_costs_one_call_for_each_record(brisk: Brisk, tally: Tally) -> None:
    """Level-triggered: what a record was told during an outage is merged, and goes out as one."""
    stream = Stream(10)
    with brisk() as system:
        with Load(system, stream.one_for_each()) as first:
            pass
        balance(system, stream, first, tally=tally)
        system.behave(mode="503")
        with Load(system, stream.bodies(1000), rate=400) as load:
            pass
        wait_for(lambda: "queued" not in system.states(), "all merged", 20, system.states)
        before = len(system.calls())
        system.behave()
        calls = balance(system, stream, first, load, tally=tally)
        writes = [call for call in calls if call["number"] > before and call["record"]]
        tally.note("after the outage", events=1000, writes=len(writes))
        assert len(writes) <= 12
