"""gunicorn as a library: one process with one loop and some threads, settings from the code.

gunicorn's own way is a parent that forks such processes, watches them and starts them anew. Here
there is one, and whoever started it starts it anew (a platform, systemd, Docker), so a parent would
only be a second copy of everything in memory. What it also does is left to `_Watch`: a process
whose loop stands still ends.

Invariant: the process ends by SIGTERM or SIGINT, after what it has begun to answer; or, when its
loop has stood still for `STILL_SECONDS`, with exit code 1.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping

from flask import Flask
from gunicorn import sock
from gunicorn.app.base import BaseApplication
from gunicorn.config import Config
from gunicorn.glogging import Logger

from connector.gathering import PatientWorker

log = logging.getLogger(__name__)

STILL_SECONDS = 30.0
"""The loop turns at least once a second."""

LEAVE_WITHIN = 5.0
"""Seconds for threads that still answer when the loop has ended; it has waited for them before."""


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
    common = {
        "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "threads": threads,
        "keepalive": 75,
        "accesslog": None,
        "logger_class": _Log,
    }
    server = _Server(make_app, {**common, **settings})
    cfg = server.cfg
    words = cfg.logger_class(cfg)
    listeners = sock.create_sockets(cfg, words)
    worker = PatientWorker(1, os.getppid(), listeners, server, cfg.timeout, cfg, words)
    worker.most_body, worker.momentary = most_body, tuple(map(str.encode, momentary))
    log.info("listening at %s", ", ".join(map(str, listeners)))
    cfg.when_ready(server)
    threading.Thread(target=_Watch(worker).look, name="watch", daemon=True).start()
    try:
        worker.init_process()
    finally:
        # What a thread still waits for must not keep the process.
        leaving = threading.Timer(LEAVE_WITHIN, os._exit, (0,))
        leaving.daemon = True
        leaving.start()


class _Watch:
    """Ends the process when its loop stands still. Counts its own looks, not the time, for a
    process that was stopped or a machine that slept has done no wrong."""

    LOOKS = 6

    def __init__(self, worker: PatientWorker) -> None:
        self._worker = worker

    def look(self) -> None:
        """For a thread."""
        pause, still, seen = threading.Event(), 0, -1
        while still < self.LOOKS:
            pause.wait(STILL_SECONDS / self.LOOKS)
            still = still + 1 if self._worker.turns == seen else 0
            seen = self._worker.turns
        log.critical("the loop has stood still for %.0f s; this process ends", STILL_SECONDS)
        faulthandler.dump_traceback(sys.stderr)
        os._exit(1)


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
        # Nothing is set from here on. Else each look at a setting, a dozen for a request, goes
        # through `__getattr__`: that was a twentieth of what a webhook cost.
        self.cfg.__dict__.update({name: one.get() for name, one in self.cfg.settings.items()})

    def load(self) -> Flask:
        return self._make_app()
