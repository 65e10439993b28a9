"""What the calls of a target go through: `tls:` and `proxy:` as `http` takes them. Pure.

A login may go to another address than the target's own, a public identity provider, say: there
the authorities of `ca:` are trusted besides the public ones, at the target's own address instead of
them. Proxy and client certificate are the same for both.
"""

from __future__ import annotations

from dataclasses import replace

from connector.config.model import TargetConfig
from connector.targets.http import Route


def routes_of(config: TargetConfig) -> tuple[Route, Route]:
    """The route to other addresses, and the route to the target's own."""
    tls = config.tls
    own = Route(
        ca=str(tls.ca) if tls.ca else None,
        public=tls.ca is None,
        cert=str(tls.cert) if tls.cert else None,
        key=str(tls.key) if tls.key else None,
        password=tls.key_password,
        verify=tls.verify,
        proxy=str(config.proxy) if config.proxy else None,
    )
    return replace(own, public=True), own
