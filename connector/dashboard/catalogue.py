"""The words of the pages in Vietnamese: found in code and templates, translated, compiled.

`python -m connector.dashboard.catalogue` brings `translations/vi` up to date: what is new has an
empty translation then, which a person writes; run it again to compile. A test fails while a word
lacks its translation or the compiled file is old. Nothing of this runs in the product.
"""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

HERE = Path(__file__).parent
FOLDER = HERE / "translations" / "vi" / "LC_MESSAGES"
PO, MO = FOLDER / "messages.po", FOLDER / "messages.mo"

_NO_DATE = datetime(2000, 1, 1, tzinfo=UTC)
_METHODS = [("templates/**.html", "jinja2"), ("**.py", "python")]
_KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2)}
_OPTIONS = {"templates/**.html": {"trimmed": "true"}}


def found() -> Catalog:
    """Every text of the pages, untranslated."""
    catalog = Catalog(project="connector", charset="utf-8")
    for file, _line, message, _comments, _context in extract_from_dir(
        str(HERE), _METHODS, _OPTIONS, keywords=_KEYWORDS
    ):
        flags = ["python-format"] if "%(" in str(message) else []
        catalog.add(message, locations=[(file, None)], flags=flags)  # type: ignore[list-item]
    return catalog


def translated() -> Catalog:
    """The translations as they stand in the file."""
    with PO.open("rb") as file:
        return read_po(file, locale="vi")


def compiled(catalog: Catalog) -> bytes:
    """What the pages read."""
    binary = io.BytesIO()
    catalog.creation_date = catalog.revision_date = _NO_DATE  # the same file whenever it is made
    write_mo(binary, catalog)
    return binary.getvalue()


def main() -> None:
    """Bring both files up to date."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    catalog = translated() if PO.exists() else Catalog(locale="vi", charset="utf-8")
    catalog.header_comment = "# The pages in Vietnamese; see connector/dashboard/catalogue.py"
    catalog.project, catalog.fuzzy = "connector", False
    catalog.update(found(), no_fuzzy_matching=True, update_header_comment=False)
    catalog.obsolete.clear()
    text = io.BytesIO()
    write_po(text, catalog, width=100, no_location=True, omit_header=False, sort_output=True)
    lines = text.getvalue().decode().splitlines(keepends=True)
    dated = ('"POT-Creation-Date', '"PO-Revision-Date', '"Last-Translator', '"Generated-By')
    PO.write_text("".join(line for line in lines if not line.startswith(dated)), encoding="utf-8")
    MO.write_bytes(compiled(translated()))


if __name__ == "__main__":
    main()
