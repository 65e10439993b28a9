"""The pages that people read, and what stands in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [
    path
    for path in (
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted((ROOT / "docs" / "deploy").glob("*.md")),
    )
    if path.exists()
]

_FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def fences(page: Path) -> Iterator[tuple[str, str]]:
    """Blocks of code: what stands after the three backticks, and the text."""
    for fence in _FENCE.finditer(page.read_text(encoding="utf-8")):
        yield fence["info"], fence["text"]


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def spans(text: str) -> Iterator[str]:
    """Code within prose, on one line."""
    for span in _SPAN.finditer(text):
        yield " ".join(span[2].split())


def without_code(page: Path) -> str:
    return _SPAN.sub("", prose(page))


def headings(page: Path) -> Iterator[str]:
    yield from re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
