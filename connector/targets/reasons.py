"""An answer in one line for a person, and what makes two refusals the same. Pure.

A reason holds what the CRM says, so it may quote a value of the record: it is for dead letters and
their pages, not for logs. Secrets are masked by whoever keeps it (`masking`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from http import HTTPStatus

from connector.model import Json
from connector.targets.http import Answer

LONGEST = 300
"""Characters of a message that are kept."""


def said(answer: Answer) -> str:
    """`422 Unprocessable Entity`."""
    return f"{answer.status} {answer.phrase or _phrase(answer.status)}".strip()


def refusal(answer: Answer, remark: str = "") -> str:
    """`422 Unprocessable Entity: email: not a valid address`, with our own remark before it."""
    return ": ".join(part for part in (said(answer), remark, message_in(answer.data)) if part)


def redirect(answer: Answer) -> str:
    """`302 Found: sent to https://sso.example/login`, without what may be secret in the address:
    user, query, fragment."""
    location = answer.headers.get("Location")
    if not location:
        return f"{said(answer)}: sent nowhere (no Location)"
    bare = re.split(r"[?#]", location, maxsplit=1)[0]
    return f"{said(answer)}: sent to " + re.sub(r"^([A-Za-z][\w+.-]*:)?//[^/@]*@", r"\1//", bare)


def likeness(status: int | None, answer: Json) -> str:
    """What two refusals have in common when they are the same one: status and answer, without
    digits and quoted texts (docs/answers.md)."""
    return f"{status} " + " ".join(_VARYING.sub("", word) for word in _words(answer))


_VARYING = re.compile(r"""\d+|"[^"]*"|(?<!\w)'[^']*'(?!\w)|`[^`]*`|“[^”]*”|‘[^’]*’|«[^»]*»""")

_MESSAGE_KEYS = (
    "message",
    "detail",
    "error_description",
    "description",
    "title",
    "msg",
    "reason",
    "value",
)
_LIST_KEYS = ("errors", "error", "details", "detail", "violations", "messages", "fault")
_FIELD_KEYS = ("field", "path", "loc", "property", "attribute", "param", "pointer", "source")


def message_in(data: Json) -> str:
    """What an error answer says, on one line of at most 300 characters; '' where it says nothing.

    Looks where APIs put it: `message`, `error.message`, `errors[0].message`, `detail`, and maps of
    field to messages.
    """
    if isinstance(data, str) and data.lstrip().startswith("<"):
        title = re.search(r"<title[^>]*>([^<]+)", data, re.IGNORECASE)
        data = title[1] if title else ""
    folded = " ".join(_message(data).split())
    return folded if len(folded) <= LONGEST else folded[: LONGEST - 1] + "…"


def _message(data: Json, depth: int = 0) -> str:
    if isinstance(data, str):
        return data
    if depth > 4 or not isinstance(data, dict | list):
        return ""
    if isinstance(data, list):
        return "; ".join(said for said in (_message(i, depth + 1) for i in data[:3]) if said)
    main = next((said for key in _MESSAGE_KEYS if (said := _text(data.get(key)))), "")
    more = next(
        (
            said
            for key in _LIST_KEYS
            if (said := _listed(data.get(key), depth + 1)) and said != main
        ),
        "",
    )
    if main and more and (main in more or more in main):
        main, more = max(main, more, key=len), ""
    where = next((w for key in _FIELD_KEYS if (w := _where(data.get(key)))), "") if depth else ""
    nested = "" if main or more else _message(data.get("message"), depth + 1)
    return ": ".join(part for part in (where, main, more or nested) if part)


def _text(value: Json) -> str:
    return value.strip() if isinstance(value, str) else ""


def _listed(value: Json, depth: int) -> str:
    """What stands under `errors` or the like: a message, several, or a map of field to messages."""
    said = _message(value, depth)
    if said or not isinstance(value, dict):
        return said
    pairs = ((field, _message(inner, depth + 1)) for field, inner in list(value.items())[:3])
    return "; ".join(f"{field}: {inner}" for field, inner in pairs if inner)


def _where(value: Json) -> str:
    """The field that an error names: `email`, `["body", "email"]`, `{"pointer": "/data/email"}`."""
    if isinstance(value, list):
        return ".".join(str(part) for part in value if isinstance(part, str | int))
    if isinstance(value, dict):
        return _text(value.get("pointer") or value.get("parameter"))
    return _text(value)


def _words(answer: Json) -> Iterator[str]:
    """Keys and texts of an answer in their order; numbers vary and are left out."""
    if isinstance(answer, dict):
        for key, value in answer.items():
            yield key
            yield from _words(value)
    elif isinstance(answer, list):
        for item in answer:
            yield from _words(item)
    elif isinstance(answer, str):
        yield answer
    elif answer is None or isinstance(answer, bool):
        yield str(answer)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
