"""The kinds of value that config.yaml holds, as marshmallow fields.

Each field reads a tree of `Scalar`s (see `environment`) into plain, checked data and says what is
wrong in our words. A complaint is an `Issue`; the tree of errors that marshmallow collects gives
it its path, `load` its place. The constructor's first argument is the description that the
reference and the JSON Schema are made from; `default` is what a key left out, or given as null,
means (where it is `nullable`, null means none).

No message shows a value that is secret or came from a variable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from marshmallow import Schema, ValidationError, fields, missing, validates_schema

from connector.config.environment import Scalar, Tree, plain
from connector.config.grammar import Issue, text_of_secret_issue
from connector.config.model import Secret
from connector.model import Json
from connector.problems import did_you_mean, nearest
from connector.yamltext import lacks_blank

REQUIRED: Any = object()
"""As a default: the key must be there."""

ABSENT: Any = object()
"""As a default: a key left out is absent from the result, null is kept (inheritance sees both)."""


def wrong(
    message: str, hint: str = "", *, at_key: bool = False, offset: int | None = None
) -> ValidationError:
    """The error of one issue."""
    return ValidationError([Issue(message, hint, at_key, offset)])


def found(tree: Tree, *, secret: bool = False) -> str:
    """What stands there, for a message; not its text if that is nobody's business."""
    if isinstance(tree, dict):
        return "a map"
    if isinstance(tree, list):
        return "a list"
    if tree.variables:
        return f"the value of {' and '.join(tree.variables)}"
    if secret:
        return "this value"
    shown = tree.text if len(tree.text) <= 60 else f"{tree.text[:60]}…"
    return repr(shown) if isinstance(tree.value, str) else shown


def empty_variables(scalar: Scalar) -> str:
    """For a message: the variables that gave nothing."""
    return f"the environment variable {' and '.join(scalar.variables)} is empty"


class Keys(Schema):
    """A map whose keys are known; any other is an error with a suggestion."""

    strangers: Mapping[str, str] = {}
    """Keys that belong elsewhere, and where."""

    class Meta:
        unknown = "exclude"  # told below, with a suggestion

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _no_unknown_keys(self, data: Any, original: Any, **_: Any) -> None:
        known = [field.data_key or name for name, field in self.fields.items()]
        errors = {
            key: [self._unknown(key, known)]
            for key in (original if isinstance(original, dict) else ())
            if key not in known
        }
        if errors:
            raise ValidationError(errors)

    def _unknown(self, key: str, known: Sequence[str]) -> Issue:
        if key in self.strangers:
            return Issue("has no meaning here", self.strangers[key], at_key=True)
        return Issue("unknown key", did_you_mean(key, known), at_key=True)


class Key(fields.Field[Any]):
    """What all fields share: a description, a default, and that null takes the default back."""

    wants = "a value"

    def __init__(
        self,
        description: str,
        *,
        default: Any = REQUIRED,
        shown: Any = missing,
        nullable: bool = False,
        **more: Any,
    ) -> None:
        metadata = {"description": description, **more.pop("metadata", {})}
        if shown is not missing:
            metadata["default"] = shown
        elif default is not REQUIRED and default is not ABSENT:
            metadata["default"] = default
        super().__init__(
            required=default is REQUIRED,
            load_default=missing if default in (REQUIRED, ABSENT) else default,
            metadata=metadata,
            **more,
        )
        self.default = default
        self.nullable = nullable

    def _validate_missing(self, value: Any) -> None:
        if value is missing and self.required:
            raise wrong("is missing", f"give {self.wants}", at_key=True)

    def _deserialize(self, value: Any, attr: Any, data: Any, **_: Any) -> Any:
        if isinstance(value, Scalar):
            if value.missing:
                return None
            if value.value is None:
                return self._null(value)
        return self.read(value)

    def _null(self, value: Scalar) -> Any:
        if self.nullable or self.default is ABSENT:
            return None
        if self.default is not REQUIRED:
            return self.default() if callable(self.default) else self.default
        if value.variables:
            raise wrong(empty_variables(value), f"give {self.wants}")
        raise wrong("is missing", f"give {self.wants}", at_key=True)

    def read(self, value: Tree) -> Any:
        """The checked value. Raises ValidationError holding Issues."""
        raise NotImplementedError

    def unfit(self, value: Tree, hint: str = "", *, secret: bool = False) -> ValidationError:
        if not hint and isinstance(value, Scalar) and not secret and lacks_blank(value.text):
            hint = "a space is missing after the colon"
        return wrong(f"{found(value, secret=secret)} where {self.wants} should stand", hint)


