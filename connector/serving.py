"""gunicorn as a library: one process with threads, settings from the code, no file of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.config import Config
from gunicorn.glogging import Logger

from connector.gathering import PatientWorker


def serve(
    make_app: Callable[[], Flask],
    host: str,
    port: int,
    *,
    threads: int,
    settings: Mapping[str, object],
    most_body: int = 1 << 20,
    momentary: tuple[str, ...] = (),
) -> None:
    """Answer on host and port until a signal ends the process. `settings` are gunicorn's names;
    `most_body` is the size in bytes of the largest body that the application takes, `momentary`
    how requests begin that it answers within a moment."""
    inside = {"most_body": most_body, "momentary": tuple(map(str.encode, momentary))}
    common = {
        "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "workers": 1,
        "threads": threads,
        "worker_class": type("Worker", (PatientWorker,), inside),
        "keepalive": 75,
        "accesslog": None,
        "logger_class": _Log,
        # gunicorn's control socket would be made under the home directory
        "control_socket_disable": True,
    }
    _Server(make_app, {**common, **settings}).run()


class _Log(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's words go where all others go (`connector.logs`), in the same form."""

    def setup(self, cfg: Config) -> None:
        self.loglevel = logging.INFO
        self.error_log.setLevel(self.loglevel)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    def __init__(self, make_app: Callable[[], Flask], settings: Mapping[str, object]) -> None:
        self._make_app = make_app
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._settings.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return self._make_app()
