"""What a probe found, what it means for the connector, and the configuration that suits it.

Plain data. `suits` is about the configuration in force: True, False, or None where there is nothing
to be right or wrong. `advice` are keys of the target or of the resource, as config.yaml has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from connector.model import Json
from connector.yamlwrite import line, to_yaml

Scope: TypeAlias = Literal["target", "resource"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`seconds` is how long the probe took, waiting included."""

    probe: str
    found: str
    meaning: str
    suits: bool | None = None
    advice: Mapping[str, Json] = field(default_factory=dict)
    scope: Scope = "resource"
    seconds: float = 0.0

    @property
    def config(self) -> str | None:
        """The lines of configuration that suit; None where none are needed."""
        lines = (_lines(key, value) for key, value in self.advice.items())
        return "\n".join(lines) or None

    def to_json(self) -> dict[str, Json]:
        """The shape that `--json` prints."""
        return {
            "probe": self.probe,
            "found": self.found,
            "meaning": self.meaning,
            "suits": self.suits,
            "config": self.config,
            "scope": self.scope if self.advice else None,
            "seconds": round(self.seconds, 4),
        }


def _lines(key: str, value: Json) -> str:
    if isinstance(value, dict | list):
        return to_yaml({key: value}).rstrip("\n")
    return line(key, value)


@dataclass(frozen=True, slots=True)
class Left:
    """A scratch row that may still be in the CRM. `crm_id` is the CRM's own id, where known."""

    resource: str
    id: str
    crm_id: str | int | None
    why: str

    def to_json(self) -> dict[str, Json]:
        """The shape that `--json` prints."""
        return {"resource": self.resource, "id": self.id, "crm_id": self.crm_id, "why": self.why}


@dataclass(frozen=True, slots=True)
class Report:
    """Everything about one run. `stopped`: why the probes did not go to their end, if they did not.

    `ran` is False where nothing could be found out: nobody answered, or somebody pressed Ctrl-C.
    """

    target: str
    resource: str
    findings: tuple[Finding, ...]
    left_behind: tuple[Left, ...]
    stopped: str = ""
    ran: bool = True

    @property
    def suits(self) -> bool:
        """Whether the configuration in force is right for all that was found."""
        return not self.left_behind and not any(f.suits is False for f in self.findings)

    def to_json(self) -> dict[str, Json]:
        """The shape that `--json` prints."""
        return {
            "target": self.target,
            "resource": self.resource,
            "findings": [finding.to_json() for finding in self.findings],
            "left_behind": [left.to_json() for left in self.left_behind],
            "stopped": self.stopped or None,
            "config": better(self) or None,
        }


def better(report: Report) -> str:
    """All advice that the configuration in force does not follow yet, as lines of config.yaml."""
    wanted = [f for f in report.findings if f.advice and f.suits is False]
    target = _merged(f.advice for f in wanted if f.scope == "target")
    resource = _merged(f.advice for f in wanted if f.scope == "resource")
    if resource:
        target["resources"] = {report.resource: resource}
    return to_yaml({"targets": {report.target: target}}) if target else ""


def _merged(advices: Iterable[Mapping[str, Json]]) -> dict[str, Json]:
    """One map; lists of the same key are joined, of anything else the first counts."""
    merged: dict[str, Json] = {}
    for advice in advices:
        for key, value in advice.items():
            if key not in merged or key == "upsert":  # each is whole, and has those before it
                merged[key] = value
            elif isinstance(value, list) and isinstance(merged[key], list):
                merged[key] = [*merged[key], *(v for v in value if v not in merged[key])]
    return merged
