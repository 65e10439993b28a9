"""The map of the rooms in CONTRIBUTING.md names each module once, and none that is not there."""

from __future__ import annotations

from collections import Counter
from fnmatch import fnmatch

from docpages import ROOT, spans

HOUSE = ROOT / "connector"
OUTSIDE = {"bench/", "deploy/", "Dockerfile", "compose.yaml", "Procfile", "app.json"}


def on_the_map() -> list[str]:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## The rooms")[1]
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    return [name for row in rows for name in spans(row.split(" | ")[0])]


def modules() -> set[str]:
    files = {path.name for path in HOUSE.glob("*.py") if not path.name.startswith("__")}
    return files | {f"{path.parent.name}/" for path in HOUSE.glob("*/__init__.py")}


def test_every_room_is_on_the_map_once() -> None:
    named = on_the_map()
    found = {name: [one for one in named if fnmatch(name, one)] for name in modules()}
    assert {name: ones for name, ones in found.items() if len(ones) != 1} == {}


def test_the_map_names_nothing_that_is_not_there() -> None:
    known = modules()
    assert [
        name
        for name in on_the_map()
        if name not in OUTSIDE and not any(fnmatch(one, name) for one in known)
    ] == []
    assert all((ROOT / name).exists() for name in OUTSIDE)
    assert max(Counter(on_the_map()).values()) == 1
