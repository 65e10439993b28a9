"""Libraries loaded without what they would load besides, and nobody here asks for.

Some look for others that they can do without, and take megabytes of every process where those are
installed, by whomever. In here they find none, as on a machine where nobody has installed it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(*names: str) -> Iterator[None]:
    """What is loaded in here finds no modules of these names; whoever asks later gets them."""
    hidden = {name: sys.modules.get(name) for name in names}
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]  # None: not to be found
    try:
        yield
    finally:
        for name, module in hidden.items():
            del sys.modules[name]
            if module is not None:
                sys.modules[name] = module
