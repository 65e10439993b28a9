"""The value of a compiled expression for a document.

The interpreter is the jmespath library's, with our functions beside JMESPath's own, and with two
differences: numbers and booleans are never equal (`[1] == [true]`), and comparing a text with a
number by `<` gives null, as the specification says and the library does not.

The kinds of nodes that mappings mostly consist of are compiled into functions, once for each
expression; the rest is left to the library's interpreter, which walks the tree for each document.

Invariant: it returns JSON or raises `EvaluationFailed`; what `expressions` has compiled has no
other way to end, and takes time and memory in proportion to the document.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from jmespath import visitor

from connector.mapping import core_functions
from connector.mapping.expressions import Expression, Node
from connector.mapping.functions import FUNCTIONS, OF_VALUE, Context, FunctionError
from connector.mapping.values import same
from connector.model import Json


class EvaluationFailed(ValueError):
    """A good expression that this document has no value for.

    `offset` is the index of the character of the expression that it fails at.
    """

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset


def evaluate(expression: Expression, document: Json, context: Context) -> Json:
    """The value of an expression for a document. Raises EvaluationFailed."""
    program = _programs.get(expression.text) or _compiled(expression)
    try:
        return program(context, document)
    except EvaluationFailed:
        raise
    except _FAILURES as error:
        raise _failed(error) from error


def _compiled(expression: Expression) -> Program:
    """The function that works an expression out; kept in `_programs`."""
    if len(_programs) >= _MOST_PROGRAMS:
        _programs.clear()
    path = expression.path
    program = _compile(expression.tree) if path is None else _path(path)
    return _programs.setdefault(expression.text, program)


def evaluate_node(node: Node, document: Json, context: Context) -> Json:
    """The value of a part of an expression. Raises EvaluationFailed."""
    try:
        return _compile(node)(context, document)
    except EvaluationFailed:
        raise
    except _FAILURES as error:
        raise _failed(error) from error


Program: TypeAlias = Callable[[Context, Json], Json]

_programs: dict[str, Program] = {}
"""By the text of their expression, which is all that they depend on."""

_MOST_PROGRAMS = 20_000


_FAILURES = (ArithmeticError, ValueError, TypeError, RecursionError, MemoryError)
"""How a program fails that does not say what is wrong; `_failed` says it."""


def _failed(error: BaseException) -> EvaluationFailed:
    """What is wrong, as of any expression that has no value."""
    return EvaluationFailed(f"cannot be worked out: {error or type(error).__name__}")


class _Interpreter(visitor.TreeInterpreter):  # type: ignore[misc]
    """The library's interpreter for one evaluation, with both kinds of functions."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._dict_cls = dict

    def visit(self, node: Node, value: Json) -> Json:
        return _VISITS[node["type"]](self, node, value)

    def visit_field(self, node: Node, value: Json) -> Json:
        return value.get(node["value"]) if isinstance(value, dict) else None

    def visit_comparator(self, node: Node, value: Json) -> bool | None:
        left, right = (self.visit(child, value) for child in node["children"])
        operator = node["value"]
        if operator in ("eq", "ne"):
            return same(left, right) is (operator == "eq")
        if not (_is_number(left) and _is_number(right)) and not (
            isinstance(left, str) and isinstance(right, str)
        ):
            return None
        return bool(self.COMPARATOR_FUNC[operator](left, right))

    def visit_function_expression(self, node: Node, value: Json) -> Json:
        name = node["value"]
        arguments = [self.visit(child, value) for child in node["children"]]
        try:
            if own := FUNCTIONS.get(name):
                return own.call(self._context, arguments)
            return core_functions.call(name, arguments)
        except FunctionError as error:
            raise EvaluationFailed(str(error), node["start"]) from error


# --- nodes as functions


def _compile(node: Node) -> Program:
    make = _PROGRAM_OF.get(node["type"])
    return make(node) if make else lambda context, value: _Interpreter(context).visit(node, value)


