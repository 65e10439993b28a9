"""Plain data as YAML 1.2, in the manner of the mapping files: what `yamltext` reads back the same.

Text that YAML 1.2 or an older reader would take for something else stands in quotes; lists and maps
of nothing but scalars stand on one line. Used where the connector writes lines for a person's file.
"""

from __future__ import annotations

from typing import Any

import yaml

from connector.model import Json
from connector.yamltext import read_scalar

WIDTH = 100
"""Characters of a line, where it can be broken."""

_LONGEST_KEY = 150  # characters; escaped, they stay below the 1024 that YAML allows
_LINE_BREAKS = frozenset("\n\r\x85\u2028\u2029")


def to_yaml(data: Json, indent: int = 0) -> str:
    """Data as a block of lines, each indented by so many blanks; ends with a line break."""
    text: str = yaml.dump(
        data,
        Dumper=_Dumper,
        allow_unicode=True,
        sort_keys=False,
        default_flow_style=None,
        width=WIDTH - indent,
    )
    lines = text.splitlines(keepends=True)
    return "".join(f"{' ' * indent}{each}" if each.strip() else each for each in lines)


def line(key: str, value: Json) -> str:
    """`key: value` on one line, as it would stand in a block."""
    text: str = yaml.dump({key: value}, Dumper=_Dumper, allow_unicode=True, width=10**6)
    return text.rstrip("\n")


class _Dumper(yaml.SafeDumper):
    """PyYAML's, with lists indented below their key and no anchors."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        return super().increase_indent(flow, False)

    def check_simple_key(self) -> bool:
        """Keys stand before their colon, empty ones and those with line breaks (escaped) too."""
        simple: bool = super().check_simple_key()
        key = self.event
        return simple or (isinstance(key, yaml.ScalarEvent) and len(key.value) < _LONGEST_KEY)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """A text; in double quotes where YAML 1.2 would read it as a number, or it has line breaks."""
    needs = bool(_LINE_BREAKS.intersection(text)) or _means_more(text)
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if needs else None)


def _means_more(text: str) -> bool:
    try:
        return not isinstance(read_scalar(text), str)
    except ValueError:
        return True


_Dumper.add_representer(str, _text)
