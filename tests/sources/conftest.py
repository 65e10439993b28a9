"""Sources as a configuration would open them, and the vendors' sample bodies."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connector.config import App, CareSoft, Mobio
from connector.sources import Source, open_source

SAMPLES = Path(__file__).parents[1] / "samples"
RECEIVED_AT = 1_733_100_000_123_456  # 2024-12-02T00:40:00.123456Z

NOTE_APP = "16453496-6a17-11ed-8a77-6632ed169876"
COMMENT_APP = "c71f0b7a-6ecc-11ed-9704-468042e8692e"


@pytest.fixture(scope="session")
def sample() -> Callable[[str], bytes]:
    """The bytes of a sample: `sample("caresoft/ticket.create-2")`."""
    return lambda name: (SAMPLES / f"{name}.json").read_bytes()


@pytest.fixture(scope="session")
def make_caresoft() -> Callable[..., Source]:
    def make(*secrets: str, unsigned: bool = False) -> Source:
        return open_source(CareSoft(name="care", secrets=secrets, unsigned=unsigned))

    return make


@pytest.fixture(scope="session")
def make_mobio() -> Callable[..., Source]:
    def make(**apps: tuple[str, ...]) -> Source:
        listed = tuple(App(app_id=app_id, secrets=secrets) for app_id, secrets in apps.items())
        return open_source(Mobio(name="notes", apps=listed))

    return make


@pytest.fixture(scope="session")
def caresoft(make_caresoft: Callable[..., Source]) -> Source:
    return make_caresoft("CS123")


@pytest.fixture(scope="session")
def mobio(make_mobio: Callable[..., Source]) -> Source:
    return make_mobio(**{NOTE_APP: ("note secret",), COMMENT_APP: ("comment secret",)})


def as_bytes(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    return json.dumps(body, ensure_ascii=False).encode()


@pytest.fixture(scope="session")
def receive() -> Callable[..., list[Any]]:
    """Sign a body as the vendor would, verify it, and give its events."""

    def take(source: Source, body: Any) -> list[Any]:
        raw = as_bytes(body)
        return source.parse(source.verify(raw, source.sign(raw)), RECEIVED_AT)

    return take


@pytest.fixture(scope="session")
def care_document(caresoft: Source, receive: Callable[..., list[Any]]) -> Callable[[Any], Any]:
    """The document of a CareSoft body (bytes or JSON)."""

    def document(body: Any) -> Any:
        (event,) = receive(caresoft, body)
        return caresoft.document(event)

    return document


@pytest.fixture(scope="session")
def mobio_document(mobio: Source, receive: Callable[..., list[Any]]) -> Callable[[Any], Any]:
    """The document of a Mobio body (bytes or JSON) with one element."""

    def document(body: Any) -> Any:
        (event,) = receive(mobio, body)
        return mobio.document(event)

    return document