def _field(node: Node) -> Program:
    name = node["value"]
    return lambda context, value: value.get(name) if isinstance(value, dict) else None


def _literal(node: Node) -> Program:
    literal = node["value"]
    return lambda context, value: literal


def _current(node: Node) -> Program:
    return lambda context, value: value


def _one_after_the_other(node: Node) -> Program:
    children = node["children"]
    if len(children) == 2 and all(child["type"] == "field" for child in children):
        return _field_of_field(*(child["value"] for child in children))
    steps = [_compile(child) for child in children]
    if len(steps) == 2:
        first, then = steps
        return lambda context, value: then(context, first(context, value))

    def program(context: Context, value: Json) -> Json:
        for step in steps:
            value = step(context, value)
        return value

    return program


def _path(names: tuple[str, ...]) -> Program:
    """`a.b.c`."""
    if len(names) == 2:
        return _field_of_field(*names)

    def program(context: Context, value: Json) -> Json:
        for name in names:
            if not isinstance(value, dict):
                return None
            value = value.get(name)
        return value

    return program


def _field_of_field(name: str, inner: str) -> Program:
    """`a.b`, of which mappings are full."""

    def program(context: Context, value: Json) -> Json:
        if isinstance(value, dict):
            value = value.get(name)
            if isinstance(value, dict):
                return value.get(inner)
        return None

    return program


def _function(node: Node) -> Program:
    name, start = node["value"], node["start"]
    arguments = [_compile(child) for child in node["children"]]
    own = FUNCTIONS.get(name)
    call = own.call if own else lambda context, given: core_functions.call(name, given)
    first = arguments[0] if len(arguments) == 1 else None
    simply = OF_VALUE.get(own.call) if own and first else None
    if simply and first:
        return _of_one_value(simply, first, start)

    def program(context: Context, value: Json) -> Json:
        given = [argument(context, value) for argument in arguments]
        try:
            return call(context, given)
        except FunctionError as error:
            raise EvaluationFailed(str(error), start) from error

    return program


def _of_one_value(function: Callable[..., Json], argument: Program, start: int) -> Program:
    """A function of one value under the general rule of `functions`: most that mappings call."""

    def program(context: Context, value: Json) -> Json:
        given = argument(context, value)
        if given is None or given == "":
            return given
        try:
            return function(context, given)
        except FunctionError as error:
            raise EvaluationFailed(str(error), start) from error

    return program


def _or(node: Node) -> Program:
    left, right = map(_compile, node["children"])

    def program(context: Context, value: Json) -> Json:
        found = left(context, value)
        return right(context, value) if _is_false(found) else found

    return program


def _and(node: Node) -> Program:
    left, right = map(_compile, node["children"])

    def program(context: Context, value: Json) -> Json:
        found = left(context, value)
        return found if _is_false(found) else right(context, value)

    return program


def _equality(node: Node) -> Program:
    left, right = map(_compile, node["children"])
    wanted = node["value"] == "eq"
    return lambda context, value: same(left(context, value), right(context, value)) is wanted


def _comparator(node: Node) -> Program:
    if node["value"] in ("eq", "ne"):
        return _equality(node)
    return lambda context, value: _Interpreter(context).visit(node, value)


def _is_false(value: Json) -> bool:
    """As JMESPath has it: null, false, '', [] and {}."""
    return value is None or value is False or value in ("", [], {})


_PROGRAM_OF: Mapping[str, Callable[[Node], Program]] = {
    "field": _field,
    "literal": _literal,
    "current": _current,
    "identity": _current,
    "subexpression": _one_after_the_other,
    "index_expression": _one_after_the_other,
    "pipe": _one_after_the_other,
    "function_expression": _function,
    "or_expression": _or,
    "and_expression": _and,
    "comparator": _comparator,
}


_VISITS = {
    name.removeprefix("visit_"): getattr(_Interpreter, name)
    for name in dir(_Interpreter)
    if name.startswith("visit_")
}


def _is_number(value: Json) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
