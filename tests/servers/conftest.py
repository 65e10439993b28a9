"""Servers as targets: started once per test process, emptied for every test.

`server` is each of them in turn. Kinto comes from PyPI with the other test packages and always
runs, and so do the project's own CRMs. The others are installed first, which takes minutes, so they
run only when `CONNECTOR_TEST_SERVERS=all` asks for them, as `make test-targets` does; then an npm
that is missing is a failure.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from servers.directus_server import Directus
from servers.inhouse_servers import ReferenceCrm, SearchedCrm
from servers.json_server import JsonServer
from servers.kinto_server import Kinto, KintoCreateFirst
from servers.packages import CannotInstall
from servers.server import Server
from servers.tryton_server import Tryton

SERVERS: tuple[type[Server], ...] = (
    Kinto,
    KintoCreateFirst,
    ReferenceCrm,
    SearchedCrm,
    Directus,
    JsonServer,
    Tryton,
)
INSTALLED = (Directus, JsonServer, Tryton)
ASKED_FOR = "CONNECTOR_TEST_SERVERS"


@pytest.fixture(scope="session", params=SERVERS, ids=lambda kind: kind.name)
def started_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server with a place for each resource; tests ask for `server`."""
    kind: type[Server] = request.param
    if kind in INSTALLED and os.environ.get(ASKED_FOR) != "all":
        pytest.skip(f"{kind.name} is left out: `make test-targets` or {ASKED_FOR}=all runs it")
    server = kind(tmp_path_factory.mktemp(kind.name))
    try:
        server.start()
    except CannotInstall as error:
        pytest.fail(str(error))
    try:
        server.set_up()
        yield server
    finally:
        server.stop()


@pytest.fixture
def server(started_server: Server) -> Server:
    """A server that runs and holds no rows."""
    started_server.empty()
    return started_server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says why a server was left out, where `-rs` does not."""
    reasons = {report.longrepr[2] for report in terminalreporter.stats.get("skipped", ())}
    for reason in sorted(reasons if "s" not in terminalreporter.reportchars else ()):
        terminalreporter.write_line(reason)
