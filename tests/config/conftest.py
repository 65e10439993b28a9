"""A config.yaml on disk, loaded or refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from connector.config import Config, load
from connector.errors import ConfigInvalid

Refusal = list[tuple[int, int, str]]


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[..., Config]:
    """loaded(text, **environment): the configuration that the text gives."""

    def load_text(text: str, **environ: str) -> Config:
        file = tmp_path / "config.yaml"
        file.write_text(text, encoding="utf-8")
        return load(file, environ)

    return load_text


@pytest.fixture
def refused(loaded: Callable[..., Config]) -> Callable[..., Refusal]:
    """refused(text, **environment): line, column and words of every problem of the text."""

    def refuse_text(text: str, **environ: str) -> Refusal:
        with pytest.raises(ConfigInvalid) as caught:
            loaded(text, **environ)
        return [
            (p.place.line, p.place.column, f"{p.message} | {p.hint}")
            for p in caught.value.problems
            if p.place
        ]

    return refuse_text


@pytest.fixture
def resource(loaded: Callable[..., Config]):
    """resource(text): the resource `r` whose keys the text gives, in flow or block style."""

    def load_resource(text: str, name: str = "r", default: str = "{}"):
        whole = (
            "targets:\n  t:\n    base_url: http://crm\n    resources:\n"
            f"      default: {default}\n      r: {text}\n"
        )
        return loaded(whole).targets["t"].resource(name)

    return load_resource


@pytest.fixture
def faults(refused: Callable[..., Refusal]):
    """faults(text): column and words of every problem of a resource whose keys the text gives."""

    def refuse_resource(text: str) -> list[tuple[int, str]]:
        whole = f"targets: {{t: {{base_url: http://crm, resources: {{r:\n{text}\n}}}}}}\n"
        return [(column, words) for line, column, words in refused(whole) if line == 2]

    return refuse_resource
