"""Starting: with Redis away, with a wrong configuration, and stopping in good order."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import requests
from system import System, ticket, wait_for

from connector.records.layout import Parts, put_together

T0 = 1_700_000_000_000


@pytest.fixture
def cold(tmp_path: Path) -> Iterator[System]:
    """A system whose configuration stands and of which nothing runs but the CRM."""
    system = System(tmp_path)
    system.redis.start()
    system.write_config()
    system.redis.stop()
    system.start_crm()
    yield system
    for name in list(system.processes):
        system.kill9(name)
    system.redis.stop()


def connector(system: System, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    known = {**os.environ, "CONNECTOR_CONFIG": str(system.folder / "config.yaml"), **environ}
    return subprocess.run(
        [sys.executable, "-m", "connector", *arguments],
        env=known,
        capture_output=True,
        text=True,
        check=False,
        cwd=system.folder,
        timeout=30,
    )


def test_web_and_worker_wait_for_redis_and_go_on_when_it_is_there(cold: System) -> None:
    cold.start_web()
    cold.start_worker()
    wait_for(lambda: "Redis is away" in cold.log("worker"), "the worker says so")
    urgency = [
        os.getpriority(os.PRIO_PROCESS, cold.processes[name][0].pid) for name in ("web", "worker")
    ]
    assert urgency[0] < urgency[1], "a backlog that drains makes senders wait"
    assert cold.send("caresoft", ticket(1, T0)).json() == {"accepted": 1, "duplicates": 0}
    assert requests.get(f"{cold.web_url}/readyz", timeout=5).status_code == 503
    cold.redis.start()
    assert cold.wait_until_settled(1) == {"done": 1}
    wait_for(lambda: requests.get(f"{cold.web_url}/readyz", timeout=5).status_code == 200, "ready")


def test_config_check_says_what_cannot_be_reached(cold: System) -> None:
    done = connector(cold, "config", "check")
    assert done.returncode == 1
    assert "Redis cannot be reached" in done.stderr
    cold.redis.start()
    fine = connector(cold, "config", "check")
    assert fine.returncode == 0, fine.stderr
    (warning,) = fine.stderr.splitlines()
    assert "are replaced as a whole, without `read:`" in warning
    client = redis.Redis.from_url(cold.redis.url)
    client.set("c:m:crm:tickets:1", "00000001[[],{},-1]")
    client.zadd("c:dirty:crm", {"tickets:1": 1})
    old = connector(cold, "config", "check")
    assert old.returncode == 1
    assert "as an earlier version wrote them" in old.stderr
    client.flushdb()
    cold.kill9("crm")
    away = cold.cli("config", "check", check=1)
    assert any("crm" in error["message"] for error in away["errors"])


def test_a_redis_that_cannot_be_worked_on_is_one_clear_line(cold: System) -> None:
    cold.redis.start()
    client = redis.Redis.from_url(cold.redis.url)
    torn = Parts(1, 0, b"j" + b"no shape" + b"[[],[]]", b"")
    client.set("c:r:crm:tickets:1", put_together(torn))
    client.config_set("maxmemory", "100mb")
    client.config_set("maxmemory-policy", "allkeys-lru")
    told = {
        ("worker", "--burst"): "this Redis drops keys when it is full",
        ("record", "tickets", "1"): "the names of the fields of tickets 1 in crm are gone",
    }
    for arguments, why in told.items():
        done = connector(cold, *arguments)
        assert done.returncode == 2
        assert why in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("verb", ["web", "worker", "events", "status"])
def test_a_missing_variable_or_an_unknown_key_is_one_clear_line(cold: System, verb: str) -> None:
    config = cold.folder / "config.yaml"
    text = config.read_text()
    config.write_text(text.replace("[CS123]", '["${NO_SUCH_SECRET}"]'))
    missing = connector(cold, verb)
    assert missing.returncode == 2
    assert "NO_SUCH_SECRET" in missing.stderr
    assert len(missing.stderr.strip().splitlines()) == 1
    config.write_text(text.replace("timezone", "timezon") + "    tiemout: 3\n")
    unknown = connector(cold, verb)
    assert unknown.returncode == 2
    assert "did you mean 'timeout'" in unknown.stderr
    assert "Traceback" not in missing.stderr + unknown.stderr


def test_a_broken_mappings_folder_stops_a_worker_that_has_no_set(tmp_path: Path) -> None:
    mappings = tmp_path / "mappings"
    mappings.mkdir()
    (mappings / "a.yaml").write_text("source: caresoft\nevents: [ticket.update]\nrecord: []\n")
    system = System(tmp_path, mappings=mappings)
    system.redis.start()
    system.write_config()
    try:
        done = connector(system, "worker", "--burst")
        assert done.returncode == 2
        assert "a.yaml:3:1" in done.stderr
    finally:
        system.redis.stop()


def test_sigterm_ends_web_and_worker_in_good_order(cold: System) -> None:
    cold.redis.start()
    cold.start_web()
    cold.start_worker()
    cold.behave(mode="ok", latency=1.0)
    for number in range(1, 6):
        cold.send("caresoft", ticket(number, T0))
    wait_for(lambda: cold.crm("_calls")["calls"], "calls under way")
    assert cold.stop("worker") == 0
    assert cold.stop("web") == 0
    assert set(cold.rows("tickets")) == {"1", "2", "3", "4", "5"}
    assert cold.states() == {"done": 5}


def test_the_signature_is_printed_as_the_vendor_would_send_it(cold: System, tmp_path: Path) -> None:
    body = tmp_path / "body.json"
    body.write_bytes(b'{"ticket_id":1}')
    done = connector(cold, "sign", "caresoft", str(body))
    assert done.stdout == "X-Hub-Signature: 420A69CE7D3C36559E9828D6361530DF30065D37\n"


def test_send_posts_signed_bodies(cold: System, tmp_path: Path) -> None:
    cold.redis.start()
    cold.start_web()
    body = tmp_path / "body.json"
    body.write_text('{"object": "ticket", "action": "delete", "ticket": {"ticket_id": 5}}')
    sent = cold.cli("send", "caresoft", str(body), str(body), "--url", cold.web_url)["sent"]
    assert [row["answer"]["accepted"] for row in sent] == [1, 0]
    refused = connector(cold, "send", "caresoft", str(body), "--url", "http://127.0.0.1:1")
    assert refused.returncode == 2
