"""What a proxy is told of us. Pure, and light: whatever hides secrets needs it, too."""

from __future__ import annotations

import base64
from urllib.parse import unquote, urlsplit


def proxy_headers(proxy: str) -> dict[str, str]:
    """What a proxy is shown: user and password of its address, if it has any (RFC 7617)."""
    parts = urlsplit(proxy)
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
