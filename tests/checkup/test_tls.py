"""The certificate of a CRM: whose it is, until when, and what is said where it is not believed."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from checkup.conftest import TARGET, Checked, Desk, Odd
from targets.certificates import authority, paper


def check(desk: Desk, odd: Odd, more: str, *, days: int = 90) -> Checked:
    signer = authority("Own Authority")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(paper(signer, days=days).write(desk.folder / "crm.pem"))
    odd.socket = context.wrap_socket(odd.socket, server_side=True)
    signer.write(Path("ca.pem"), key=False)
    desk.configure(odd.url.replace("http://127.0.0.1", "https://localhost"), TARGET + more)
    return desk.check()


@pytest.mark.parametrize(("days", "suits"), [(90, True), (3, False)])
def test_a_certificate_that_ends_soon_does_not_suit(
    desk: Desk, odd: Odd, days: int, suits: bool
) -> None:
    checked = check(desk, odd, "tls: {ca: ca.pem}\n", days=days)
    assert checked.suits("tls") is suits
    assert "given by Own Authority" in checked.probes["tls"]["found"]
    assert f"ends in {days - 1} days" in checked.probes["tls"]["found"]


def test_a_certificate_that_nobody_vouches_for_ends_the_run(desk: Desk, odd: Odd) -> None:
    checked = check(desk, odd, "")
    assert checked.code == 2
    assert "certificate" in checked.probes["reachable"]["found"]


def test_a_certificate_that_is_not_verified_is_told(desk: Desk, odd: Odd) -> None:
    checked = check(desk, odd, "tls: {verify: false}\n")
    assert checked.suits("tls") is None
    assert "not verified" in checked.probes["tls"]["found"]
