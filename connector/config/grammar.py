"""The texts of config.yaml that have a form of their own, and what can be wrong with one.

JMESPath expressions, templates, addresses, places in a record, rates, names. Pure functions over
text: they say what is wrong as an `Issue`, whose path and place somebody else knows.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import jmespath
from jmespath import exceptions as jmespath_errors
from jmespath.functions import Functions

from connector.config.model import RateLimit, Step
from connector.model import Json
from connector.problems import did_you_mean, nearest
from connector.yamltext import read_scalar


@dataclass(frozen=True, slots=True)
class Issue:
    """Something wrong with a value (or with its key), before its place is known.

    `offset`: the character of the text that it is about, counted from 0.
    """

    message: str
    hint: str = ""
    at_key: bool = False
    offset: int | None = None


# --- JMESPath


def expression_issue(text: str) -> Issue | None:
    """What is wrong with a JMESPath expression, or None."""
    try:
        parsed = jmespath.compile(text).parsed
        return next(_wrong_functions(parsed, text), None)
    except jmespath_errors.EmptyExpressionError:
        return Issue("an empty JMESPath expression", "'@' is the whole answer")
    except jmespath_errors.LexerError as error:
        return Issue(
            f"not JMESPath: {str(error.message).lower()}",
            "a name with other characters than letters, digits and _ stands in double quotes",
            offset=error.lexer_position,
        )
    except jmespath_errors.ParseError as error:
        position = error.lex_position
        what = f"{error.token_value!r} does not fit here" if error.token_value else "it ends early"
        return Issue(f"not JMESPath: {what}", offset=position)
    except (jmespath_errors.JMESPathError, ValueError, RecursionError):
        return Issue("not JMESPath")


def _wrong_functions(node: Any, text: str) -> Iterator[Issue]:
    if not isinstance(node, dict):
        return
    if node.get("type") == "function_expression":
        name = node["value"]
        offset = max(text.find(f"{name}("), 0)
        known = Functions.FUNCTION_TABLE
        if name not in known:
            yield Issue(f"unknown function {name}()", did_you_mean(name, known), offset=offset)
        else:
            signature = known[name]["signature"]
            count = len(node["children"])
            variadic = bool(signature and signature[-1].get("variadic"))
            if count < len(signature) or (count > len(signature) and not variadic):
                more = " or more" if variadic else ""
                yield Issue(f"{name}() takes {len(signature)}{more}, not {count}", offset=offset)
    for child in node.get("children", ()):
        yield from _wrong_functions(child, text)


# --- templates

PLACEHOLDERS = ("external_id", "crm_id", "resource", "fields", "value", "token", "records")
PLACEHOLDER = re.compile(r"(?P<dollar>\$?)\{(?P<word>[a-z][a-z0-9_]*)\}")
"""A word in braces. One that is no placeholder is an error, unless a `$` stands before it."""


def mentions(data: Json, word: str) -> bool:
    """Whether a template holds the placeholder."""
    if isinstance(data, str):
        return f"{{{word}}}" in data
    if isinstance(data, Mapping):
        return any(mentions(key, word) or mentions(item, word) for key, item in data.items())
    return isinstance(data, (list, tuple)) and any(mentions(item, word) for item in data)


def is_placeholder(text: str) -> bool:
    """Whether the text is one placeholder and nothing else."""
    match = PLACEHOLDER.fullmatch(text)
    return match is not None and not match["dollar"] and match["word"] in PLACEHOLDERS


def template_issues(text: str, allows: Sequence[str]) -> Iterator[Issue]:
    """Unknown placeholders of a text, and known ones that mean nothing where it stands."""
    usable = ", ".join(f"{{{name}}}" for name in allows) or "none"
    for match in PLACEHOLDER.finditer(text):
        word = match["word"]
        if word in allows or (match["dollar"] and word not in PLACEHOLDERS):
            continue
        offset = match.start() + len(match["dollar"])
        if word in PLACEHOLDERS:
            yield Issue(f"{{{word}}} has no meaning here", f"usable here: {usable}", offset=offset)
            continue
        close = nearest(word, allows)
        hint = f"did you mean {{{close}}}?" if close else f"usable here: {usable}"
        yield Issue(f"unknown placeholder {{{word}}}", hint, offset=offset)


# --- rates

_UNITS = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1),
    **dict.fromkeys(("min", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86400),
}
_RATE = re.compile(
    r"\s*(?P<count>[0-9]+)\s*/\s*(?:(?P<times>[0-9]+(?:\.[0-9]+)?)\s*)?(?P<unit>[a-z]+)\s*"
)


def parse_rate(text: str) -> RateLimit | None:
    """`20/second`, `100/10 seconds`; None for anything else."""
    match = _RATE.fullmatch(text)
    if not match or match["unit"] not in _UNITS:
        return None
    count = int(match["count"])
    seconds = _UNITS[match["unit"]] * float(match["times"] or 1)
    return RateLimit(count, seconds) if count and seconds else None


# --- addresses


def address_issue(text: str, schemes: Sequence[str]) -> Issue | None:
    """What is wrong with an address. The message does not hold it."""
    wanted = f"it begins with {' or '.join(f'{scheme}://' for scheme in schemes)}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return Issue("no address that can be read", wanted)
    if parts.scheme not in schemes or "://" not in text:
        return Issue("no address of the right kind", wanted)
    if parts.scheme in ("http", "https") and not parts.hostname:
        return Issue("an address without a host", wanted)
    if re.search(r"[\s\x00-\x1f]", text) or port == 0:
        return Issue("no address that can be read", "no blanks, and a port from 1 to 65535")
    return None


def text_of_secret_issue(text: str, *, in_header: bool) -> Issue | None:
    """What no secret holds but by accident; the message goes on from what it is about."""
    if re.search(r"[\r\n\x00]", text):
        return Issue("holds a line break", "was it read from a file? Give it without")
    return header_text_issue(text) if in_header else None


def header_text_issue(text: str) -> Issue | None:
    """A character that HTTP carries in no header (RFC 9110 section 5.5)."""
    if all(ord(character) < 256 for character in text):
        return None
    return Issue(
        "holds a character that no header can carry", "letters of ASCII and signs are safe"
    )


def base_issue(text: str) -> Issue | None:
    """What a base address must not hold besides: credentials, a query, a fragment, a template."""
    parts = urlsplit(text)
    if re.search(r"[{}]", text):
        return Issue("an address with braces", "placeholders such as {resource} go into each path")
    if parts.username or parts.password:
        return Issue("an address with credentials", "give them under auth: {type: basic, …}")
    if parts.query or parts.fragment:
        return Issue(
            "an address with a query or fragment",
            "give the query under each call, or a key as auth: {type: query, …}",
        )
    return None


# --- places in a record

_STEP = re.compile(r'\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<name>[^."\[\]\s][^."\[\]]*))')
_SELECTOR = re.compile(
    r'\[\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<name>[^="\[\]]+?))\s*=\s*'
    r'(?:"(?P<text>(?:[^"\\]|\\.)*)"|(?P<value>[^"\[\]]*?))\s*\]'
)


class PlaceUnreadable(ValueError):
    """A place in a record that cannot be read, from `offset` on."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"unreadable from character {offset}")
        self.offset = offset


