"""Secrets change while events come in, and none is lost or refused."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import requests
from system import MOBIO_APPS, System, running, ticket, wait_for

from connector.config.model import App, CareSoft, Mobio, Secret, SourceConfig
from connector.sources import open_source


def caresoft(secret: str) -> SourceConfig:
    return CareSoft("caresoft", (Secret(secret),))


def mobio(secret: str) -> SourceConfig:
    return Mobio("mobio", (App(MOBIO_APPS[0], (Secret(secret),)),))


CONFIGS = {"caresoft": caresoft, "mobio": mobio}


def body_of(source: str, number: int) -> bytes:
    if source == "caresoft":
        return json.dumps(ticket(number, 1633484753675)).encode()
    event = {"message_id": f"m{number}", "event_type": "odd", "data_event": {}}
    return json.dumps({"app_id": MOBIO_APPS[0], "block_event": [event]}).encode()


class Vendor(threading.Thread):
    """Sends one event after the other, signed with its secret of the day; sends again what it could
    not connect for, as vendors do, and nothing that was answered."""

    def __init__(self, system: System, source: str, secret: str) -> None:
        super().__init__(daemon=True)
        self.system, self.source, self.secret = system, source, secret
        self.acknowledged = 0
        self.refused: list[int] = []
        self.done = threading.Event()

    def run(self) -> None:
        config = CONFIGS[self.source]
        number = 1
        while not self.done.is_set():
            body = body_of(self.source, number)
            headers = open_source(config(self.secret)).sign(body)
            url = f"{self.system.web_url}/webhooks/{self.source}"
            try:
                answer = requests.post(url, data=body, headers=headers, timeout=10)
            except requests.ConnectionError:
                time.sleep(0.02)
                continue
            if answer.status_code == 200:
                self.acknowledged += 1
            else:
                self.refused.append(answer.status_code)
            number += 1
            time.sleep(0.01)

    def sends(self, more: int = 10) -> None:
        """Until so many more were acknowledged."""
        wanted = self.acknowledged + more
        wait_for(lambda: self.acknowledged >= wanted, f"events of {self.source}")


def reconfigured(system: System, changes: Mapping[str, str]) -> None:
    """Edit config.yaml and restart web, as the handbook says."""
    file = system.folder / "config.yaml"
    text = file.read_text()
    for before, after in changes.items():
        assert before in text
        text = text.replace(before, after)
    file.write_text(text)
    assert system.stop("web") == 0
    system.start_web()


OLD = {"caresoft": ("secrets: [CS123]", "CS123"), "mobio": ("secrets: [s1]", "s1")}
BOTH = {"caresoft": "secrets: [CS123, CS456]", "mobio": "secrets: [s1, s2-new]"}
NEW = {"caresoft": ("secrets: [CS456]", "CS456"), "mobio": ("secrets: [s2-new]", "s2-new")}


def test_the_secrets_of_both_vendors_are_changed_without_losing_an_event(tmp_path: Path) -> None:
    with running(tmp_path, workers=0) as system:
        vendors = [Vendor(system, source, secret) for source, (_, secret) in OLD.items()]
        for vendor in vendors:
            vendor.start()
            vendor.sends()
        reconfigured(system, {OLD[source][0]: BOTH[source] for source in OLD})
        for vendor in vendors:
            vendor.sends()
            vendor.secret = NEW[vendor.source][1]
            vendor.sends()
        reconfigured(system, {BOTH[source]: NEW[source][0] for source in OLD})
        for vendor in vendors:
            vendor.sends()
            vendor.done.set()
            vendor.join()
        assert [vendor.refused for vendor in vendors] == [[], []]
        assert len(system.outcomes()) == sum(vendor.acknowledged for vendor in vendors)
        for vendor in vendors:
            body = body_of(vendor.source, 9999)
            old = CONFIGS[vendor.source](OLD[vendor.source][1])
            url = f"{system.web_url}/webhooks/{vendor.source}"
            answer = requests.post(url, data=body, headers=open_source(old).sign(body), timeout=10)
            assert answer.status_code == 401
