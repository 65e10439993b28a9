"""The Procfile as a Heroku-style platform runs it: PORT, an address for Redis with TLS and a
certificate of nobody's, a disk that is thrown away, SIGTERM and then SIGKILL, a release phase that
may say no."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from conftest import FakeCrm
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from system import ROOT, end_listening, ticket, wait_for

from connector.config.model import CareSoft
from connector.demo.lifeline import Lifeline
from connector.demo.ports import free_port
from connector.demo.redis import EmbeddedRedis
from connector.mapping import published
from connector.redisdb import connect, unchecked, without_idle_switches
from connector.sources import open_source

BIN = Path(sys.executable).parent


class Tls:
    """A TLS-terminating proxy before a plain server, as a platform's Redis looks from outside."""

    def __init__(self, certificate: Path, port: int) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._context = context
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.connections = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                plain, _ = self._listener.accept()
                threading.Thread(target=self._join, args=(plain,), daemon=True).start()

    def _join(self, plain: socket.socket) -> None:
        with suppress(OSError):
            near = self._context.wrap_socket(plain, server_side=True)
            far = socket.create_connection(("127.0.0.1", self._to))
            self.connections += 1
            threading.Thread(target=_pump, args=(far, near), daemon=True).start()
            _pump(near, far)

    def close(self) -> None:
        end_listening(self._listener, self._thread)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that nobody vouches for, of another name than the host's, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ip-10-0-0-1.internal")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "nobody.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return file


