"""Pages over a real Redis: by Flask's test client (`desk`), and by a real browser (`browser`).

Users mai (editor), lan (operator) and vy (viewer) share one password.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from desk import PASSWORD, ROLES, Desk, sign_in
from playwright.sync_api import Browser, expect, sync_playwright
from system import ROOT, System, running, sample_bodies, ticket, wait_for

from connector import accounts
from connector.redisdb import connect

CHROMIUM = Path("/usr/bin/chromium")
APT = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
expect.set_options(timeout=15_000)  # ms; the machine may be busy
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


@pytest.fixture(scope="session")
def users() -> str:
    """`users:` of a configuration."""
    hashed = accounts.hash_password(PASSWORD)
    people = [f"  {name}: {{password: '{hashed}', role: {role}}}" for name, role in ROLES.items()]
    return "\n".join(["users:", *people, ""])


# --- without a browser


@pytest.fixture
def desk(tmp_path: Path, redis_url: str, users: str) -> Iterator[Desk]:
    """Pages with users, over an empty Redis; nobody has signed in."""
    desk = Desk(tmp_path, redis_url, users)
    yield desk
    desk.close()


# --- with one


def _install_chromium() -> str:
    """Why there is no chromium; '' where there is."""
    if CHROMIUM.exists():
        return ""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return f"{CHROMIUM} is not there, and only root with apt-get can install it"
    with (Path(tempfile.gettempdir()) / "connector-chromium.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        for command in ([*APT, "update"], [*APT, "install", "-y", "chromium"]):
            if CHROMIUM.exists():
                return ""
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            )
            if done.returncode:
                return f"{' '.join(command)}: {done.stderr.strip()[-300:]}"
    return "" if CHROMIUM.exists() else f"{CHROMIUM} is not there after its installation"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's chromium; skipped without it, unless CONNECTOR_BROWSER=required says that it must
    be there."""
    if why := _install_chromium():
        told = f"no browser: {why}"
        print(told)  # noqa: T201 - pytest shows the reason of a skip only when asked to
        if os.environ.get("CONNECTOR_BROWSER") == "required":
            pytest.fail(told)
        pytest.skip(told)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


NOTE_WITH_SCRIPT = (
    '<b>hello</b><script>document.title = "pwned"</script><img src=x onerror=alert(1)>'
)


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory, users: str) -> Iterator[System]:
    """Everything running, with every sample event, a refused ticket and a hostile one."""
    folder = tmp_path_factory.mktemp("pages")
    shutil.copytree(ROOT / "mappings", folder / "mappings")
    with running(
        folder, target=f"    timeout: 5\n{users}", mappings=folder / "mappings"
    ) as started:
        bodies = sample_bodies()
        for source, _, body in bodies:
            assert started.send(source, body).status_code == 200
        started.send("caresoft", ticket(7001, 1_700_000_000_000, ticket_subject=NOTE_WITH_SCRIPT))
        wait_for(lambda: not started.states().keys() & {"queued", "waiting"}, "all is delivered")
        started.behave(mode="422", times=2)
        for number in (9001, 9002):
            started.send("caresoft", ticket(number, 1_700_000_000_001, ticket_subject="Refused"))
        client = connect(started.redis.url)
        wait_for(lambda: client.zcard("c:dead") == 2, "two dead letters")
        yield started


@pytest.fixture(scope="session")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of the pages go: CONNECTOR_SHOTS, else a folder of the test run."""
    named = os.environ.get("CONNECTOR_SHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("shots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


Page = Any
Open = Callable[..., Page]


@pytest.fixture(scope="session")
def signed_in() -> dict[str, Any]:
    """The cookies of those who have signed in, so that each does so once."""
    return {}


@pytest.fixture
def visit(browser: Browser, system: System, signed_in: dict[str, Any]) -> Iterator[Open]:
    """`visit("mai", scheme="dark", language="vi")`: a browser window of somebody who signed in.
    What runs into an error there fails the test."""
    contexts = []
    wrong: list[str] = []
    known: dict[str, Any] = signed_in

    def open_(
        name: str | None = "mai", scheme: str = "light", language: str = "en", **size: int
    ) -> Page:
        viewport = {"width": size.get("width", 1280), "height": size.get("height", 900)}
        context = browser.new_context(
            color_scheme=scheme,
            locale=language,
            viewport=viewport,
            base_url=system.web_url,
            storage_state=known.get(name or ""),
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "console",
            lambda message: wrong.append(message.text) if message.type == "error" else None,
        )
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        if name and name not in known:
            sign_in(page, name)
            known[name] = context.storage_state()
        elif name:
            page.goto("/")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert wrong == []
