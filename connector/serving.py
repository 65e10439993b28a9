"""gunicorn as a library: one process with threads, settings from the code, no file of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flask import Flask
from gunicorn.app.base import BaseApplication


def serve(
    make_app: Callable[[], Flask],
    host: str,
    port: int,
    *,
    threads: int,
    settings: Mapping[str, object],
) -> None:
    """Answer on host and port until a signal ends the process. `settings` are gunicorn's names."""
    common = {
        "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "workers": 1,
        "threads": threads,
        "worker_class": "gthread",
        "keepalive": 75,
        "accesslog": None,
        # gunicorn's control socket would be made under the home directory
        "control_socket_disable": True,
    }
    _Server(make_app, {**common, **settings}).run()


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
