"""The generated parts of docs/ say what the code says, and every example still gives its result."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connector.config.fields import Group, Keyed, Keys, Listing, OneOf
from connector.config.schema import ConfigKeys
from connector.mapping.functions import FUNCTIONS
from connector.reference import DOCS, MAKERS, renewed
from connector.targets.answers import ROWS

PAGES = sorted(DOCS.glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_generated_parts_are_current(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert renewed(text) == text, "out of date: run python -m connector.reference"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_with_generated_parts_says_how_they_are_made(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    if "<!-- made: " in text:
        assert "`python -m connector.reference`" in text


def test_every_kind_of_part_is_used_somewhere() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert set(re.findall(r"<!-- made: ([a-z-]+)", pages)) == set(MAKERS)


def test_what_stands_between_the_marks_is_replaced() -> None:
    page = "before\n<!-- made: own-functions -->\nold\n<!-- /made -->\nafter\n"
    made = renewed(page)
    assert "old" not in made
    assert "`not_null`" in made
    assert renewed(made) == made


def test_a_part_that_nobody_makes_is_an_error() -> None:
    with pytest.raises(KeyError):
        renewed("<!-- made: dreams -->\n<!-- /made -->\n")


def test_an_example_gives_what_the_code_gives_for_the_body_before_it() -> None:
    page = (
        '```json body\n{"object": "ticket", "action": "x", "ticket": {"n": "5"}}\n```\n'
        "```yaml fields\nn: integer(ticket.n)\n```\n"
        "<!-- made: fields caresoft -->\n<!-- /made -->\n"
    )
    assert '{\n  "n": 5\n}' in renewed(page)


def every_key(schema: type[Keys], seen: set[type[Keys]]) -> Iterator[str]:
    if schema in seen:
        return
    seen.add(schema)
    for name, known in schema().fields.items():
        yield known.data_key or name
        field: Any = known
        while isinstance(field, Listing | Keyed):
            field = field.item
        inner = [field.schema] if isinstance(field, Group) else []
        inner += field.variants.values() if isinstance(field, OneOf) else []
        for within in inner:
            yield from every_key(within, seen)


@pytest.mark.parametrize("key", sorted(set(every_key(ConfigKeys, set()))))
def test_configuration_lists_every_key(key: str) -> None:
    made = MAKERS["configuration"]("", "")
    assert re.search(rf"\| `{key}` \|", made)


def test_every_function_and_every_meaning_of_an_answer_is_listed() -> None:
    language = (DOCS / "mapping-language.md").read_text(encoding="utf-8")
    assert all(f"| `{function.signature}` |" in language for function in FUNCTIONS.values())
    answers = (DOCS / "answers.md").read_text(encoding="utf-8")
    assert all(f"| {row.answer} |" in answers for row in ROWS)
