"""The value of a compiled expression for a document.

The interpreter is the jmespath library's, with our functions beside JMESPath's own, and with two
differences: numbers and booleans are never equal (`[1] == [true]`), and comparing a text with a
number by `<` gives null, as the specification says and the library does not.

Invariant: it returns JSON or raises `EvaluationFailed`; what `expressions` has compiled has no
other way to end, and takes time and memory in proportion to the document.
"""

from __future__ import annotations

from jmespath import visitor

from connector.mapping import core_functions
from connector.mapping.expressions import Expression, Node
from connector.mapping.functions import FUNCTIONS, Context, FunctionError
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
    if expression.path is not None:
        value = document
        for name in expression.path:
            if not isinstance(value, dict):
                return None
            value = value.get(name)
        return value
    return evaluate_node(expression.tree, document, context)


def evaluate_node(node: Node, document: Json, context: Context) -> Json:
    """The value of a part of an expression. Raises EvaluationFailed."""
    try:
        return _Interpreter(context).visit(node, document)
    except (ArithmeticError, ValueError, TypeError, RecursionError, MemoryError) as error:
        if isinstance(error, EvaluationFailed):
            raise
        raise EvaluationFailed(f"cannot be worked out: {error or type(error).__name__}") from error


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


_VISITS = {
    name.removeprefix("visit_"): getattr(_Interpreter, name)
    for name in dir(_Interpreter)
    if name.startswith("visit_")
}


def _is_number(value: Json) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