class Text(Key):
    """Text; a number or boolean counts as its text, as written."""

    wants = "text"

    def __init__(
        self,
        description: str,
        *,
        check: Callable[[str], Issue | None] | None = None,
        wants: str = "text",
        **more: Any,
    ) -> None:
        super().__init__(description, **more)
        self.check = check
        self.wants = wants

    def read(self, value: Tree) -> Any:
        if not isinstance(value, Scalar):
            raise self.unfit(value)
        if self.check and (issue := self.check(value.text)):
            hint = "" if value.variables else issue.hint
            raise wrong(f"{found(value)} is {issue.message}", hint)
        return value.text


class SecretText(Key):
    """Text that is never shown; an empty one is an error that names its variable.

    `blank`: one that is written as '' is meant. `in_header`: it goes into a header as it is.
    """

    wants = "a secret"

    def __init__(
        self, description: str, *, blank: bool = False, in_header: bool = False, **more: Any
    ) -> None:
        super().__init__(description, **more)
        self.blank = blank
        self.in_header = in_header

    def read(self, value: Tree) -> Secret:
        if not isinstance(value, Scalar):
            raise self.unfit(value, secret=True)
        if not value.text.strip():
            if value.variables:
                raise wrong(empty_variables(value), f"give {self.wants}")
            if not self.blank:
                raise wrong("an empty secret", "give it, best by an environment variable")
        if issue := text_of_secret_issue(value.text, in_header=self.in_header):
            raise wrong(f"{found(value, secret=True)} {issue.message}", issue.hint)
        return Secret(value.text)


class Choice(Key):
    """One of a few words."""

    def __init__(self, description: str, options: Sequence[str], **more: Any) -> None:
        super().__init__(description, **more)
        self.options = tuple(options)
        self.wants = " or ".join(self.options)

    def read(self, value: Tree) -> str:
        if isinstance(value, Scalar) and value.text in self.options:
            return value.text
        hint = ""
        if isinstance(value, Scalar) and not value.variables:
            hint = did_you_mean(value.text, self.options)
        raise self.unfit(value, hint)


class Number(Key):
    """A number, whole or not."""

    def __init__(
        self,
        description: str,
        *,
        unit: str = "",
        above: float | None = None,
        least: float | None = None,
        most: float | None = None,
        **more: Any,
    ) -> None:
        super().__init__(description, metadata={"unit": unit} if unit else {}, **more)
        self.above = above
        self.least = least
        self.most = most
        bound = f" above {above}" if above is not None else ""
        bound = f" of at least {least}" if least is not None else bound
        bound = f" from {least} to {most}" if least is not None and most is not None else bound
        self.wants = f"{self.noun}{bound}"
        self.unit = unit

    noun = "a number"
    types: tuple[type[int] | type[float], ...] = (int, float)

    def read(self, value: Tree) -> Any:
        number = value.value if isinstance(value, Scalar) else None
        if isinstance(number, bool) or not isinstance(number, self.types):
            plain = f"write {self.unit} as a plain number" if self.unit else ""
            raise self.unfit(value, plain if isinstance(value, Scalar) else "")
        if (self.above is not None and number <= self.above) or (
            self.least is not None and number < self.least
        ):
            raise self.unfit(value)
        if self.most is not None and number > self.most:
            raise self.unfit(value)
        return number


class Whole(Number):
    """A whole number."""

    noun = "a whole number"
    types = (int,)


class Flag(Key):
    """true or false."""

    wants = "true or false"

    def read(self, value: Tree) -> bool:
        if isinstance(value, Scalar) and isinstance(value.value, bool):
            return value.value
        raise self.unfit(value)


