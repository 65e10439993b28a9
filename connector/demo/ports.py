"""A free TCP port on the loopback, for a server that is started a moment later.

Ports come from below the range that the kernel gives to outgoing connections: a port inside it
could be taken by any client between the choice and the start, and a client that keeps trying a
dead server inside it can end up connected to itself.
"""

from __future__ import annotations

import random
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"

_LOWEST = 10_240
_OUTGOING_STARTS = 32_768  # Linux' default; the BSDs and macOS start higher
_OUTGOING_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TRIES = 100

share = (0, 1)
"""Which of the ports this process may choose: (i, n) stands for every n-th, from the i-th on.
Processes that start servers side by side, each with a share of its own, never choose the same."""


def free_port() -> int:
    """A port of the loopback that nobody listens on now.

    Another process may still choose the same one: who starts a server on it checks that it is its
    own server that answers. Raises OSError when a hundred ports in a row are taken.
    """
    highest = max(_outgoing_start() - 1, _LOWEST + 1000)
    for _ in range(_TRIES):
        port = random.randint(_LOWEST, highest)  # noqa: S311 - not a secret
        port -= (port - share[0]) % share[1]
        if _is_free(port):
            return port
    raise OSError(f"no free port found between {_LOWEST} and {highest} on {LOOPBACK}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _outgoing_start() -> int:
    try:
        return int(_OUTGOING_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return _OUTGOING_STARTS
