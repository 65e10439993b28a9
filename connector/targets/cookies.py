"""Cookies of an answer to a login (RFC 6265 section 5.2), as far as a client of one API needs them.

Pure. Domain and path are not looked at: what a login sets goes along with the calls of its target,
and with nothing else.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, slots=True)
class Cookie:
    """`ends` in seconds since the epoch; None: it lasts as long as the session."""

    name: str
    value: str = field(repr=False)
    ends: float | None = None


def cookies_in(headers: Iterable[str]) -> list[Cookie]:
    """The cookies that `Set-Cookie` headers set, the last of each name; none that they delete."""
    found: dict[str, Cookie] = {}
    for header in headers:
        pair, *attributes = header.split(";")
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not name:
            continue
        ends = _ends(attributes)
        found.pop(name, None)
        if ends is None or ends > time.time():
            found[name] = Cookie(name, value, ends)
    return list(found.values())


def _ends(attributes: Iterable[str]) -> float | None:
    """`Max-Age` beats `Expires`; None where neither can be read."""
    said = {
        name.strip().lower(): value.strip()
        for name, _, value in (attribute.partition("=") for attribute in attributes)
    }
    age = said.get("max-age", "")
    if re.fullmatch(r"-?\d{1,12}", age):
        return time.time() + int(age)
    try:
        return parsedate_to_datetime(said.get("expires", "")).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
