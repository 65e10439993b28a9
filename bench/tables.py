"""A table that can be shown in a terminal and written into a page."""

from __future__ import annotations

from dataclasses import dataclass

from rich.table import Table as RichTable
from rich.text import Text


@dataclass(frozen=True, slots=True)
class Table:
    """Cells are texts; the first column is on the left, all others on the right."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def for_terminal(self) -> RichTable:
        """As rich shows it."""
        table = RichTable(
            title=self.title,
            title_justify="left",
            box=None,
            header_style="bold",
            caption=self.note or None,
            caption_justify="left",
        )
        for number, heading in enumerate(self.headings):
            table.add_column(heading, justify="right" if number else "left")
        for row in self.rows:
            table.add_row(*map(Text, row))
        return table

    def for_page(self) -> str:
        """As Markdown."""
        marks = ["---", *["--:"] * (len(self.headings) - 1)]
        lines = [f"**{self.title}**", ""]
        lines += [f"| {' | '.join(cells)} |" for cells in (self.headings, marks, *self.rows)]
        return "\n".join([*lines, *(["", self.note] if self.note else [])])
