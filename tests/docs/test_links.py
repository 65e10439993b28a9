"""Every relative link leads to a file, and every anchor to a heading of its page."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from docpages import PAGES, headings, name_of, without_code

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """What headings are called in links, as GitHub does it."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in headings(page):
        plain = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-")
        found.add(f"{plain}-{seen[plain]}" if seen[plain] else plain)
        seen[plain] += 1
    return found


LINKS = [(page, link) for page in PAGES for link in _LINK.findall(without_code(page))]


@pytest.mark.parametrize(
    ("page", "link"),
    [(page, link) for page, link in LINKS if "://" not in link],
    ids=lambda value: name_of(value) if isinstance(value, Path) else value,
)
def test_a_relative_link_leads_somewhere(page: Path, link: str) -> None:
    file, _, anchor = link.partition("#")
    target = (page.parent / file).resolve() if file else page
    assert target.exists()
    if anchor:
        assert anchor in anchors(target)


def test_the_map_of_the_pages_names_every_page() -> None:
    (index,) = [page for page in PAGES if name_of(page) == "docs/README.md"]
    linked = {link.partition("#")[0] for page, link in LINKS if page == index}
    assert {page.name for page in index.parent.glob("*.md")} - {"README.md"} <= linked