def parse_at(text: str) -> tuple[Step, ...]:
    """The steps to a place in a record. Raises PlaceUnreadable."""
    steps: list[Step] = []
    index = 0
    while True:
        step = _STEP.match(text, index)
        if not step:
            raise PlaceUnreadable(index)
        index = step.end()
        name = _unquoted(step["quoted"], step["name"], index)
        selector = _SELECTOR.match(text, index)
        where = None
        if selector:
            key = _unquoted(selector["quoted"], selector["name"], index)
            given = selector["text"]
            where = (
                (key, read_scalar(selector["value"]))
                if given is None
                else (key, _unquoted(given, "", index))
            )
            index = selector.end()
        steps.append(Step(name, where))
        if not text[index:].strip():
            return tuple(steps)
        if text[index] != ".":
            raise PlaceUnreadable(index)
        index += 1


def _unquoted(quoted: str | None, bare: str | None, offset: int) -> str:
    if quoted is None:
        return (bare or "").strip()
    try:
        return str(json.loads(f'"{quoted}"'))
    except ValueError:
        raise PlaceUnreadable(offset) from None


# --- names

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "MERGE", "QUERY", "SEARCH")


def name_issue(name: str) -> Issue | None:
    """Names of sources and targets: they stand in addresses and on command lines."""
    if _NAME.fullmatch(name):
        return None
    return Issue("not usable as a name", "letters, digits, _ - and . only", at_key=True)


def user_name_issue(name: str) -> Issue | None:
    """Names of people: letters of any script, or an e-mail address."""
    if re.fullmatch(r"[\w.@+-]{1,64}", name):
        return None
    return Issue("not usable as a name", "letters, digits, _ - . + and @ only", at_key=True)


def password_hash_issue(text: str) -> Issue | None:
    """A hash in the PHC string format of argon2 (argon2 specification, section "Encoded hash")."""
    parts = r"\$argon2(?:id|i|d)\$v=\d+\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+"
    if re.fullmatch(parts, text):
        return None
    return Issue("not the hash of a password", "`connector user hash` makes one")


def resource_name_issue(name: str) -> Issue | None:
    """Names of resources: as `name_issue`, with letters of any script."""
    if name and not re.search(r"[\s/{}]", name):
        return None
    return Issue("not usable as a name", "no blanks, / or braces", at_key=True)


def not_empty_issue(text: str) -> Issue | None:
    return None if text.strip() else Issue("empty")


def header_name_issue(name: str) -> Issue | None:
    """RFC 9110 section 5.1."""
    return None if _TOKEN.fullmatch(name) else Issue("not the name of an HTTP header")


def cookie_name_issue(name: str) -> Issue | None:
    """RFC 6265 section 4.1.1; `*` is every one."""
    return None if _TOKEN.fullmatch(name) else Issue("not the name of a cookie")


def pattern_issue(pattern: str) -> Issue | None:
    """A regular expression that finds something: it has a group."""
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        return Issue(f"no regular expression: {error}")
    return None if groups else Issue("without a group", 'e.g. name="csrf" value="([^"]+)"')


def secret_issue(secret: str, how: str) -> bool:
    """Whether a secret cannot be read as `hex` or `base64`."""
    try:
        if how == "hex":
            bytes.fromhex(secret)
        if how == "base64":
            base64.b64decode(secret, validate=True)
    except ValueError:
        return True
    return False


def header_key_issue(name: str) -> Issue | None:
    issue = header_name_issue(name)
    return issue and Issue(issue.message, issue.hint, at_key=True)


def method_issue(text: str) -> Issue | None:
    if text.upper() in METHODS:
        return None
    return Issue("not an HTTP method", did_you_mean(text.upper(), METHODS))
