"""A web process whose loop stands still ends, so that whoever looks after it starts it anew."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress

import requests

# The loop answers this request itself, and never comes back from it.
SERVER = """
import sys, threading
from flask import Flask
from connector import serving

serving.STILL_SECONDS = 1.5

def make_app():
    app = Flask("still")
    @app.post("/webhooks/stuck")
    def stuck():
        threading.Event().wait()
    @app.post("/webhooks/fine")
    def fine():
        return "loop" if threading.current_thread() is threading.main_thread() else "thread"
    return app

serving.serve(
    make_app, "127.0.0.1", int(sys.argv[1]), threads=2, settings={}, momentary=("POST /webhooks/",)
)
"""


def test_a_loop_that_stands_still_ends_the_process_and_says_where(free_port: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(free_port)], stderr=subprocess.PIPE, text=True
    )
    try:
        base, ready = f"http://127.0.0.1:{free_port}/webhooks", False
        while not ready:
            assert process.poll() is None
            with suppress(requests.ConnectionError):
                ready = requests.post(f"{base}/fine", timeout=10).text == "loop"
        with suppress(requests.ConnectionError, requests.Timeout):
            requests.post(f"{base}/stuck", timeout=0.1)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 1
    assert "stood still" in said
    assert "in stuck" in said
