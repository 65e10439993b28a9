"""The spool on a real disk."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from connector.model import Event
from connector.spool import Spool, SpoolFull


def event(number: int, body: bytes = b"{}") -> Event:
    return Event("caresoft", "caresoft", f"e{number}", "ticket.update", body, number)


def test_events_come_out_in_order_with_their_time_of_receipt(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "deep" / "spool.sqlite")
    events = [event(n) for n in range(250)]
    for start in range(0, 250, 7):
        spool.put(events[start : start + 7])
    moved: list[Event] = []
    while spool.drain(moved.extend):
        continue
    assert moved == events
    assert len(spool) == 0


def test_what_cannot_be_stored_stays(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite")
    spool.put([event(1)])

    def refuse(events: Sequence[Event]) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        spool.drain(refuse)
    assert len(spool) == 1


def test_a_full_spool_takes_nothing_and_loses_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite", most_bytes=100_000)
    large = event(1, b"x" * 10_000)
    for _ in range(5):
        spool.put([large])
    with pytest.raises(SpoolFull):
        spool.put([large] * 10)
    assert len(spool) == 5
    while spool.drain(len):
        continue
    spool.put([large] * 5)


def test_what_was_put_survives_a_kill(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from connector.model import Event;"
        "from connector.spool import Spool;"
        "Spool(Path(sys.argv[1])).put([Event('s', 'caresoft', 'e1', None, b'{}', 1, 'odd')]);"
        "os.kill(os.getpid(), 9)"
    )
    file = tmp_path / "spool.sqlite"
    killed = subprocess.run([sys.executable, "-c", code, str(file)], check=False)
    assert killed.returncode == -9
    moved: list[Event] = []
    Spool(file).drain(moved.extend)
    assert moved == [Event("s", "caresoft", "e1", None, b"{}", 1, "odd")]
