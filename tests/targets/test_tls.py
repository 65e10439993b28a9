"""Private authorities, client certificates and proxies: what a call goes through."""

from __future__ import annotations

import base64
import contextlib
import select
import socket
import ssl
import threading
from pathlib import Path

import pytest
from system import IN_VAIN, end_listening
from targets.certificates import authority, paper

from connector.config import load
from connector.errors import ConfigInvalid
from connector.targets.http import Failure, Http, Request, Route

OURS = authority("our own authority")
OTHER = authority("somebody else's authority")
SERVER = paper(OURS)
CLIENT = paper(OURS, "the connector")


@pytest.fixture
def tls(crm, tmp_path):
    """tls(client=True): makes the CRM speak TLS and, if asked, ask for a certificate of ours."""

    def speak(server=SERVER, *, client: bool = False):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server.write(tmp_path / "server.pem"))
        if client:
            context.load_verify_locations(OURS.write(tmp_path / "clients.pem", key=False))
            context.verify_mode = ssl.CERT_REQUIRED
        crm.socket = context.wrap_socket(
            crm.socket, server_side=True, do_handshake_on_connect=False
        )
        crm.url = f"https://localhost:{crm.server_address[1]}"
        OURS.write(tmp_path / "ca.pem", key=False)
        OTHER.write(tmp_path / "other.pem", key=False)
        return crm

    return speak


# --- whom we trust


def test_private_authority_is_trusted_where_it_is_named(tls, configure):
    crm = tls()
    bench = configure(target="tls: {ca: ca.pem}")
    assert bench.upsert().meaning == "done"
    assert bench.upsert().meaning == "done"
    assert crm.connections == 1


def test_unknown_authority_waits_and_is_named_in_words(tls, configure):
    crm = tls()
    report = configure().upsert()
    assert (report.meaning, report.unknown, crm.seen) == ("not_now", False, [])
    assert "the certificate is not trusted" in report.reason


def test_named_authority_takes_the_place_of_all_others(tls, configure):
    tls()
    report = configure(target="tls: {ca: other.pem}").upsert()
    assert report.meaning == "not_now"
    assert "the certificate is not trusted: unable to get local issuer" in report.reason


@pytest.mark.parametrize(
    ("server", "words"),
    [(paper(OURS, "crm.example"), "localhost"), (paper(OURS, days=-1), "expired")],
    ids=["of another host", "ended"],
)
def test_certificate_that_does_not_fit_is_told_in_words(tls, configure, server, words):
    tls(server)
    report = configure(target="tls: {ca: ca.pem}").upsert()
    assert report.meaning == "not_now"
    assert words in report.reason


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_verification_is_off_only_where_that_is_said_aloud(tls, configure):
    tls()
    bench = configure(target="tls: {verify: false}")
    assert bench.upsert().meaning == "done"


def test_login_elsewhere_trusts_the_private_authority_as_well(tls, configure):
    crm = tls()
    login = f"{{path: {crm.url.replace('localhost', '127.0.0.1')}/login}}"
    crm.say(200, {"token": "tok-secret-1"})
    report = configure(
        target=f"tls: {{ca: ca.pem}}\nauth: {{type: login, call: {login}, token: token}}"
    ).upsert()
    assert report.meaning == "done"
    assert crm.seen[1].headers["authorization"] == "Bearer tok-secret-1"


# --- what we show


@pytest.mark.parametrize("files", ["cert: both.pem", "cert: cert.pem, key: key.pem"])
def test_certificate_is_shown_where_it_is_asked_for(tls, configure, tmp_path, files):
    tls(client=True)
    CLIENT.write(tmp_path / "both.pem")
    CLIENT.write(tmp_path / "cert.pem", key=False)
    (tmp_path / "key.pem").write_bytes(CLIENT.pem())
    report = configure(target=f"tls: {{ca: ca.pem, {files}}}").upsert()
    assert report.meaning == "done"


def test_encrypted_key_is_read_with_its_password(tls, configure, tmp_path):
    tls(client=True)
    CLIENT.write(tmp_path / "both.pem", password=b"pass-1234")
    target = "tls: {ca: ca.pem, cert: both.pem, key_password: pass-1234}"
    assert configure(target=target).upsert().meaning == "done"


def test_missing_client_certificate_pauses_like_wrong_credentials(tls, configure):
    crm = tls(client=True)
    report = configure(target="tls: {ca: ca.pem}").upsert()
    assert report.meaning in ("credentials", "not_now")  # a reset may overtake the alert
    assert crm.seen == []
    assert report.meaning == "not_now" or not report.unknown


def test_alert_over_our_certificate_was_not_sent(tls, http, tmp_path):
    """Asked with HTTP alone, as often as it takes for the alert to come before the reset."""
    crm = tls(client=True)
    route = Route(ca=str(tmp_path / "ca.pem"), public=False)
    failures = [http.send(Request("GET", crm.url, {}, None, route), 5) for _ in range(20)]
    assert all(isinstance(failure, Failure) for failure in failures)
    told = [failure for failure in failures if failure.kind == "certificate refused"]
    assert told, {failure.text for failure in failures}
    assert not any(failure.sent for failure in told)


