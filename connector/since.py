"""`--since` on the command line: a length of time back from now, or a moment."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any

import click

from connector.model import Micros

_BACK = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class Since(click.ParamType[Micros]):
    """`30s`, `15m`, `2h`, `7d`, `1w`, or an ISO time (UTC unless it says otherwise) → µs."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Micros:
        """Microseconds since the epoch. Fails with what would have been right."""
        if isinstance(value, int):
            return value
        if match := _BACK.fullmatch(value.strip()):
            return int((time.time() - float(match[1]) * _SECONDS[match[2]]) * 1e6)
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is neither like 15m, 2h, 7d nor an ISO time", param, ctx)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return int(moment.timestamp() * 1e6)
