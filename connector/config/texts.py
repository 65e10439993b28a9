"""Kinds of value that are texts with a form of their own: expressions, templates, addresses, …

The forms themselves, and what can be wrong with them, are in `grammar`; here they are fields of
the schema, which know whether what they hold may be shown.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Sequence
from typing import Any

from marshmallow import ValidationError

from connector.config.environment import Scalar, Tree, plain
from connector.config.fields import Key, SecretText, empty_variables, found, wrong
from connector.config.grammar import (
    Issue,
    PlaceUnreadable,
    address_issue,
    base_issue,
    expression_issue,
    header_text_issue,
    is_placeholder,
    parse_at,
    parse_rate,
    password_hash_issue,
    template_issues,
)
from connector.config.model import Expression, RateLimit, Secret, Step, Url
from connector.model import Json
from connector.problems import nearest


class PasswordHash(SecretText):
    """A password as argon2 leaves it; the password itself must not stand here."""

    wants = "the hash of a password"

    def read(self, value: Tree) -> Secret:
        text = super().read(value)
        if issue := password_hash_issue(text):
            where = found(value, secret=True) if isinstance(value, Scalar) else "this"
            raise wrong(f"{where} is {issue.message}", issue.hint)
        return text


class Jmespath(Key):
    """A JMESPath expression, compiled; only the functions of JMESPath itself."""

    wants = "a JMESPath expression"

    def read(self, value: Tree) -> Expression:
        if not isinstance(value, Scalar) or not isinstance(value.value, str):
            raise self.unfit(value)
        if issue := expression_issue(value.text):
            if value.variables:
                issue = Issue(f"{found(value)} is no JMESPath expression")
            raise ValidationError([issue])
        return Expression(value.text)


class Etag(Jmespath):
    """none, header, or where it stands in a record."""

    wants = "none, header or a JMESPath expression"

    def read(self, value: Tree) -> Any:
        if isinstance(value, Scalar) and value.text in ("none", "header"):
            return None if value.text == "none" else "header"
        return super().read(value)


class Template(Key):
    """Text or data with placeholders, of which `allows` names those that mean something here.

    Where none do, or it is `sealed`, what came from a variable is no template: a password may hold
    braces. What is `private` is not shown, not even a word of it.
    """

    wants = "text or data"

    def __init__(
        self,
        description: str,
        allows: Sequence[str] = (),
        *,
        private: bool = False,
        sealed: bool = False,
        **more: Any,
    ) -> None:
        super().__init__(description, metadata={"placeholders": tuple(allows)}, **more)
        self.allows = tuple(allows)
        self.private = private
        self.sealed = sealed or not allows

    def read(self, value: Tree) -> Json:
        if errors := self._errors(value):
            raise ValidationError(errors)
        return plain(value)

    def _errors(self, tree: Tree) -> Any:
        """The error tree: a list of issues for a leaf, a dict for what holds leaves."""
        if isinstance(tree, Scalar):
            return self._leaf(tree)
        errors: dict[str | int, Any] = {}
        for key, item in tree.items() if isinstance(tree, dict) else enumerate(tree):
            if key == "**" and not (isinstance(item, Scalar) and is_placeholder(item.text)):
                errors[key] = [Issue("** merges one placeholder", 'write "**": "{fields}"')]
            elif inner := self._errors(item):
                errors[key] = inner
            elif isinstance(key, str) and (issues := list(template_issues(key, self.allows))):
                errors[key] = [Issue(issue.message, issue.hint, at_key=True) for issue in issues]
        return errors

    def _leaf(self, scalar: Scalar) -> list[Issue]:
        if not isinstance(scalar.value, str) or (scalar.variables and self.sealed):
            return []
        issues = list(template_issues(scalar.text, self.allows))
        if issues and (scalar.variables or self.private):
            what = found(scalar, secret=self.private)
            return [Issue(f"{what} holds a word in braces that is no placeholder here")]
        return issues


class TextTemplate(Template):
    """Text with placeholders."""

    wants = "text"

    def read(self, value: Tree) -> Any:
        if not isinstance(value, Scalar):
            raise self.unfit(value)
        super().read(value)
        return value.text


_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class PathText(TextTemplate):
    """The path of a call; begins with a slash, or is empty."""

    def __init__(self, *given: Any, whole_url: bool = False, **more: Any) -> None:
        super().__init__(*given, **more)
        self.whole_url = whole_url

    def read(self, value: Tree) -> str:
        path = str(super().read(value)).strip()
        if _SCHEME.match(path):
            shown = found(value, secret=self.private)
            if not self.whole_url:
                raise wrong(f"{shown} is a whole address", "a path goes after base_url")
            if issue := address_issue(path, ("https", "http")):
                raise wrong(f"{shown} is {issue.message}", issue.hint)
            return path
        return path if path.startswith(("/", "?")) or not path else f"/{path}"


class Header(TextTemplate):
    """The value of an HTTP header; shown in no repr, for it may be a key."""

    def __init__(self, description: str, allows: Sequence[str] = (), **more: Any) -> None:
        super().__init__(description, allows, private=True, **more)

    def _null(self, value: Scalar) -> Any:
        if value.variables:
            raise wrong(empty_variables(value))
        return super()._null(value)

    def read(self, value: Tree) -> Secret:
        if isinstance(value, Scalar) and re.search(r"[\r\n\x00]", value.text):
            raise wrong("a line break in a header")
        if isinstance(value, Scalar) and (issue := header_text_issue(value.text)):
            raise wrong(f"{found(value, secret=True)} {issue.message}", issue.hint)
        if isinstance(value, Scalar) and value.variables and not value.text.strip():
            raise wrong(empty_variables(value))
        return Secret(super().read(value))


class Rate(Key):
    """How many calls in how long."""

    wants = "a rate such as 20/second or 100/10 seconds"

    def read(self, value: Tree) -> RateLimit:
        rate = parse_rate(value.text) if isinstance(value, Scalar) else None
        if rate is None:
            raise self.unfit(value, "the unit is second, minute, hour or day")
        return rate


class Zone(Key):
    """A time zone of the IANA database."""

    wants = "a time zone such as Asia/Ho_Chi_Minh"

    def read(self, value: Tree) -> zoneinfo.ZoneInfo:
        if not isinstance(value, Scalar):
            raise self.unfit(value)
        try:
            return zoneinfo.ZoneInfo(value.text)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            known = sorted(zoneinfo.available_timezones())
            close = None if value.variables else nearest(value.text, known)
            raise self.unfit(value, f"did you mean {close!r}?" if close else "") from None


class Address(Key):
    """A URL of one of some schemes; a password in it is never shown."""

    def __init__(
        self, description: str, schemes: Sequence[str], *, base: bool = False, **more: Any
    ) -> None:
        super().__init__(description, **more)
        self.schemes = tuple(schemes)
        self.base = base
        self.wants = f"an address that begins with {' or '.join(f'{s}://' for s in schemes)}"

    def read(self, value: Tree) -> Url:
        if not isinstance(value, Scalar):
            raise self.unfit(value)
        text = value.text.strip()
        issue = address_issue(text, self.schemes)
        if issue is None and self.base:
            issue = base_issue(text)
        if issue:
            private = "@" in text or "?" in text
            raise wrong(f"{found(value, secret=private)} is {issue.message}", issue.hint)
        return Url(text.rstrip("/") if self.base else text)


class At(Key):
    """A place in a record: `status_id`, `a.b`, `custom_fields[id=4].value`, `"odd.name"`."""

    wants = "a place such as a.b or custom_fields[id=4].value"

    def read(self, value: Tree) -> tuple[Step, ...]:
        if not isinstance(value, Scalar):
            raise self.unfit(value)
        try:
            return parse_at(value.text)
        except PlaceUnreadable as error:
            raise wrong(
                f"{found(value)} is no place in a record",
                'e.g. a.b or custom_fields[id=4].value; a name with . or [ stands as "odd.name"',
                offset=error.offset,
            ) from None