# --- deadlines over TLS


def test_deadline_holds_over_tls(tls, configure, stopwatch):
    crm = tls()
    crm.say(200, {"id": 1}, drip=0.3)
    report = configure(target="timeout: 1\ntls: {ca: ca.pem}").upsert()
    assert (report.meaning, report.unknown) == ("not_now", True)
    assert stopwatch() < IN_VAIN


def test_handshake_that_never_ends_was_not_sent(http, stopwatch):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        failure = http.send(Request("GET", f"https://127.0.0.1:{deaf.getsockname()[1]}/", {}), 1.0)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.sent) == ("timed out", False)
    assert stopwatch() < IN_VAIN


# --- what the configuration says of them

WRONG = {
    "{ca: nowhere.pem}": (3, 15, "cannot read"),
    "{ca: empty.pem}": (3, 15, "holds no certificate"),
    "{ca: ca.pem, verify: false}": (3, 31, "verify: false beside ca"),
    "{key: both.pem}": (3, 16, "a key without cert"),
    "{cert: ca.pem}": (3, 17, "no certificate with its private key"),
    "{cert: both.pem, key: other-key.pem}": (3, 32, "does not belong to the certificate"),
    "{cert: locked.pem}": (3, 17, "give key_password"),
    "{cert: locked.pem, key_password: wrong}": (3, 17, "is key_password right?"),
    "{certificate: both.pem}": (3, 11, "unknown key"),
}


@pytest.mark.parametrize("said", WRONG)
def test_unfit_file_is_told_with_its_place(tmp_path, said):
    OURS.write(tmp_path / "ca.pem", key=False)
    CLIENT.write(tmp_path / "both.pem")
    CLIENT.write(tmp_path / "locked.pem", password=b"pass-1234")
    (tmp_path / "other-key.pem").write_bytes(SERVER.pem())
    (tmp_path / "empty.pem").write_text("")
    file = tmp_path / "config.yaml"
    file.write_text(f"targets:\n  t: {{base_url: https://crm,\n    tls: {said}}}\n")
    with pytest.raises(ConfigInvalid) as caught:
        load(file, {})
    (problem,) = caught.value.problems
    line, column, words = WRONG[said]
    assert (problem.place.line, problem.place.column) == (line, column), str(problem)
    assert any(part in str(problem) for part in words.split("|")), str(problem)
    assert "pass-1234" not in str(problem)