class Platform:
    """One app on a platform: its add-on Redis, its config variables, its dynos."""

    def __init__(self, folder: Path, tls: Tls, crm: FakeCrm) -> None:
        self.folder = folder
        self.crm = crm
        self.port = free_port()
        self.releases = 0
        settings = json.loads((ROOT / "app.json").read_text())["env"]
        self.environ = {
            name: said["value"] for name, said in settings.items() if "value" in said
        } | {
            "PATH": f"{BIN}:/usr/bin:/bin",
            "HOME": str(folder),
            "PORT": str(self.port),
            "REDIS_URL": f"rediss://:{'p' * 40}@127.0.0.1:{tls.port}",
            "CARESOFT_SECRET": "CS123",
            "MOBIO_APP_ID": "app-1",
            "MOBIO_APP_SECRET": "mobio-secret",
            "CRM_BASE_URL": crm.url,
            "CRM_TOKEN": "crm-token",
        }
        self.slug = self.new_dyno()

    def new_dyno(self) -> Path:
        """A fresh disk with what is in the repository, and nothing of before."""
        self.releases += 1
        self.slug = self.folder / f"app-{self.releases}"
        self.slug.mkdir()
        shutil.copy(ROOT / "Procfile", self.slug)
        for part in ("deploy", "mappings"):
            shutil.copytree(ROOT / part, self.slug / part)
        return self.slug

    def release(self, **more: str) -> subprocess.CompletedProcess[str]:
        """The release phase; with another exit code than 0 the platform keeps the old release."""
        return subprocess.run(
            ["sh", "-c", lines()["release"]],
            env=self.environ | more,
            cwd=self.slug,
            capture_output=True,
            text=True,
            timeout=180,
        )

    def start(self) -> tuple[subprocess.Popen[bytes], Lifeline]:
        """web and worker under honcho, and back when both are up."""
        with (self.folder / "dynos.log").open("ab") as log:
            process = subprocess.Popen(
                [BIN / "honcho", "start", "--no-colour", "web", "worker"],
                env=self.environ,
                cwd=self.slug,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        lifeline = Lifeline(process.pid)
        wait_for(self.ready, "web and worker", explain=self.log)
        return process, lifeline

    def ready(self) -> bool:
        with suppress(requests.RequestException):
            return requests.get(f"{self.url}/readyz", timeout=2).status_code == 200
        return False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> str:
        return (self.folder / "dynos.log").read_text(errors="replace")[-4000:]

    def send(self, body: Mapping[str, Any]) -> requests.Response:
        raw = json.dumps(body).encode()
        headers = open_source(CareSoft("caresoft", ("CS123",))).sign(raw)  # type: ignore[arg-type]
        return requests.post(f"{self.url}/webhooks/caresoft", data=raw, headers=headers, timeout=10)


def lines() -> dict[str, str]:
    """The Procfile."""
    pairs = (line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    return dict(pair for pair in pairs if len(pair) == 2)


@pytest.fixture
def tls(tmp_path: Path, certificate: Path) -> Iterator[Tls]:
    with EmbeddedRedis(tmp_path / "redis") as server:
        client = connect(server.url)
        client.config_set("requirepass", "p" * 40)
        client.close()
        proxy = Tls(certificate, server.port)
        yield proxy
        proxy.close()
        # stop() of the server kills where a password keeps it from asking


@pytest.fixture
def platform(tmp_path: Path, tls: Tls, fake_crm: FakeCrm) -> Platform:
    return Platform(tmp_path, tls, fake_crm)


def end(process: subprocess.Popen[bytes], lifeline: Lifeline) -> None:
    """Through honcho, which gives each dyno a session of its own and kills what will not end."""
    process.terminate()
    process.wait(timeout=30)
    lifeline.cut()


def test_the_procfile_runs_as_the_platform_runs_it(platform: Platform, tls: Tls) -> None:
    """Release, start, work, daily restart on a fresh disk with a call under way, work again."""
    released = platform.release()
    assert released.returncode == 0, released.stdout + released.stderr
    assert "certificate of Redis is not checked" in " ".join(
        (released.stdout + released.stderr).split()
    )
    process, lifeline = platform.start()
    try:
        assert platform.send(ticket(1, 1633484753675)).json() == {"accepted": 1, "duplicates": 0}
        wait_for(lambda: "1" in platform.crm.rows("tickets"), "the row", explain=platform.log)
        assert platform.crm.calls()[-1]["headers"]["authorization"] == "Bearer crm-token"
        assert tls.connections > 0
        platform.crm.behave(latency=1.5)
        platform.send(ticket(2, 1633484753675))
        wait_for(
            lambda: any(call["end"] is None for call in platform.crm.calls()), "a call under way"
        )
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=29)  # then the platform kills
        assert [call["status"] for call in platform.crm.calls() if call["method"] == "PUT"] == [
            201,
            201,
        ]
        platform.new_dyno()
        platform.crm.behave()
        end(process, lifeline)
        process, lifeline = platform.start()
        assert platform.send(ticket(2, 1633484753675)).json() == {"accepted": 0, "duplicates": 1}
        assert platform.send(ticket(3, 1633484753675)).json() == {"accepted": 1, "duplicates": 0}
        wait_for(lambda: "3" in platform.crm.rows("tickets"), "the row", explain=platform.log)
        assert not platform.crm.overlaps()
        log = [line.split("| ", 1)[1] for line in platform.log().splitlines() if "| {" in line]
        assert log
        assert all(json.loads(line)["level"] for line in log)
        assert "crm-token" not in platform.log()
        assert "p" * 40 not in platform.log()
    finally:
        end(process, lifeline)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"CRM_TOKEN": ""}, "CRM_TOKEN"),
        ({"CONNECTOR_CONFIG": "nowhere.yaml"}, "cannot read"),
        ({"CRM_BASE_URL": "http://127.0.0.1:9"}, "target crm"),
        ({"REDIS_URL": "rediss://127.0.0.1:9"}, "Redis cannot be reached"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_bad_release_is_stopped(platform: Platform, more: dict[str, str], said: str) -> None:
    done = platform.release(**more)
    assert done.returncode != 0
    assert said in " ".join((done.stdout + done.stderr).split())


def test_a_bad_mapping_stops_the_release_and_the_set_in_force_stays(platform: Platform) -> None:
    assert platform.release().returncode == 0
    redis = connect(platform.environ["REDIS_URL"] + "?ssl_cert_reqs=none")
    before = published.number_in_force(redis)
    assert before
    mapping = platform.new_dyno() / "mappings" / "tickets.yaml"
    mapping.write_text(mapping.read_text() + "\n---\nsource: caresoft\nevents: [\n")
    done = platform.release()
    assert done.returncode != 0
    assert "tickets.yaml" in done.stdout + done.stderr
    assert published.number_in_force(redis) == before


def test_a_certificate_of_nobodys_needs_the_switch(platform: Platform, tmp_path: Path) -> None:
    config = (ROOT / "deploy" / "heroku" / "config.yaml").read_text()
    file = platform.slug / "deploy" / "heroku" / "strict.yaml"
    file.write_text(config.replace("?ssl_cert_reqs=none", ""))
    done = platform.release(CONNECTOR_CONFIG="deploy/heroku/strict.yaml")
    assert done.returncode != 0
    assert "?ssl_cert_reqs=none" in " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize(
    ("url", "used"),
    [
        ("redis://h:1/0?ssl_cert_reqs=none", "redis://h:1/0"),
        ("redis://h:1/0?db=3&ssl_cert_reqs=none&ssl_x=1", "redis://h:1/0?db=3"),
        ("rediss://h:1?ssl_cert_reqs=none", "rediss://h:1?ssl_cert_reqs=none"),
        ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
        ("redis://h", "redis://h"),
    ],
)
def test_switches_of_tls_mean_nothing_without_it(url: str, used: str) -> None:
    assert without_idle_switches(url) == used
    assert unchecked(url) == (url.startswith("rediss") and "none" in url)


def test_app_json_names_every_variable_that_the_configuration_asks_for() -> None:
    import re

    config = (ROOT / "deploy" / "heroku" / "config.yaml").read_text()
    asked = {
        name
        for line in config.splitlines()
        if not line.strip().startswith("#")
        for name in re.findall(r"\$\{(\w+)", line)
    }
    told = json.loads((ROOT / "app.json").read_text())
    assert asked - {"REDIS_URL"} <= told["env"].keys()
    assert told["env"]["CONNECTOR_CONFIG"]["value"] == "deploy/heroku/config.yaml"
    assert set(told["formation"]) == set(lines()) - {"release"}
