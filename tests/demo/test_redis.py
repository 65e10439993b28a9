"""A real server each time: what chaos tests rely on must itself hold."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from connector.demo import ports
from connector.demo.ports import free_port
from connector.demo.redis import EmbeddedRedis, NoRedis, find_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "a folder") as started:
        yield started


def client(server: EmbeddedRedis, timeout: float = 2.0) -> redis.Redis:
    return redis.Redis.from_url(
        server.url, socket_timeout=timeout, retry=Retry(NoBackoff(), 0), decode_responses=True
    )


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return b") Z" not in Path(f"/proc/{pid}/stat").read_bytes()
    except (ProcessLookupError, FileNotFoundError):
        return False


def wait_until_gone(pid: int, seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while is_alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_server_is_durable_never_evicts_and_listens_on_the_loopback(server: EmbeddedRedis) -> None:
    settings = client(server).config_get("*")
    assert settings["appendonly"] == "yes"
    assert settings["appendfsync"] == "everysec"
    assert settings["save"] == ""
    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["bind"] == "127.0.0.1"
    assert settings["unixsocket"] == ""
    assert settings["dir"] == str(server.folder)


def test_full_server_refuses_to_write_and_goes_on_reading(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path, maxmemory="100kb") as server:
        assert client(server).config_get("maxmemory") == {"maxmemory": "102400"}
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            client(server).set("key", "value")
        assert client(server).get("key") is None


def test_restart_keeps_port_and_data(server: EmbeddedRedis) -> None:
    url, pid = server.url, server.pid
    client(server).set("kept", "yes")
    server.restart()
    assert (server.url, client(server).get("kept")) == (url, "yes")
    assert server.pid != pid


def test_acknowledged_write_survives_kill_9(server: EmbeddedRedis) -> None:
    client(server).config_set("appendfsync", "always")  # else a busy disk may keep it waiting
    for number in range(100):
        client(server).set(f"key{number}", number)
    server.kill9()
    assert server.pid is None
    with pytest.raises(redis.exceptions.ConnectionError):
        client(server).ping()
    server.start()
    assert client(server).dbsize() == 100


def test_paused_server_answers_nothing_until_resumed(server: EmbeddedRedis) -> None:
    patient, hasty = client(server), client(server, timeout=1)
    hasty.ping()
    server.pause()
    with pytest.raises(redis.exceptions.TimeoutError):
        hasty.ping()
    threading.Timer(0.1, server.resume).start()
    assert patient.ping()


def test_paused_server_can_be_stopped_and_killed(server: EmbeddedRedis) -> None:
    server.pause()
    server.stop()
    assert server.pid is None
    server.start()
    server.pause()
    server.kill9()
    assert server.pid is None


def test_stop_and_start_may_be_repeated(server: EmbeddedRedis) -> None:
    pid = server.pid
    server.start()
    assert server.pid == pid
    server.stop()
    server.stop()
    server.kill9()
    with pytest.raises(NoRedis, match="does not run"):
        server.pause()


def test_url_before_the_first_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NoRedis, match="not been started"):
        _ = EmbeddedRedis(tmp_path).url


def test_second_server_on_the_same_folder_is_refused(
    server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connector.demo.redis._LOCK_SECONDS", 0.05)
    with pytest.raises(NoRedis, match="another Redis uses the folder"):
        EmbeddedRedis(server.folder).start()
    assert client(server).ping()


def test_foreign_server_on_the_port_is_not_taken_for_ours(
    server: EmbeddedRedis, tmp_path: Path
) -> None:
    with pytest.raises(NoRedis, match=r"ended at once.*Address already in use"):
        EmbeddedRedis(tmp_path / "other", port=server.port).start()


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), signal.SIGKILL)", "sys.exit()"])
def test_server_ends_with_its_process_however_that_ends(tmp_path: Path, end: str) -> None:
    script = (
        "import os, pathlib, signal, sys\n"
        "from connector.demo.redis import EmbeddedRedis\n"
        "server = EmbeddedRedis(pathlib.Path(sys.argv[1])); server.start()\n"
        "print(server.pid, server.port, flush=True)\n"
        f"{end}\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False
    )
    pid, port = map(int, ran.stdout.split())
    assert wait_until_gone(pid)
    with EmbeddedRedis(tmp_path, port=port) as again:
        assert client(again).ping()


def test_server_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path)
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    try:
        time.sleep(0.05)
        assert client(server).ping()
    finally:
        server.stop()


def test_interrupt_of_the_process_group_leaves_the_server_alone(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, signal, sys, time\n"
        "from connector.demo.redis import EmbeddedRedis\n"
        "with EmbeddedRedis(pathlib.Path(sys.argv[1])) as server:\n"
        "    try:\n"
        "        print('up', flush=True); time.sleep(30)\n"
        "    except KeyboardInterrupt:\n"
        "        time.sleep(0.1); print('alive' if server.pid else 'dead')\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=10)[0] == "alive\n"


def test_missing_server_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NoRedis, match=r"pip install '\.\[demo\]'"):
        EmbeddedRedis(tmp_path).start()


def test_too_old_server_on_the_path_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=5.0.14 sha=0:0 malloc=libc bits=64 build=0'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_server() != old
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NoRedis, match=r"redis-server \(5\.0\)"):
        find_server()


def test_machine_server_comes_before_the_bundled_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = tmp_path / "redis-server"
    machine.symlink_to(shutil.which("redis-server") or find_server())
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_server() == machine


def test_server_that_cannot_start_gives_its_reason(tmp_path: Path) -> None:
    with pytest.raises(NoRedis, match="maxmemory"):
        EmbeddedRedis(tmp_path, maxmemory="plenty").start()


def test_free_port_is_free_and_outside_the_range_of_outgoing_connections() -> None:
    outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in (free_port() for _ in range(20)):
        assert 1024 < port < outgoing
        with socket.socket() as taken:
            # As servers do, for whom a connection that has just ended there is none
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", port))
            taken.listen()


def test_fixture_gives_an_empty_redis(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as first:
        assert first.dbsize() == 0
        first.set("left", "behind")


def test_fixture_gives_an_empty_redis_again(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as second:
        assert second.dbsize() == 0


def test_processes_with_a_share_each_never_choose_the_same_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = []
    for index in range(3):
        monkeypatch.setattr(ports, "share", (index, 3))
        chosen.append({free_port() for _ in range(40)})
        assert {port % 3 for port in chosen[-1]} == {index}
    assert not chosen[0] & chosen[1]
