"""The files of `tls:`: where they are, and what is wrong with them.

They are looked at when the configuration is read, so that a missing file or a key that does not
belong to its certificate is told with its place, and not by the first call. `targets` opens them
again when it connects.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from connector.config.grammar import Issue
from connector.config.model import Tls


def make_tls(folder: Path, said: Mapping[str, Any]) -> Tls:
    """What the keys of `tls:` say; paths are relative to the folder of the configuration."""

    def at(key: str) -> Path | None:
        return folder / said[key] if said.get(key) else None

    password = said.get("key_password") or ""
    return Tls(at("ca"), at("cert"), at("key"), password, said.get("verify") is not False)


def certificate_issues(tls: Tls) -> Iterator[tuple[str, Issue]]:
    """The key of `tls:` that is wrong, and why."""
    missing = False
    for name in ("ca", "cert", "key"):
        file: Path | None = getattr(tls, name)
        if file and (issue := _unreadable(file)):
            missing = True
            yield name, issue
    if missing:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if tls.ca:
        try:
            context.load_verify_locations(tls.ca)
        except ssl.SSLError:
            yield "ca", Issue("the file holds no certificate", "PEM: -----BEGIN CERTIFICATE-----")
    if tls.cert:
        try:
            # A password given by function: OpenSSL would ask for a missing one at the terminal.
            context.load_cert_chain(tls.cert, tls.key, lambda: tls.key_password)
        except ssl.SSLError as error:
            yield "key" if tls.key else "cert", _unfit(tls, tls.key or tls.cert, error)


def _unreadable(file: Path) -> Issue | None:
    try:
        with file.open("rb"):
            return None
    except OSError as error:
        return Issue(f"cannot read {file}: {error.strerror}", "relative to the configuration file")


def _unfit(tls: Tls, file: Path, error: ssl.SSLError) -> Issue:
    """Why a certificate and its key are of no use. OpenSSL names a reason for few of them."""
    if error.reason == "KEY_VALUES_MISMATCH":
        return Issue("the key does not belong to the certificate")
    if b"ENCRYPTED" in file.read_bytes():
        hint = "is key_password right?" if tls.key_password else "give key_password"
        return Issue("the key is encrypted", hint)
    return Issue("no certificate with its private key", "both as PEM, in one file or in two")
