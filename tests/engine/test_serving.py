"""What gunicorn is told counts, however it looks it up."""

from __future__ import annotations

from flask import Flask
from gunicorn.config import Config

from connector.serving import _Server


def test_settled_settings_are_those_that_gunicorn_would_find() -> None:
    told = {"bind": "127.0.0.1:1", "threads": 3, "keepalive": 75, "limit_request_line": 4094}
    usual = Config()
    for name, value in told.items():
        usual.set(name, value)
    cfg = _Server(lambda: Flask("any"), told).cfg
    for name in usual.settings:
        found, expected = getattr(cfg, name), getattr(usual, name)
        # Each look at a setting that is a function makes a new one.
        assert found == expected or (callable(found) and callable(expected)), name
    assert (cfg.threads, cfg.limit_request_line) == (3, 4094)
