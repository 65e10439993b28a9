"""The messages that troubleshooting.md explains are ones that the code can say."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest
from docpages import ROOT, spans

PAGE = ROOT / "docs" / "troubleshooting.md"
ELLIPSIS = "…"


@cache
def templates() -> frozenset[str]:
    """Every text in the code, what varies in it replaced by an ellipsis."""
    found: set[str] = set()
    for path in (ROOT / "connector").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(re.sub(r"%[sd]|%\.\df", ELLIPSIS, node.value))
            elif isinstance(node, ast.JoinedStr):
                parts = (
                    str(part.value) if isinstance(part, ast.Constant) else ELLIPSIS
                    for part in node.values
                )
                found.add("".join(parts))
    return frozenset(found)


def messages() -> Iterator[str]:
    """The code in the first cells of the tables."""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and not line.startswith(("| message", "| ---")):
            yield from spans(line.split(" | ")[0])


def is_said(message: str) -> bool:
    """Whether one text of the code has the fixed parts of the message, in their order."""
    fixed = ".*".join(re.escape(part.strip()) for part in message.split(ELLIPSIS) if part.strip())
    pattern = re.compile(fixed, re.DOTALL)
    return any(pattern.search(template) for template in templates())


@pytest.mark.parametrize("message", sorted(m for m in messages() if not re.match(r"\d{3}\b", m)))
def test_a_message_is_one_that_the_code_says(message: str) -> None:
    assert is_said(message)


def test_a_message_that_nobody_says_would_be_found() -> None:
    assert not is_said("the moon is in the wrong quarter")
    assert not is_said("no event ends with …")
