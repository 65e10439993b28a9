"""`dataclass` for values that are made many times for an event: frozen to whoever reads the code.

A dataclass that Python itself freezes sets each field through `object.__setattr__`; making one
takes four times as long (measured with CPython 3.11: 0.70 against 0.19 us with four fields), and
some forty are made for an event. So mypy alone keeps these as they were made: to it `frozen=True`
is what it always is, and an assignment to a field is an error of `make test`.

Invariant: nothing here changes what a value is: equality, hash, fields and slots are the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(*, frozen: bool = False, **more: bool) -> Callable[[type], Any]:
        """As `dataclasses.dataclass`; what is `frozen` is not guarded at run time."""
        return dataclasses.dataclass(unsafe_hash=frozen, **more)


__all__ = ["dataclass"]
