"""The plain receiver: verify, enqueue, answer. `gunicorn bench.plain.receiver:app`."""

from __future__ import annotations

import hashlib
import hmac
import os

from flask import Flask, abort, request
from redis import Redis
from rq import Queue

from bench.plain.job import deliver

app = Flask(__name__)
queue = Queue(connection=Redis.from_url(os.environ["REDIS_URL"]))
secret = os.environ["CARESOFT_SECRET"].encode()


@app.post("/webhooks/caresoft")
def receive() -> dict[str, int]:
    """One event."""
    body = request.get_data()
    expected = "sha1=" + hmac.new(secret, body, hashlib.sha1).hexdigest()
    if not hmac.compare_digest(expected, request.headers.get("X-Hub-Signature", "")):
        abort(401)
    queue.enqueue(deliver, body)
    return {"accepted": 1}