def test_config_check_warns_of_verification_that_is_off(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(
        "sources: {caresoft: {kind: caresoft, unsigned: true}}\n"
        "targets:\n  t: {base_url: https://crm, tls: {verify: false}}\n"
    )
    (warning,) = load(file, {}).warnings
    assert (warning.place.line, warning.place.column) == (3, 44)
    assert "whoever stands between" in warning.message


def test_config_check_warns_of_tls_that_encrypts_nothing(tmp_path):
    OURS.write(tmp_path / "ca.pem", key=False)
    file = tmp_path / "config.yaml"
    for said, warned in (("{ca: ca.pem}", True), ("{}", False)):
        file.write_text(
            "sources: {caresoft: {kind: caresoft, unsigned: true}}\n"
            f"targets:\n  t: {{base_url: 'http://crm', tls: {said}}}\n"
        )
        told = [warning.message for warning in load(file, {}).warnings]
        assert told == (["targets.t.tls: tls, but base_url is http: nothing is encrypted"] * warned)


# --- proxies


class Proxy(threading.Thread):
    """A small forward proxy: CONNECT for https, whole addresses for http."""

    def __init__(self, user: str = "", refuse: int = 0) -> None:
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.user, self.refuse = user, refuse
        self.heads: list[str] = []
        self.start()

    def run(self) -> None:
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(65536)
        self.heads.append(head.split(b"\r\n\r\n")[0].decode())
        if refusal := self.refusal(self.heads[-1]):
            client.sendall(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % refusal)
            client.close()
            return
        method, address, _ = self.heads[-1].split("\r\n")[0].split(" ")
        host, _, port = address.removeprefix("http://").partition("/")[0].partition(":")
        server = socket.create_connection((host, int(port)))
        if method == "CONNECT":
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            server.sendall(head.replace(b"http://" + f"{host}:{port}".encode(), b"", 1))
        pass_on(client, server)

    def refusal(self, head: str) -> int:
        wanted = base64.b64encode(self.user.encode()).decode()
        if self.user and f"Proxy-Authorization: Basic {wanted}" not in head:
            return 407
        return self.refuse


def pass_on(one: socket.socket, other: socket.socket) -> None:
    """Bytes both ways until either side is done, or gone."""
    with one, other, contextlib.suppress(ConnectionError):
        while True:
            ready, _, _ = select.select([one, other], [], [], 10)
            for side in ready:
                data = side.recv(65536)
                if not data:
                    return
                (other if side is one else one).sendall(data)


@pytest.fixture
def proxy():
    made: list[Proxy] = []

    def start(**how) -> Proxy:
        made.append(Proxy(**how))
        return made[-1]

    yield start
    for one in made:
        end_listening(one.socket, one)


def test_plain_calls_are_forwarded_by_the_proxy(crm, configure, proxy):
    way = proxy(user="me:pass-1234")
    bench = configure(target=f"proxy: http://me:pass-1234@{way.address}")
    assert bench.upsert().meaning == "done"
    assert way.heads[0].startswith(f"PUT {crm.url}/tickets/9999 HTTP/1.1")
    assert crm.seen[0].path == "/tickets/9999"


def test_calls_over_tls_go_through_a_tunnel(tls, configure, proxy):
    crm, way = tls(client=False), proxy(user="me:p@ss-1234")
    bench = configure(target=f"tls: {{ca: ca.pem}}\nproxy: 'http://me:p%40ss-1234@{way.address}'")
    assert bench.upsert().meaning == "done"
    assert bench.upsert().meaning == "done"
    assert way.heads[0].startswith(f"CONNECT localhost:{crm.server_address[1]} ")
    assert (len(way.heads), len(crm.seen)) == (1, 2)
    assert "Proxy-Authorization" not in str(dict(crm.seen[0].headers))
    assert crm.seen[0].json == {"subject": "Hello"}


@pytest.mark.parametrize("over", ["http", "https"])
def test_proxy_that_wants_other_credentials_pauses_like_wrong_ones(
    tls, crm, configure, proxy, over
):
    if over == "https":
        tls()
    way = proxy(user="me:right-1234")
    report = configure(target=f"proxy: http://me:wrong-1234@{way.address}").upsert()
    assert (report.meaning, report.unknown, crm.seen) == ("credentials", False, [])
    assert "407" in report.reason
    assert "wrong-1234" not in repr(report)


def test_proxy_that_is_away_is_an_outage(tls, configure, free_port):
    tls()
    report = configure(target=f"proxy: http://127.0.0.1:{free_port}").upsert()
    assert (report.meaning, report.unknown) == ("not_now", False)
    assert "proxy" in report.reason


def test_proxy_that_cannot_reach_the_crm_is_an_outage(tls, configure, proxy):
    tls()
    report = configure(target=f"proxy: http://{proxy(refuse=502).address}").upsert()
    assert (report.meaning, report.unknown) == ("not_now", False)
    assert "502" in report.reason


def test_deadline_holds_while_a_proxy_says_nothing(tls, configure, stopwatch):
    tls()
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        way = f"127.0.0.1:{deaf.getsockname()[1]}"
        report = configure(target=f"timeout: 1\nproxy: http://{way}").upsert()
    assert (report.meaning, report.unknown) == ("not_now", False)
    assert stopwatch() < IN_VAIN


def test_deadline_holds_in_a_tunnel_at_whose_end_nobody_shakes_hands(tls, configure, stopwatch):
    def nod(deaf: socket.socket) -> None:
        taken, _ = deaf.accept()
        with taken:
            taken.recv(4096)
            taken.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            ended.wait(30)

    ended = threading.Event()
    tls()
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        threading.Thread(target=nod, args=(deaf,), daemon=True).start()
        way = f"127.0.0.1:{deaf.getsockname()[1]}"
        report = configure(target=f"timeout: 1\nproxy: http://{way}").upsert()
        ended.set()
    assert (report.meaning, report.unknown) == ("not_now", False)
    assert stopwatch() < IN_VAIN


def test_proxys_password_is_shown_nowhere(crm, configure, proxy):
    way = proxy(user="me:pass-1234")
    bench = configure(target=f"proxy: http://me:pass-1234@{way.address}")
    shown = base64.b64encode(b"me:pass-1234").decode()
    crm.say(400, {"message": f"what is pass-1234? {shown}"})
    report = bench.upsert()
    assert report.meaning == "refused"
    assert "pass-1234" not in repr(report)
    assert shown not in repr(report)
    assert "pass-1234" not in repr(bench.target.config)


def test_two_targets_of_one_process_keep_to_their_own_routes(tls, crm, tmp_path):
    tls()
    http = Http()
    trusting = Route(ca=str(tmp_path / "ca.pem"), public=False)
    wary = Route(ca=str(tmp_path / "other.pem"), public=False)
    assert not isinstance(http.send(Request("GET", crm.url, {}, None, trusting), 5), Failure)
    assert isinstance(http.send(Request("GET", crm.url, {}, None, wary), 5), Failure)
    http.close()


def test_files_are_relative_to_the_configuration(tmp_path: Path):
    (tmp_path / "tls").mkdir()
    OURS.write(tmp_path / "tls" / "ca.pem", key=False)
    file = tmp_path / "config.yaml"
    file.write_text("targets: {t: {base_url: https://crm, tls: {ca: tls/ca.pem}}}")
    assert load(file, {}).targets["t"].tls.ca == tmp_path / "tls" / "ca.pem"
