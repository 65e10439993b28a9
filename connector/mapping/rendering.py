"""Changes as JSON: what `connector mappings try` prints (docs/commands.md) and tests compare.

Pure; others depend on the shapes, so they do not change.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from connector.model import Change, Delta, Json, Micros, Ref, Value, Whole

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def change_to_json(change: Change) -> dict[str, Json]:
    """A change with its fields as they would be sent; `write` names what is not `always`."""
    return {
        "action": change.action,
        "target": change.target,
        "resource": change.resource,
        "id": change.id,
        "version": version_to_json(change.version),
        "final": change.final,
        "fields": {name: value_to_json(value) for name, value in change.fields.items()},
        "write": dict(change.write),
    }


def version_to_json(version: Micros | None) -> str | None:
    """ISO 8601 in UTC with microseconds, ending in Z; None for the time of receipt."""
    if version is None:
        return None
    moment = _EPOCH + timedelta(microseconds=version)
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def value_to_json(value: Value) -> Json:
    """A field's value: a reference is `{ref, id}`, a whole set a list, a delta `{add, remove}`."""
    if isinstance(value, Ref):
        return {"ref": value.resource, "id": value.id}
    if isinstance(value, Whole):
        return list(value.items)
    if isinstance(value, Delta):
        parts = {"add": list(value.add), "remove": list(value.remove)}
        return {name: elements for name, elements in parts.items() if elements}
    return value
