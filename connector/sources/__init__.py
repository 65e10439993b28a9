"""Where events come from: the only room that knows a vendor.

`base` says what a source is and guards the one way to a `Verified` request; `jsontext` reads bytes;
`caresoft` and `mobio` verify, parse, sign and make the event documents; `catalogue` lists
what their documentation says a document holds. No Flask, no Redis, no mapping here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from connector.sources import caresoft, mobio
from connector.sources.base import Source, Vendor, Verified

if TYPE_CHECKING:
    from connector.config import SourceConfig

__all__ = ["VENDORS", "Source", "Vendor", "Verified", "open_source"]

VENDORS: Mapping[str, Vendor] = MappingProxyType(
    {vendor.kind: vendor for vendor in (caresoft.VENDOR, mobio.VENDOR)}
)
"""Per kind of source, what its vendor documents."""

_OPEN: Mapping[str, Callable[[Any], Source]] = {
    caresoft.VENDOR.kind: caresoft.open_caresoft,
    mobio.VENDOR.kind: mobio.open_mobio,
}


def open_source(config: SourceConfig) -> Source:
    """The source that one entry under `sources:` of config.yaml describes."""
    return _OPEN[config.kind](config)
