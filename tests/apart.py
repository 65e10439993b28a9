"""In a thread of its own: where a browser was, its loop holds the thread that the tests run in."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def apart(function: Callable[[], T]) -> T:
    """What `function` returns or raises."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()
