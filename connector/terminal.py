"""How the command line speaks: tables for people, JSON for programs, errors with a caret.

Invariant: what is printed to standard output with `--json` is one JSON document and nothing else;
messages about the run itself go to standard error. Cells are only folded for a terminal's width.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from connector.model import Json, Problem
from connector.problems import render

_ENDLESS = 10_000  # columns of what is no terminal: a program that reads along wants whole words


def _columns(stream: TextIO) -> int | None:
    """The width to print in; None where the terminal, or $COLUMNS, tells."""
    return None if stream.isatty() or os.environ.get("COLUMNS") else _ENDLESS


out = Console(highlight=False, soft_wrap=True, width=_columns(sys.stdout))
err = Console(stderr=True, highlight=False, soft_wrap=True, width=_columns(sys.stderr))

STATE_STYLES = {
    "done": "green",
    "mapped": "green",
    "waiting": "yellow",
    "queued": "yellow",
    "unmapped": "yellow",
    "dead": "bold red",
    "error": "bold red",
}


def print_json(value: Json) -> None:
    """One JSON document, readable by both."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def say(text: str, style: str = "") -> None:
    """One line, as it is: nothing in it is markup."""
    out.print(Text(text, style=style))


def complain(text: str) -> None:
    """One line to standard error."""
    err.print(Text(text, style="red"))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> None:
    """A table; cells are texts, a state gets its colour. Nothing in a cell is markup."""
    table = Table(title=title or None, title_justify="left", box=None, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        cells = ["" if cell is None else str(cell) for cell in row]
        table.add_row(*(Text(cell, style=STATE_STYLES.get(cell, "")) for cell in cells))
    out.print(table)


def print_problems(
    problems: Iterable[Problem],
    style: str,
    word: str,
    *,
    lines: bool = True,
    masked: bool = False,
) -> None:
    """Each problem with its place and, where `lines`, the offending line with a caret.

    `masked`: without the values, for config.yaml, a line of which may hold a secret.
    """
    for problem in problems:
        text = _text_of(problem) if lines else None
        shown = render(problem, text, masked=masked) if text is not None else str(problem)
        err.print(Text(f"{word}: ", style=style).append(Text(shown, style="")))


def _text_of(problem: Problem) -> str | None:
    if problem.place is None:
        return None
    try:
        text = Path(problem.place.file).read_bytes().decode("utf-8", "replace")
    except OSError:
        return None
    return None if "\0" in text else text  # UTF-16, or no text at all
