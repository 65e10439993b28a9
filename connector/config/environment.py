"""Puts the environment into the values of config.yaml.

`${NAME}` is a variable, `${NAME:-default}` one that may be missing or empty; `$${` is a literal
`${`. Both stand in values and in keys. The substitution comes after parsing, so no variable can
change the structure of the file; a value that is nothing but one placeholder is read as a YAML
scalar, so that `timeout: ${T}` is a number.

What comes out is the tree of the document with a `Scalar` for every leaf: its meaning, its text
as written, and which variables it came from, because what comes from a variable is never shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from connector.model import Json, Place, Problem
from connector.yamltext import Document, Path, read_scalar

Tree: TypeAlias = "dict[str, Tree] | list[Tree] | Scalar"

_PLACEHOLDER = re.compile(
    r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^{}]*))?\}|\$\{[^}]*\}?"
)


@dataclass(frozen=True, slots=True)
class Scalar:
    """One leaf. `variables`: where its text came from; `missing`: it could not be worked out."""

    value: Json = field(repr=False)
    text: str = field(repr=False)
    variables: tuple[str, ...] = ()
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Substituted:
    """A document with the environment in it. Paths name keys as they are after substitution."""

    tree: Tree
    problems: tuple[Problem, ...]
    _document: Document
    _written: Mapping[Path, Path]

    def written(self, path: Path) -> Path:
        """The path with its keys as they stand in the file."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._written:
                return (*self._written[path[:length]], *path[length:])
        return path

    def key(self, path: Path) -> Place:
        return self._document.places.key(self.written(path))

    def value(self, path: Path, offset: int | None = None) -> Place:
        """The place of the value, or of a character of its text if it holds no variables."""
        written = self.written(path)
        if offset is None or "${" in (self._document.places.text(written) or ""):
            return self._document.places.value(written)
        return self._document.places.inside(written, offset)


def plain(tree: Tree) -> Json:
    """The tree as data, each scalar by its meaning."""
    if isinstance(tree, dict):
        return {key: plain(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [plain(item) for item in tree]
    return tree.value


def substitute(document: Document, environ: Mapping[str, str]) -> Substituted:
    """The document with the variables of `environ` put in, and what was wrong with it.

    A leaf whose variable is missing is told once and is then a Scalar that is `missing`.
    """
    work = _Work(document, environ)
    tree = work.walk(document.data, (), ())
    return Substituted(tree, tuple(work.problems), document, work.written)


class _Work:
    def __init__(self, document: Document, environ: Mapping[str, str]) -> None:
        self.places = document.places
        self.environ = environ
        self.problems: list[Problem] = []
        self.written: dict[Path, Path] = {}

    def walk(self, data: Json, path: Path, written: Path) -> Tree:
        self.written[path] = written
        if isinstance(data, list):
            return [self.walk(item, (*path, n), (*written, n)) for n, item in enumerate(data)]
        if isinstance(data, dict):
            return self._map(data, path, written)
        return self._scalar(data, written)

    def _map(self, data: dict[str, Json], path: Path, written: Path) -> Tree:
        result: dict[str, Tree] = {}
        for written_key, value in data.items():
            here = (*written, written_key)
            filled = self._fill(written_key, here, in_key=True)
            if filled is None:
                continue
            key = filled[0]
            if key in result:
                first = self.places.key(self.written[(*path, key)])
                self.problems.append(
                    Problem(
                        f"duplicate key {written_key}, once its variables are in",
                        f"it stands in line {first.line} already",
                        self.places.key(here),
                    )
                )
                continue
            result[key] = self.walk(value, (*path, key), here)
        return result

    def _scalar(self, data: Json, written: Path) -> Scalar:
        text = self.places.text(written) or ""
        if not isinstance(data, str) or "${" not in text:
            return Scalar(data, text)
        filled = self._fill(text, written)
        if filled is None:
            return Scalar(None, "", missing=True)
        result, variables = filled
        whole = _PLACEHOLDER.fullmatch(text)
        if not (whole and whole["name"]):
            return Scalar(result, result, variables)
        try:
            meaning = read_scalar(result.strip())
        except ValueError:
            meaning = result
        return Scalar(result if isinstance(meaning, str) else meaning, result, variables)

    def _fill(
        self, text: str, written: Path, *, in_key: bool = False
    ) -> tuple[str, tuple[str, ...]] | None:
        """The text with its placeholders filled in and their names; None where one cannot be."""
        parts: list[str] = []
        names: list[str] = []
        wrong = False
        end = 0
        for match in _PLACEHOLDER.finditer(text):
            parts.append(text[end : match.start()])
            end = match.end()
            if match[0] == "$${":
                parts.append("${")
                continue
            name = match["name"]
            problem = None
            if name is None:
                problem = (
                    "a ${ that begins no placeholder",
                    "write ${NAME} or ${NAME:-default}; $${ stands for a literal ${",
                )
            elif match["default"] is not None:
                names.append(name)
                parts.append(self.environ.get(name) or match["default"])
            elif name in self.environ:
                names.append(name)
                parts.append(self.environ[name])
            else:
                problem = (
                    f"the environment variable {name} is not set",
                    f"set it, or give a default: ${{{name}:-…}}",
                )
            if problem:
                wrong = True
                place = (
                    self.places.key(written)
                    if in_key
                    else self.places.inside(written, match.start())
                )
                self.problems.append(Problem(*problem, place))
        if wrong:
            return None
        return "".join([*parts, text[end:]]), tuple(names)