class Empty(Key):
    """What clears a field: null, '' or false."""

    wants = "null, '' or false"

    def read(self, value: Tree) -> Any:
        if isinstance(value, Scalar) and (value.value is False or value.value == ""):
            return value.value
        raise self.unfit(value)


class Free(Key):
    """Any data, as it is."""

    wants = "data"

    def read(self, value: Tree) -> Json:
        return plain(value)


class Listing(Key):
    """A list; where `single` is allowed, one value stands for a list of it."""

    def __init__(
        self, description: str, item: Key, *, single: bool = False, least: int = 0, **more: Any
    ) -> None:
        super().__init__(description, **more)
        self.item = item
        self.single = single
        self.least = least
        self.wants = f"a list, of {item.wants} each"

    def read(self, value: Tree) -> tuple[Any, ...]:
        if self.single and not isinstance(value, list):
            return (self.item.deserialize(value),)
        if not isinstance(value, list):
            raise self.unfit(value)
        if len(value) < self.least:
            raise wrong("an empty list", f"give {self.wants}")
        results, errors = [], {}
        for number, item in enumerate(value):
            try:
                results.append(self.item.deserialize(item))
            except ValidationError as error:
                errors[number] = error.messages
        if errors:
            raise ValidationError(errors)
        return tuple(results)


class Keyed(Key):
    """A map from names that the file chooses to values of one kind."""

    def __init__(
        self,
        description: str,
        item: Key,
        *,
        name: Callable[[str], Issue | None] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(description, **more)
        self.item = item
        self.name_check = name
        self.wants = "a map"

    def read(self, value: Tree) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.unfit(value)
        results: dict[str, Any] = {}
        errors: dict[str, Any] = {}
        for key, item in value.items():
            if self.name_check and (issue := self.name_check(key)):
                errors[key] = [issue]
                continue
            try:
                results[key] = self.item.deserialize(item)
            except ValidationError as error:
                errors[key] = error.messages
                if error.valid_data:
                    results[key] = error.valid_data
        if errors:
            raise ValidationError(errors, valid_data=results)
        return results


class Group(Key):
    """A map of known keys."""

    wants = "a map"

    def __init__(
        self, description: str, schema: type[Keys], *, wants: str = "", **more: Any
    ) -> None:
        super().__init__(description, **more)
        self.schema = schema
        self.wants = wants or type(self).wants

    def read(self, value: Tree) -> Any:
        if not isinstance(value, dict):
            raise self.unfit(value)
        return self.schema().load(value)


class OneOf(Key):
    """A map whose known keys depend on the word under one of them.

    `shorthand`: the word alone may stand for a map that needs no other key.
    """

    wants = "a map"

    def __init__(
        self,
        description: str,
        by: str,
        variants: Mapping[str, type[Keys]],
        *,
        shorthand: bool = False,
        **more: Any,
    ) -> None:
        super().__init__(description, **more)
        self.by = by
        self.variants = variants
        self.shorthand = shorthand

    def read(self, value: Tree) -> Any:
        if self.shorthand and isinstance(value, Scalar) and value.text in self.variants:
            value = {self.by: value}
        if not isinstance(value, dict):
            raise self.unfit(value)
        word = value.get(self.by)
        if isinstance(word, Scalar) and word.missing:
            return None
        options = ", ".join(self.variants)
        if word is None or (isinstance(word, Scalar) and word.value is None):
            raise wrong(f"{self.by} is missing", f"one of {options}", at_key=True)
        if not isinstance(word, Scalar) or word.text not in self.variants:
            issue = Issue(f"{found(word)} is no known {self.by}", self._meant(word))
            raise ValidationError({self.by: [issue]})
        given = {key: item for key, item in value.items() if key != self.by}
        return {self.by: word.text, **self.variants[word.text]().load(given)}

    def _meant(self, word: Tree) -> str:
        options = f"one of {', '.join(self.variants)}"
        if isinstance(word, Scalar) and not word.variables:
            close = nearest(word.text, self.variants)
            return f"did you mean {close!r}? {options}" if close else options
        return options
