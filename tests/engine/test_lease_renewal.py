"""A lease outlasts every call that is made under it, or the call is not made."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from office import Office

from connector import assemble, journal, reconcile
from connector.reconcile import Reconciler, Work
from connector.redisdb import Redis
from connector.targets.http import Answer, Request, Result

MEMBER = b"tickets:1"


class Clock:
    """Time as the worker sees it: `ahead` seconds have gone by without anybody waiting."""

    def __init__(self, ahead: float = 0.0) -> None:
        self.ahead = ahead

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def time_ns(self) -> int:
        return time.time_ns() + int(self.ahead * 1e9)


class SlowHttp:
    """A CRM that takes all of the time that a call may take, and notes when the lease ended that
    each call was made under. The first call finds nothing, so that there are several."""

    def __init__(self, client: Redis, clock: Clock) -> None:
        self.expiries: list[int] = []
        self._client, self._clock = client, clock

    def send(self, request: Request, timeout: float) -> Result:
        self.expiries.append(int(self._client.hget("c:lease:crm", MEMBER).rsplit(b"|", 1)[1]))
        self._clock.ahead += timeout
        time.sleep(0.05)
        status = 404 if len(self.expiries) == 1 else 200
        return Answer(status, "", {}, b"{}", {}, timeout)


@pytest.fixture
def office(tmp_path: Path, redis_url: str, fake_crm: Any) -> Office:
    return Office(tmp_path, redis_url, fake_crm.url)


def leased(office: Office) -> tuple[Reconciler, Work]:
    """A record that was delivered before and is leased for its next delivery."""
    office.send(1, 1, ticket_subject="a")
    office.work()
    office.send(1, 2, ticket_subject="b")
    reconciler = assemble.reconciler(office.config, office.client)
    entries = journal.load(office.client, [journal.count(office.client)])
    (work,) = reconciler.prepare(reconciler.merge(entries).leases)
    return reconciler, work


def test_the_lease_is_renewed_before_a_call_that_would_outlast_it(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    reconciler, work = leased(office)
    clock = Clock()
    monkeypatch.setattr(reconcile, "time", clock)
    http = SlowHttp(office.client, clock)
    reconciler.deliver(work, http)  # type: ignore[arg-type]
    first, second, *_ = http.expiries
    assert second >= first + 50


def test_no_call_is_made_under_a_lease_that_is_lost(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    reconciler, work = leased(office)
    clock = Clock(ahead=60.0)
    monkeypatch.setattr(reconcile, "time", clock)
    office.client.hset("c:lease:crm", MEMBER, "somebody|9999999999999")
    nobody = SimpleNamespace(send=pytest.fail)
    assert reconciler.deliver(work, nobody).due_in == 0.0  # type: ignore[arg-type]
