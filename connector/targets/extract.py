"""JMESPath into what a CRM answered: ids, truth. Pure; never raises for an answer.

An expression that a value does not suit (a function that wants text and meets a number) finds
nothing, as if the value were absent: the answer is the CRM's, the configuration has been checked.
"""

from __future__ import annotations

from jmespath.exceptions import JMESPathError

from connector.config.model import Expression
from connector.model import Json
from connector.targets.template import text


def find(expression: Expression, data: Json) -> Json:
    """What the expression finds in `data`, else None."""
    try:
        return expression.search(data)
    except (JMESPathError, TypeError, AttributeError):
        return None


def holds(expression: Expression, data: Json) -> bool:
    """Whether it finds something true: as in JMESPath, but 0 is false, as in a mapping."""
    return find(expression, data) not in (None, False, 0, "", [], {})


def find_id(expression: Expression, data: Json) -> str | int | None:
    """A record's own id in an answer: text or a whole number, not empty; else None."""
    found = find(expression, data)
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
        return None
    return found


def find_text(expression: Expression, data: Json) -> str | None:
    """What it finds, as text; None where it finds nothing."""
    found = find(expression, data)
    return None if found is None else text(found)
