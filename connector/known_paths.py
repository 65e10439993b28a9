"""Flask, knowing at once what is done at the few addresses that nearly everything comes to.

To take an address apart and to look for it among all routes was a fifteenth of what a webhook cost.

Invariant: what is found for an address is what Flask has found for it. The header `Host` has no say
in that, as long as nobody sets `TRUSTED_HOSTS` or routes by hosts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from flask import Flask
from werkzeug.exceptions import HTTPException

if TYPE_CHECKING:
    from flask import Request
    from werkzeug.routing import MapAdapter


class Application(Flask):
    """Remembers what it has found for each of the `known` paths."""

    def __init__(self, *args: Any, known: Iterable[str] = (), **more: Any) -> None:
        super().__init__(*args, **more)
        self._known = frozenset(known)
        self._found: dict[tuple[str, str], tuple[Any, Any]] = {}

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        if request is None:
            return super().create_url_adapter(None)
        path = request.environ.get("PATH_INFO", "")
        if path not in self._known or self.config["TRUSTED_HOSTS"] is not None:
            return super().create_url_adapter(request)
        address = request.environ["REQUEST_METHOD"], path
        usual = partial(super().create_url_adapter, request)
        if (found := self._found.get(address)) is not None:
            return cast("MapAdapter", _Known(usual, *found))
        adapter = usual()
        if adapter is not None:
            try:
                self._found[address] = adapter.match(return_rule=True)
            except HTTPException:  # not there, or not by this method: Flask will say so
                return adapter
        return adapter


class _Known:
    """What Flask asks for the route of a request, which is known; all else it asks `usual`."""

    __slots__ = ("_arguments", "_rule", "_usual")

    def __init__(self, usual: Callable[[], Any], rule: Any, arguments: Any) -> None:
        self._usual, self._rule, self._arguments = usual, rule, arguments

    def match(self, *args: Any, **more: Any) -> Any:
        """The rule, and the arguments of its function."""
        if args or more != {"return_rule": True}:
            return self._usual().match(*args, **more)
        return self._rule, dict(self._arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._usual(), name)
