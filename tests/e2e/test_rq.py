"""RQ stays the engine: its own tools tell the truth, its stock worker does the whole way."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rq import Queue
from rq.serializers import JSONSerializer
from system import System, running, ticket, wait_for

from connector.redisdb import connect

T0 = 1_700_000_000_000


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[System]:
    """A system without a worker."""
    with running(tmp_path, workers=0) as system:
        yield system


def rq(system: System, *arguments: str) -> str:
    environ = {**os.environ, "CONNECTOR_CONFIG": str(system.folder / "config.yaml")}
    command = [str(Path(sys.executable).parent / "rq"), *arguments, "--url", system.redis.url]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_a_stock_worker_brings_events_the_whole_way(idle: System) -> None:
    for number in (1, 2, 3):
        idle.send("caresoft", ticket(number, T0))
    wait_for(lambda: connect(idle.redis.url).exists("c:set:current"), "mappings in force")
    rq(idle, "worker", "connector", "--burst", "--serializer", "rq.serializers.JSONSerializer")
    assert idle.states() == {"done": 3}
    assert set(idle.rows("tickets")) == {"1", "2", "3"}
    queue = Queue("connector", connection=connect(idle.redis.url), serializer=JSONSerializer)
    assert (len(queue), queue.failed_job_registry.count) == (0, 0)


def test_what_a_killed_stock_worker_held_is_done_by_ours(idle: System) -> None:
    """Killed with -9 just after it took the job: nobody hears of it any more."""
    idle.send("caresoft", ticket(1, T0))
    client = connect(idle.redis.url)
    wait_for(lambda: client.exists("c:set:current"), "mappings in force")
    job = client.lpop("rq:queue:connector").decode()
    started = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    held = {"status": "started", "worker_name": "stock", "started_at": started}
    client.hset(f"rq:job:{job}", mapping=held)
    client.zadd("rq:wip:connector", {f"{job}:1": time.time() + 180})
    idle.start_worker()
    assert idle.wait_until_settled(1) == {"done": 1}
    assert client.zcard("rq:wip:connector") == 0
    assert not client.exists(f"rq:job:{job}")


def test_jobs_enqueued_by_rq_are_run_by_our_worker_and_strangers_fail_by_name(
    idle: System,
) -> None:
    idle.send("caresoft", ticket(1, T0))
    client = connect(idle.redis.url)
    queue = Queue("connector", connection=client, serializer=JSONSerializer)
    event_id = idle.cli("events")["events"][0]["id"]
    client.delete("rq:queue:connector", *client.keys("rq:job:*"))
    queue.enqueue("connector.jobs.event", "caresoft", event_id)
    stranger = queue.enqueue("os.getpid")
    idle.start_worker()
    assert idle.wait_until_settled(1) == {"done": 1}
    wait_for(lambda: queue.failed_job_registry.get_job_ids() == [stranger.id], "the stranger")
    assert queue.started_job_registry.count == 0
    assert len(queue) == 0


def test_rq_info_tells_the_truth(idle: System) -> None:
    for number in range(1, 6):
        idle.send("caresoft", ticket(number, T0))
    assert "connector" in rq(idle, "info", "--raw")
    assert "queue connector 5" in rq(idle, "info", "--raw", "--only-queues")
    idle.start_worker()
    idle.wait_until_settled(5)
    wait_for(lambda: "worker " in rq(idle, "info", "--raw", "--only-workers"), "our worker")
    assert "queue connector 0" in rq(idle, "info", "--raw", "--only-queues")


def test_a_burst_ends_when_nothing_is_left_to_do(idle: System) -> None:
    for number in range(1, 30):
        idle.send("caresoft", ticket(number, T0))
    process = idle.start("burst", "-m", "connector", "worker", "--burst")
    assert process.wait(timeout=30) == 0
    assert idle.states() == {"done": 29}
