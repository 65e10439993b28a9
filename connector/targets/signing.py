"""HMAC signatures of calls (RFC 2104): what is signed, and where the signature goes.

Pure but for the clock and the nonce, which are new with every try, so that a repeat is not taken
for a replayed call. What is signed is the call as it goes to the wire; the secret signs and is
never sent. What is added to the address (`query:`) is not part of what is signed.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import formatdate
from hashlib import new as new_hash
from urllib.parse import urlsplit

from connector.config.model import Hmac
from connector.targets.calls import Outgoing
from connector.targets.template import encode_pairs

Sign = Callable[[Outgoing], tuple[dict[str, str], str]]
"""Headers and a query to be added to a call."""

_WORD = re.compile("{(method|path|query|url|host|body|body_hash|timestamp|nonce|key|signature)}")

_SECRETS: Mapping[str, Callable[[str], bytes]] = {
    "text": str.encode,
    "hex": bytes.fromhex,
    "base64": base64.b64decode,
}
_ENCODINGS: Mapping[str, Callable[[bytes], str]] = {
    "hex": bytes.hex,
    "base64": lambda digest: base64.b64encode(digest).decode(),
}
_TIMES: Mapping[str, Callable[[float], str]] = {
    "seconds": lambda now: str(int(now)),
    "milliseconds": lambda now: str(int(now * 1000)),
    "iso": lambda now: datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    "http": lambda now: formatdate(now, usegmt=True),
}


def signer(auth: Hmac) -> Sign:
    """Signs as a target's `auth:` says."""
    secret = _SECRETS[auth.secret_is](auth.secret)
    encode = _ENCODINGS[auth.encoding]

    def sign(outgoing: Outgoing) -> tuple[dict[str, str], str]:
        body = outgoing.body or b""
        url = urlsplit(outgoing.base + outgoing.path)
        known = {
            "method": outgoing.method,
            "path": url.path or "/",
            "query": url.query,
            "url": url.geturl(),
            "host": url.netloc,
            "body_hash": encode(new_hash(auth.algorithm, body).digest()),
            "timestamp": _TIMES[auth.timestamp](time.time()),
            "nonce": secrets.token_hex(16),
            "key": auth.key,
        }
        signed = _filled(auth.sign, {word: text.encode() for word, text in known.items()}, body)
        known["signature"] = encode(hmac.digest(secret, signed, auth.algorithm))

        def said(template: str) -> str:
            texts = {word: text.encode() for word, text in known.items()}
            return _filled(template, texts, body).decode("utf-8", "replace")

        headers = {name: said(template) for name, template in auth.headers.items()}
        if auth.header:
            headers[auth.header] = said(auth.value)
        return headers, encode_pairs((name, said(text)) for name, text in auth.query.items())

    return sign


def _filled(template: str, known: Mapping[str, bytes], body: bytes) -> bytes:
    """A template with its words filled in; the body as the bytes that are sent."""
    pieces = _WORD.split(template)
    words = {**known, "body": body}
    return b"".join(
        words[piece] if odd else piece.encode()
        for odd, piece in zip([0, 1] * len(pieces), pieces, strict=False)
    )
