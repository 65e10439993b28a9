"""`connector targets import`: from an OpenAPI file to a proposal, and to what the CRM knows.

Apart from `target_verbs`, so that the processes that run all day do not carry what one verb needs.
Writes the schemas beside config.yaml and, where it is asked for, the proposal; calls nobody.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from connector.errors import Invalid
from connector.model import Json
from connector.openapi.document import Spec, read
from connector.openapi.paths import Resource, choose, resources
from connector.openapi.propose import Line, Proposal, propose, target_lines
from connector.openapi.written import written
from connector.terminal import complain, err, print_json, print_problems, print_table, say
from connector.verbs import COULD_NOT_RUN, FOUND_WRONG, fail


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line says. `resources` are `NAME`, `NAME=SCHEMA` or `NAME=/path`."""

    resources: tuple[str, ...]
    target: str = "crm"
    output: Path | None = None
    only_fields: bool = False
    json: bool = False


def run(file: Path, wanted: Wanted) -> int:
    """Reads, proposes, prints; the exit code. Ends the process for what cannot be read."""
    try:
        spec = read(file)
    except Invalid as error:
        print_problems(error.problems, "bold red", "error", lines=False)
        return COULD_NOT_RUN
    if not wanted.resources:
        _say_resources(resources(spec), wanted.json)
        return 0
    if wanted.output and wanted.output.exists():
        fail(f"{wanted.output} exists already: name a new file, and take from it what suits")
    proposals, missing = _proposals(spec, wanted.resources)
    if not wanted.only_fields:
        folder = Path(os.environ.get("CONNECTOR_CONFIG", "config.yaml")).parent
        proposals = [_kept(folder, wanted.target, proposal) for proposal in proposals]
    lines = target_lines(spec, [proposal.resource for proposal in proposals])
    text = written(spec, wanted.target, lines, proposals) if proposals else ""
    for reference in sorted(spec.remote):
        complain(f"not followed: {reference}")
    for name in missing:
        found = ", ".join(each.word for each in resources(spec))
        complain(f"no path of {file} is about {name}: say --resource {name}=/path; it has {found}")
    _tell(wanted, proposals, text, missing)
    return FOUND_WRONG if missing else 0


def _proposals(spec: Spec, wanted: tuple[str, ...]) -> tuple[list[Proposal], list[str]]:
    """Those that were found, and the words of the command line that were not."""
    proposals: list[Proposal] = []
    missing: list[str] = []
    for said in wanted:
        name, _, hint = said.partition("=")
        resource = choose(spec, name, hint or None)
        if resource is None:
            missing.append(said)
        else:
            proposals.append(propose(spec, name, resource))
    return proposals, missing


def _kept(folder: Path, target: str, proposal: Proposal) -> Proposal:
    """Writes what the CRM knows of the resource, and names the file in the proposal."""
    if not proposal.known.fields:
        return proposal
    name = f"schemas/{quote(target, safe='')}.{quote(proposal.name, safe='')}.json"
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(proposal.known.written(), encoding="utf-8")
    err.print(f"{file}: what the CRM knows of {proposal.name}", style="dim")
    why = f"the {len(proposal.known.fields)} fields that the CRM knows, for `mappings check`"
    return replace(proposal, lines=(*proposal.lines, Line("schema", name, why)))


# --- how it is said


def _tell(wanted: Wanted, proposals: Sequence[Proposal], text: str, missing: list[str]) -> None:
    if wanted.json:
        print_json(
            {
                "target": wanted.target,
                "yaml": text or None,
                "resources": [_proposal_json(proposal) for proposal in proposals],
                "missing": missing,
            }
        )
    elif wanted.only_fields:
        for proposal in proposals:
            print_table(["field", "type", ""], proposal.known.rows(), title=proposal.name)
    elif text and wanted.output:
        wanted.output.write_text(text, encoding="utf-8")
        say(f"{wanted.output} is written")
    else:
        sys.stdout.write(text)


def _proposal_json(proposal: Proposal) -> dict[str, Json]:
    known = proposal.known
    return {
        "name": proposal.name,
        "path": proposal.resource.collection,
        "config": proposal.config,
        "reasons": [
            {"key": line.key, "why": line.why, "doubtful": line.doubtful} for line in proposal.lines
        ],
        "notes": list(dict.fromkeys(proposal.notes)),
        "fields": [
            {"name": name, "required": name in known.required, **schema}
            for name, schema in known.fields.items()
        ],
    }


def _say_resources(found: Sequence[Resource], json_: bool) -> None:
    rows = [
        (each.word, each.collection, sorted(each.of_many), each.item or "", sorted(each.of_one))
        for each in found
    ]
    if json_:
        keys = ("name", "path", "methods", "item", "item_methods")
        print_json({"resources": [dict(zip(keys, row, strict=True)) for row in rows]})
        return
    print_table(
        ["resource", "path", "", "one record", ""],
        ((w, c, ", ".join(m), i, ", ".join(o)) for w, c, m, i, o in rows),
    )
