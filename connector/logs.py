"""Logs to standard error: one line each; no bodies, no secrets, no personal data in them."""

from __future__ import annotations

import logging

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def start(level: int) -> None:
    """Log at `level` and above; other packages at WARNING."""
    logging.basicConfig(level=logging.WARNING, format=FORMAT)
    logging.getLogger("connector").setLevel(level)
