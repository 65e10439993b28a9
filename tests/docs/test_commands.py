"""Every `connector …` that a page shows is a verb that there is, with options that it takes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from docpages import PAGES, fences, name_of, prose, spans

from connector.cli import main

_LANGUAGES_OF_SHELLS = ("", "sh", "console")


def shown(page: Path) -> Iterator[str]:
    """The command lines of a page; synopses, which have brackets, are left out."""
    lines = [
        line.removeprefix("$ ")
        for info, text in fences(page)
        if info in _LANGUAGES_OF_SHELLS
        for line in text.splitlines()
    ]
    for line in [*lines, *spans(prose(page))]:
        command = line.strip().removeprefix(".venv/bin/").removesuffix(" &")
        if command.startswith("connector ") and "[" not in command and "VERB" not in command:
            yield command


def parse(command: str) -> None:
    """Follows the words through the click tree. Raises click.UsageError."""
    words = shlex.split(command, comments=True)[1:]
    verb: click.Command = main
    context = click.Context(verb, info_name="connector")
    while True:
        _, rest, _ = verb.make_parser(context).parse_args(list(words))
        if not isinstance(verb, click.Group) or not rest:
            if rest and not isinstance(verb, click.Group):
                raise click.UsageError(f"too many arguments: {rest}", context)
            return
        found = verb.get_command(context, rest[0])
        if found is None:
            raise click.UsageError(f"there is no {rest[0]!r}", context)
        verb, words = found, rest[1:]
        context = click.Context(verb, parent=context, info_name=rest[0])


COMMANDS = sorted({(name_of(page), command) for page in PAGES for command in shown(page)})


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_a_command_that_is_shown_can_be_given(page: str, command: str) -> None:
    parse(command)


def test_commands_are_found_in_prose_and_in_blocks() -> None:
    assert ("docs/operations.md", "connector status") in COMMANDS
    assert ("README.md", "connector record tickets 322677") in COMMANDS


@pytest.mark.parametrize(
    "command",
    ["connector evnts", "connector events --sinse 7d", "connector mappings tru", "connector web x"],
)
def test_a_misspelt_command_would_be_found(command: str) -> None:
    with pytest.raises(click.UsageError):
        parse(command)
