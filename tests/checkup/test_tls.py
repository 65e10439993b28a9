"""The certificate of a CRM: whose it is, until when, and what is said where it is not believed."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from checkup.conftest import TARGET, Checked, Desk, Odd
from targets.certificates import authority, paper
from targets.test_tls import Proxy


def secure(desk: Desk, odd: Odd, more: str, *, days: int = 90, asks: bool = False) -> None:
    """The odd CRM behind TLS; `asks`: for a client's certificate, too."""
    signer = authority("Own Authority")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(paper(signer, days=days).write(desk.folder / "crm.pem"))
    if asks:
        context.load_verify_locations(signer.write(desk.folder / "signer.pem", key=False))
        context.verify_mode = ssl.CERT_REQUIRED
        paper(signer, "connector").write(desk.folder / "client.pem")
    odd.socket = context.wrap_socket(odd.socket, server_side=True)
    signer.write(Path("ca.pem"), key=False)
    desk.configure(odd.url.replace("http://127.0.0.1", "https://localhost"), TARGET + more)


def check(desk: Desk, odd: Odd, more: str, *, days: int = 90) -> Checked:
    secure(desk, odd, more, days=days)
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


def test_a_crm_that_asks_for_a_certificate_is_checked_with_ours(desk: Desk, odd: Odd) -> None:
    secure(desk, odd, "tls: {ca: ca.pem, cert: client.pem}\n", asks=True)
    checked = desk.check()
    assert (checked.suits("tls"), checked.code) == (True, 0)


def test_a_certificate_is_looked_at_through_a_proxy_too(desk: Desk, odd: Odd) -> None:
    way = Proxy(user="me:pass-1234")
    secure(desk, odd, f"tls: {{ca: ca.pem}}\nproxy: http://me:pass-1234@{way.address}\n")
    checked = desk.check()
    way.socket.close()
    assert "given by Own Authority" in checked.probes["tls"]["found"]
    assert (checked.code, "pass-1234" in str(checked.out)) == (0, False)


IN_THE_WAY = [
    ("", False, "name it: `tls: {ca: …}`"),
    ("tls: {ca: ca.pem}\n", True, "does `tls:` name the `cert` and `key` that it wants?"),
]


@pytest.mark.parametrize(("more", "asks", "told"), IN_THE_WAY, ids=["authority", "certificate"])
def test_config_check_tells_what_stands_in_the_way(
    desk: Desk, odd: Odd, more: str, asks: bool, told: str
) -> None:
    secure(desk, odd, more, asks=asks)
    result = desk.run("config", "check")
    assert (result.exit_code, told in result.output) == (1, True), result.output
