"""Every file of docs/targets/ is one that `connector config check` finds nothing wrong with."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from servers.deployment import TARGETS
from system import ROOT

FILES = sorted(TARGETS.glob("*.yaml"))
INDEX = TARGETS / "README.md"


class Agreeable(BaseHTTPRequestHandler):
    """Whatever is asked: yes, and here is a token."""

    def do_GET(self) -> None:
        content = json.dumps({"access_token": "T", "expires_in": 3600}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def agreeable_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Agreeable) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_config_check_finds_nothing_wrong(
    file: Path, tmp_path: Path, redis_url: str, agreeable_url: str
) -> None:
    text = file.read_text("utf-8")
    (tmp_path / "config.yaml").write_text(text, "utf-8")
    (tmp_path / "mappings").symlink_to(ROOT / "mappings")
    needed = dict.fromkeys(re.findall(r"\$\{(\w+)}", text), "xxxx")
    addresses = {"CRM_BASE_URL": agreeable_url, "CRM_TOKEN_URL": f"{agreeable_url}/token"}
    done = subprocess.run(
        [sys.executable, "-m", "connector", "config", "check", "--json"],
        cwd=tmp_path,
        env={**os.environ, **needed, **addresses, "REDIS_URL": redis_url},
        capture_output=True,
        check=False,
    )
    found = json.loads(done.stdout)
    assert (found["errors"], found["warnings"]) == ([], [])
    assert done.returncode == 0


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_index_names_every_file_and_how_it_was_tried(file: Path) -> None:
    (line,) = [row for row in INDEX.read_text("utf-8").splitlines() if f"({file.name})" in row]
    assert ("run against" in line) != ("not run" in line)
