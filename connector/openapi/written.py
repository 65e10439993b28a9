"""A proposal as lines of config.yaml, each with its reason above it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from connector.openapi.document import Spec
from connector.openapi.propose import Line, Proposal
from connector.yamlwrite import line as scalar_line
from connector.yamlwrite import to_yaml

_WIDTH = 98


def written(spec: Spec, target: str, lines: Iterable[Line], proposals: Sequence[Proposal]) -> str:
    """The whole proposal: what `connector config check` would take as `targets:`."""
    head = (
        f"Proposed from {spec.name}: {spec.title}. What an API documents is not always what it"
        f" does: `connector targets check {target}` finds that out."
    )
    out = [_comment(head, 0), "targets:\n", f"  {target}:\n"]
    out += [_lines(line, 4) for line in lines]
    out.append("    resources:\n")
    for proposal in proposals:
        out.append(f"      {proposal.name}:\n")
        out += [_comment(note, 8) for note in dict.fromkeys(proposal.notes)]
        out += [_lines(line, 8) for line in proposal.lines]
    return "".join(out)


def _lines(line: Line, indent: int) -> str:
    guess = "A guess: " if line.doubtful else ""
    why = _comment(guess + line.why, indent) if line.why else ""
    if isinstance(line.value, dict | list):
        return why + to_yaml({line.key: line.value}, indent)
    return f"{why}{' ' * indent}{scalar_line(line.key, line.value)}\n"


def _comment(text: str, indent: int) -> str:
    margin = " " * indent + "# "
    return (
        textwrap.fill(
            text,
            _WIDTH,
            initial_indent=margin,
            subsequent_indent=margin,
            break_long_words=False,
            break_on_hyphens=False,
        )
        + "\n"
    )
