"""The kinds of values that the keys of a mapping file take: text, choice, expression, list, …

Each reads plain data and says of what does not fit what was found and what it takes instead.
`schema` puts the grammar together of these; where the data stands in a file it does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from marshmallow import Schema, ValidationError, fields, missing

from connector.mapping.arguments import described
from connector.mapping.expressions import Expression, ExpressionInvalid, compile_expression
from connector.mapping.values import why_not_json
from connector.model import Json
from connector.problems import did_you_mean

At: TypeAlias = Literal["key", "value"]

_SHOWN = 80  # characters of an expression in a message


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with a key or its value. `offset` is a character of the expression there."""

    message: str
    hint: str = ""
    at: At = "value"
    offset: int | None = None


def invalid(
    message: str, hint: str = "", at: At = "value", offset: int | None = None
) -> ValidationError:
    """The exception for a fault of the value that is being read."""
    return ValidationError([Fault(message, hint, at, offset)])


def read_constant(value: Json) -> Json:
    """A constant as it is. Raises ValidationError for what JSON does not have."""
    if why := why_not_json(value):
        raise invalid(f"{described(value)} cannot be sent", why)
    return value


def read_expression(text: str) -> Expression:
    """A compiled expression. Raises ValidationError."""
    try:
        return compile_expression(text)
    except ExpressionInvalid as error:
        line = " ".join(text.split())
        shown = line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
        message = f"{error.message} in `{shown}`" if text.strip() else error.message
        raise invalid(message, error.hint, offset=error.offset) from None


def read_each(entries: Iterable[tuple[str | int, Json]], read: Callable[[Json], Any]) -> list[Any]:
    """What `read` makes of each entry's value. Raises ValidationError with all that is wrong."""
    good: list[Any] = []
    bad: dict[str | int, Any] = {}
    for key, value in entries:
        try:
            good.append(read(value))
        except ValidationError as error:
            bad[key] = error.messages
    if bad:
        raise ValidationError(bad)
    return good


class Key(fields.Field):  # type: ignore[type-arg]
    """What every key has in common: how its absence and a value of a wrong type are told."""

    wanted = ""

    def _validate_missing(self, value: Any) -> None:
        if value is None and not self.allow_none:
            raise invalid(f"{self.label} has no value", self.description)
        if value is missing and self.required:
            raise invalid(f"the key {self.label} is missing", self.description)

    @property
    def label(self) -> str:
        return repr(self.data_key or self.name) if self.name else "this"

    @property
    def description(self) -> str:
        return str(self.metadata.get("description", self.wanted))

    def wrong_type(self, value: Json) -> ValidationError:
        return invalid(f"{self.label} is {described(value)}", f"it takes {self.wanted}")


class Text(Key):
    """A text that is not blank."""

    wanted = "a text"

    def _deserialize(self, value: Json, *_: Any, **__: Any) -> str:
        if not isinstance(value, str):
            raise self.wrong_type(value)
        if not value.strip():
            raise invalid(f"{self.label} is empty", self.description)
        return str(read_constant(value))


class Choice(Text):
    """One word of a few."""

    def __init__(self, words: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.words = tuple(words)
        self.wanted = f"one of {', '.join(self.words)}"

    def _deserialize(self, value: Json, *_: Any, **__: Any) -> str:
        if not isinstance(value, str):
            raise self.wrong_type(value)
        if value not in self.words:
            raise invalid(f"{self.label} cannot be {value!r}", did_you_mean(value, self.words))
        return value


class Flag(Key):
    """true or false."""

    wanted = "true or false"

    def _deserialize(self, value: Json, *_: Any, **__: Any) -> bool:
        if not isinstance(value, bool):
            raise self.wrong_type(value)
        return value


class Anything(Key):
    """Any JSON value, null too."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_none=True, **kwargs)

    def _deserialize(self, value: Json, *_: Any, **__: Any) -> Json:
        return read_constant(value)


class Scalar(Anything):
    """A text, a number or null."""

    wanted = "a text or a number"

    def _deserialize(self, value: Json, *_: Any, **__: Any) -> Json:
        if isinstance(value, (bool, list, dict)):
            raise self.wrong_type(value)
        return read_constant(value)


class Table(Key):
    """A map of texts to anything."""

    wanted = "a map of keys and values"

    def _deserialize(self, value: Json, *_: Any, **__: Any) -> dict[str, Json]:
        if not isinstance(value, dict):
            raise self.wrong_type(value)
        return dict(read_constant(value))


class Empty(Key):
    """What a cleared field is sent as: null or ''."""

    wanted = "'' or null"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_none=True, **kwargs)

    def _deserialize(self, value: Json, *_: Any, **__: Any) -> Literal[""]:
        if value != "":
            raise self.wrong_type(value)
        return ""


class Formula(Key):
    """A JMESPath expression."""

    wanted = "an expression, which is a text, e.g. ticket.ticket_id"

    def _deserialize(self, value: Json, *_: Any, **__: Any) -> Expression | bool:
        if not isinstance(value, str):
            raise self.wrong_type(value)
        return read_expression(value)


class Condition(Formula):
    """A JMESPath expression, or true or false."""

    wanted = "an expression, e.g. ticket.ticket_source != 'Spam'"

    def _deserialize(self, value: Json, *args: Any, **kwargs: Any) -> Expression | bool:
        return value if isinstance(value, bool) else super()._deserialize(value, *args, **kwargs)


class ListOf(Key):
    """A list of one thing at least, unless it may be empty."""

    def __init__(
        self, item: Key | type[Schema], *, may_be_empty: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.item = item
        self.may_be_empty = may_be_empty
        self.wanted = "a list"

    def _deserialize(self, value: Json, *_: Any, **__: Any) -> list[Any]:
        if not isinstance(value, list):
            raise invalid(
                f"{self.label} is {described(value)}", f"it takes a list: {self._as_list(value)}"
            )
        if not value and not self.may_be_empty:
            raise invalid(f"{self.label} is empty", self.description)
        return read_each(enumerate(value), self._read)

    def _as_list(self, value: Json) -> str:
        """How what was found would be written as a list."""
        if isinstance(value, str) and isinstance(self.item, Key):
            return f"[{value}]"
        return "begin each of its entries with `- `"

    def _read(self, value: Json) -> Any:
        if isinstance(self.item, Key):
            return self.item.deserialize(value)
        return self.item().load(value)
