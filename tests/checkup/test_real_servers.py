"""The verb against servers that were not written for it: the reference CRM, and Kinto."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from checkup.conftest import Desk
from system import wait_for

from connector.demo.ports import free_port

ROOT = Path(__file__).parents[2]
TOKEN = "demo-token-1"

REFERENCE = f"auth: {{type: bearer, token: {TOKEN}}}\ncheck: {{path: /}}\n"

KINTO = """\
[server:main]
use = egg:waitress#main
host = 127.0.0.1
port = {port}

[app:main]
use = egg:kinto
kinto.storage_backend = kinto.core.storage.memory
kinto.cache_backend = kinto.core.cache.memory
kinto.permission_backend = kinto.core.permission.memory
kinto.userid_hmac_secret = not-a-secret
kinto.bucket_create_principals = system.Authenticated
multiauth.policies = basicauth
multiauth.policy.basicauth.use = kinto.core.authentication.BasicAuthAuthenticationPolicy
"""

KINTO_TARGET = """\
auth: {type: basic, username: us, password: right-password}
check: {path: /buckets/crm}
resources:
  people:
    upsert: {strategy: put, path: "/buckets/crm/collections/people/records/{external_id}"}
    body: {data: "{fields}"}
"""


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    file = tmp_path_factory.mktemp("crm") / "crm.sqlite"
    command = [sys.executable, "-m", "connector.demo.crm", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--db", str(file), "--token", TOKEN], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert b"reference CRM at" in process.stdout.readline()
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.communicate(timeout=30)


@pytest.fixture
def shipped(desk: Desk) -> Desk:
    shutil.rmtree(desk.folder / "mappings")
    shutil.copytree(ROOT / "mappings", desk.folder / "mappings")
    return desk


def rows(url: str) -> int:
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/json"}
    told: dict[str, Any] = requests.get(f"{url}/", headers=headers, timeout=10).json()
    return sum(resource["records"] for resource in told["resources"].values())


@pytest.mark.parametrize("resource", ["tickets", "contacts", "leads", "notes", "note_comments"])
def test_the_reference_crm_suits_the_shipped_mappings(
    shipped: Desk, reference: str, resource: str
) -> None:
    shipped.configure(reference, REFERENCE)
    checked = shipped.check("--resource", resource)
    assert (checked.bad, checked.code, checked.out["left_behind"]) == ({}, 0, [])
    assert checked.suits("fields") is True
    assert "422" in checked.probes["unknown_field"]["found"]
    assert checked.suits("idempotency_key") is True
    assert rows(reference) == 0


def test_without_a_resource_one_is_chosen_that_can_be_probed(shipped: Desk, reference: str) -> None:
    shipped.configure(reference, REFERENCE)
    checked = shipped.check()
    assert (checked.code, len(checked.probes) > 20, rows(reference)) == (0, True, 0)


# --- Kinto


@pytest.fixture(scope="module")
def kinto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("kinto")
    port = free_port()
    (folder / "kinto.ini").write_text(KINTO.format(port=port), "utf-8")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("kinto")), "start", "--ini", "kinto.ini"],
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    url = f"http://127.0.0.1:{port}/v1"
    try:
        wait_for(lambda: _answers(url), "Kinto", within=60)
        me = ("us", "right-password")
        for path in ("/buckets/crm", "/buckets/crm/collections/people"):
            assert requests.put(url + path, auth=me, json={}, timeout=10).status_code == 201
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def test_kinto_is_known_by_its_ids_and_etags(desk: Desk, kinto: str) -> None:
    desk.configure(kinto, KINTO_TARGET)
    checked = desk.check()
    assert checked.bad == {"id_characters": "id_format: slug"}
    assert "a colon: refused (400)" in checked.probes["id_characters"]["found"]
    assert checked.suits("auth") is True
    assert checked.probes["read"]["config"] == (
        "read: {path: '/buckets/crm/collections/people/records/{external_id}', record: data}"
    )
    assert checked.probes["etag"]["config"] == "etag: header"
    assert "is kept" in checked.probes["unknown_field"]["found"]
    assert records(kinto) == []


def test_kinto_suits_once_the_advice_is_followed(desk: Desk, kinto: str) -> None:
    desk.configure(
        kinto, KINTO_TARGET + "    read: {record: data}\n    etag: header\n    id_format: slug\n"
    )
    checked = desk.check()
    assert (checked.bad, checked.code, checked.out["left_behind"]) == ({}, 0, [])
    assert records(kinto) == []


def test_what_kinto_tells_of_itself_is_configuration_enough(desk: Desk, kinto: str) -> None:
    Path("kinto.json").write_bytes(requests.get(f"{kinto}/__api__", timeout=10).content)
    path = "/buckets/{bucket_id}/collections/{collection_id}/records"
    result = desk.run("targets", "import", "kinto.json", "--resource", f"people={path}")
    text = result.stdout.replace("BUCKET_ID", "crm").replace("COLLECTION_ID", "people")
    config = yaml.safe_load(text)["targets"]["crm"]
    assert (config["base_url"], config["auth"]["type"]) == (kinto, "basic")
    resources = {"people": {**config["resources"]["people"], "id_format": "slug"}}
    auth = "auth: {type: basic, username: us, password: right-password}\n"
    desk.configure(kinto, f"{auth}resources: {json.dumps(resources)}\n")
    checked = desk.check()
    check = checked.probes["auth"]["config"]
    assert checked.bad == {"auth": check}
    assert "without `check:` a 403 is this record's fault" in checked.probes["auth"]["meaning"]
    desk.configure(kinto, f"{auth}{check}\nresources: {json.dumps(resources)}\n")
    checked = desk.check()
    assert (checked.bad, checked.code, records(kinto)) == ({}, 0, [])


def records(url: str) -> list[Any]:
    path = f"{url}/buckets/crm/collections/people/records"
    found: list[Any] = requests.get(path, auth=("us", "right-password"), timeout=10).json()["data"]
    return found
