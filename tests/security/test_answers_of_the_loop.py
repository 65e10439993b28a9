"""What is answered within a moment is answered by the loop; nothing else may make it wait."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from system import wait_for

# The loop's own thread is the main one. After a first answer that takes more than a moment, four
# requests must meet: that takes four threads.
SERVER = """
import sys, threading, time
from flask import Flask
from connector import serving

def make_app():
    app = Flask("slow")
    meeting = threading.Barrier(4, timeout=20)
    @app.post("/webhooks/meet")
    def meet():
        meeting.wait()
        return "met"
    @app.post("/webhooks/<name>")
    def answer(name):
        if name == "long":
            time.sleep(0.2)
        here = threading.current_thread() is threading.main_thread()
        return "loop" if here else "thread"
    @app.post("/webhooks/fails/<when>")
    def fails(when):
        def pieces():
            if when == "first":
                raise RuntimeError("a fault of ours")
            yield "begun"
            raise RuntimeError("a fault of ours")
        if when == "called":
            raise RuntimeError("a fault of ours")
        return app.response_class(pieces())
    @app.post("/other")
    def other():
        return answer("other")
    return app

serving.serve(
    make_app, "127.0.0.1", int(sys.argv[1]), threads=4, settings={}, momentary=("POST /webhooks/",)
)
"""


@pytest.fixture
def base(free_port: int) -> Iterator[str]:
    url = f"http://127.0.0.1:{free_port}"
    with subprocess.Popen([sys.executable, "-c", SERVER, str(free_port)]) as process:
        try:
            wait_for(lambda: _answers(f"{url}/other"), "the server")
            yield url
        finally:
            process.terminate()


def _answers(url: str) -> bool:
    try:
        return requests.post(url, timeout=1).ok
    except requests.RequestException:
        return False


def post(url: str, body: bytes = b"") -> str:
    return requests.post(url, data=body, timeout=30).text


def test_the_loop_answers_what_takes_a_moment_and_threads_the_rest(base: str) -> None:
    wait_for(lambda: post(f"{base}/webhooks/quick") == "loop", "an answer of the loop")
    assert post(f"{base}/other") == "thread"
    assert post(f"{base}/webhooks/quick", b"x" * 100_000) == "thread"


def test_after_a_long_answer_the_threads_do_for_a_while(base: str) -> None:
    wait_for(lambda: post(f"{base}/webhooks/long") == "loop", "an answer of the loop")
    with ThreadPoolExecutor(4) as clients:
        assert set(clients.map(post, [f"{base}/webhooks/meet"] * 4)) == {"met"}
    wait_for(lambda: post(f"{base}/webhooks/quick") == "loop", "the loop to answer again")


@pytest.mark.parametrize("when", ["called", "first", "later"])
def test_a_fault_in_one_answer_is_500_and_no_matter_of_the_others(base: str, when: str) -> None:
    """Nothing of an answer has left before all of it is there."""
    wait_for(lambda: post(f"{base}/webhooks/quick") == "loop", "an answer of the loop")
    with ThreadPoolExecutor(8) as clients:
        failing = clients.submit(requests.post, f"{base}/webhooks/fails/{when}", timeout=30)
        others = list(clients.map(post, [f"{base}/webhooks/quick"] * 7))
    assert failing.result().status_code == 500
    assert "begun" not in failing.result().text
    assert set(others) <= {"loop", "thread"}


def test_requests_sent_all_at_once_are_all_answered(base: str) -> None:
    host, port = base.removeprefix("http://").split(":")
    one = b"POST /webhooks/quick HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=30) as client:
        client.sendall(one * 600)
        heard = b""
        while heard.count(b"HTTP/1.1 200") < 600 or not heard.endswith((b"loop", b"thread")):
            said = client.recv(1 << 16)
            assert said, f"closed after {heard.count(b'HTTP/1.1 200')} answers"
            heard += said
