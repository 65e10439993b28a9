"""Libraries loaded without what they would load besides, and nobody here asks for.

Some look for others that they can do without, and take megabytes of every process where those are
installed, by whomever. In here they find none, as on a machine where nobody has installed it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any


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


def put_off(name: str) -> None:
    """Let a package within another be loaded when somebody asks for anything in it, and not because
    the other one mentions it. Packages within this one are there as they always are."""
    package = name.partition(".")[0]
    if package not in sys.modules:
        sys.modules[name] = _PutOff(name)


class _PutOff(ModuleType):
    """Stands for a package until it is loaded."""

    @property
    def __path__(self) -> list[str]:  # type: ignore[override]  # as the import system reads it
        package, _, own = self.__name__.rpartition(".")
        return [f"{folder}/{own}" for folder in sys.modules[package].__path__]

    def __getattr__(self, name: str) -> Any:
        # Those that look at all modules ask for `__file__` and the like; `_own` are modules of its
        # own that modules of its own ask for, and get.
        if name.startswith("_"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            self._load()
        return getattr(sys.modules[self.__name__], name)

    def _load(self) -> None:
        package, _, own = self.__name__.rpartition(".")
        del sys.modules[self.__name__]
        loaded = import_module(self.__name__)
        setattr(sys.modules[package], own, loaded)
        for each, module in vars(self).items():  # what of it was loaded before
            if isinstance(module, ModuleType) and not hasattr(loaded, each):
                setattr(loaded, each, module)
