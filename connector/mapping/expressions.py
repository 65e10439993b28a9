"""JMESPath: the text of an expression, read and checked, to something that can be evaluated.

The job: everything that can be known wrong about an expression is found here, with the character
where it stands: syntax, functions that do not exist, the number of their arguments, `&expressions`
where no function takes one, constants that JSON does not have. `evaluation` does the rest.

The parser is the jmespath library's; only a missing comma, which it lets pass, is an error
here.

Bounds: JMESPath has no loops, and inside a projection no way back to the whole document, so a value
can only grow by being named several times over. `_growth` is that factor, and it is limited.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jmespath import ast, exceptions, lexer, parser

from connector.mapping import core_functions
from connector.mapping.arguments import described
from connector.mapping.functions import FUNCTIONS
from connector.mapping.values import why_not_json
from connector.problems import nearest

MAX_LENGTH = 4000
"""Characters of one expression."""

MAX_DEPTH = 60
"""Levels of one expression's syntax tree."""

MAX_GROWTH = 1000
"""How many times over an expression may hold what it is evaluated on."""

_LETTER = re.compile(r"\w")
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Node = dict[str, Any]
"""A node of jmespath's syntax tree; functions and fields also know where they stand (`start`)."""


class ExpressionInvalid(ValueError):
    """An expression that cannot be used. `offset` is the index of the character it fails at."""

    def __init__(self, message: str, hint: str = "", offset: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Call:
    """A function called in an expression: its name, where it stands, its arguments' nodes."""

    name: str
    offset: int
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression.

    `shape` is the same for two that differ only in blanks. `path` holds the names of one that is
    only `a.b.c`. `suspects` are names in double quotes, with their offsets, which need no quotes
    and stand where a text is usual: `custom(x, "key")`.
    """

    text: str
    tree: Node
    shape: str
    path: tuple[str, ...] | None
    suspects: tuple[tuple[str, int], ...]

    def calls(self) -> Iterator[Call]:
        """Every function that the expression calls."""
        for node in _nodes(self.tree):
            if node["type"] == "function_expression":
                yield Call(node["value"], node["start"], tuple(node["children"]))

    def offsets(self) -> Iterator[int]:
        """Where something stands that a message may point at: functions and names."""
        yield from (node["start"] for node in _nodes(self.tree) if "start" in node)

    def bare_words(self) -> Iterator[tuple[str, int]]:
        """Names where something else is usual, with their offsets: `true`, the `key` of
        `custom(x, key)`, the `upper` of `x | upper`."""
        told = {offset for _, offset in self.suspects}
        for node in _nodes(self.tree):
            positions = _TAKES_TEXT.get(str(node.get("value")), ())
            for position, child in enumerate(_children(node)):
                if child["type"] != "field" or child["start"] in told:
                    continue
                name: str = child["value"]
                if (
                    (node["type"] in _TAKES_CONSTANTS and name.lower() in CONSTANT_WORDS)
                    or (node["type"] == "function_expression" and position in positions)
                    or (node["type"] == "pipe" and position == 1 and name in FUNCTIONS)
                ):
                    yield name, child["start"]

    def first_names(self) -> frozenset[str]:
        """The names that the expression looks for in the document itself."""
        return frozenset(_first_names(self.tree))


def compile_expression(text: str) -> Expression:
    """Reads and checks an expression. Raises ExpressionInvalid."""
    if not text.strip():
        raise ExpressionInvalid("the expression is empty", "delete the key, or name a value")
    if len(text) > MAX_LENGTH:
        raise ExpressionInvalid(
            f"the expression has {len(text)} characters",
            f"at most {MAX_LENGTH}: a table with lookup() may say it shorter",
            MAX_LENGTH,
        )
    reader = _Parser()
    tree = _parse(text, reader)
    _check_depth(tree)
    for node in _nodes(tree):
        _check_node(node)
    _check_references(tree, wanted=False, offset=0)
    _growth(tree)
    return Expression(
        text=text,
        tree=tree,
        shape=repr([(token["type"], token["value"]) for token in reader.tokens]),
        path=_plain_path(tree),
        suspects=tuple(_suspects(reader.tokens)),
    )


def conditions(text: str) -> list[tuple[int, str]]:
    """What all must hold for a good expression to hold, each with the offset that it stands at.

    The expression itself, unless it is parts that are joined by `&&`.
    """
    level, starts, ends = 0, [0], []
    for token in lexer.Lexer().tokenize(text):
        level += _LEVELS.get(token["type"], 0)
        if level == 0 and token["type"] in ("or", "pipe"):
            return [(0, text)]
        if level == 0 and token["type"] == "and":
            ends.append(token["start"])
            starts.append(token["start"] + len("&&"))
    parts = [text[start:end] for start, end in zip(starts, [*ends, len(text)], strict=True)]
    return [
        (start + len(part) - len(part.lstrip()), part.strip())
        for start, part in zip(starts, parts, strict=True)
    ]


_LEVELS = {
    **dict.fromkeys(("lparen", "lbracket", "lbrace", "filter"), 1),
    **dict.fromkeys(("rparen", "rbracket", "rbrace"), -1),
}


def function_names() -> list[str]:
    """Every function that an expression may call."""
    return sorted({*FUNCTIONS, *core_functions.names()})


# --- reading


class _Parser(parser.Parser):  # type: ignore[misc]
    """The library's parser, which remembers where names stand and insists on commas."""

    @property
    def tokens(self) -> list[Node]:
        return list(self._tokens)

    def _token_nud_quoted_identifier(self, token: Node) -> Node:
        if self._current_token() == "lparen":
            raise exceptions.ParseError(
                token["start"], token["value"], token["type"], "Quoted identifier"
            )
        return self._token_nud_unquoted_identifier(token)

    def _token_nud_unquoted_identifier(self, token: Node) -> Node:
        node: Node = ast.field(token["value"])
        node["start"] = token["start"]
        return node

    def _token_nud_expref(self, token: Node) -> Node:
        node: Node = super()._token_nud_expref(token)
        node["start"] = token["start"]
        return node

    def _parse_multi_select_hash(self) -> Node:
        pairs: list[Node] = []
        while not pairs or self._current_token() != "rbrace":
            if pairs:
                self._match("comma")
            name = self._lookahead_token(0)
            self._match_multiple_tokens(["quoted_identifier", "unquoted_identifier"])
            self._match("colon")
            pairs.append(ast.key_val_pair(key_name=name["value"], node=self._expression()))
        self._match("rbrace")
        node: Node = ast.multi_select_dict(nodes=pairs)
        return node

    def _token_led_lparen(self, left: Node) -> Node:
        name = self._lookahead_token(-2)
        if left["type"] != "field" or name["type"] != "unquoted_identifier":
            raise exceptions.ParseError(
                name["start"], name["value"], name["type"], "not the name of a function"
            )
        arguments: list[Node] = []
        while self._current_token() != "rparen":
            if arguments:
                self._match("comma")
            arguments.append(self._expression())
        self._match("rparen")
        node: Node = ast.function_expression(left["value"], arguments)
        node["start"] = name["start"]
        return node


def _parse(text: str, reader: _Parser) -> Node:
    try:
        tree: Node = reader._do_parse(text).parsed  # parse() would share trees with all the process
    except exceptions.LexerError as error:
        raise _unreadable(text, error) from None
    except exceptions.IncompleteExpressionError:
        raise _too_early(text) from None
    except exceptions.ParseError as error:
        raise _unexpected(text, error) from None
    except RecursionError:
        raise ExpressionInvalid("the expression is nested too deeply", _depth_hint()) from None
    except ValueError as error:  # a number with thousands of digits
        raise ExpressionInvalid(f"the expression cannot be read: {error}") from None
    return tree


def _unreadable(text: str, error: exceptions.LexerError) -> ExpressionInvalid:
    """What the library's lexer stopped at, and what was probably meant."""
    offset: int = error.lexer_position
    letter = text[offset : offset + 1]
    if letter in "'\"`" and str(error.message).startswith("Unclosed"):
        return ExpressionInvalid(f"{letter} is opened but not closed", f"add {letter}", offset)
    if letter == "`":
        return ExpressionInvalid(
            "what stands between the ` is not JSON", "a text is written '…'", offset
        )
    if letter == '"':
        return ExpressionInvalid(
            "the name between the double quotes cannot be read",
            'within them \\" and \\\\ stand for " and \\',
            offset,
        )
    hint = _LETTERS.get(letter, _OTHER_LETTER)
    if text.startswith("${", offset):
        hint = f"{_BARE}, without ${{ }}"
    return ExpressionInvalid(f"unexpected {letter!r}", hint, offset)


_BARE = "an expression stands bare"
_OTHER_LETTER = "a name with other letters than a-z, digits and _ is written in double quotes"
_QUOTES = "this is a typographic quote: a text is written between straight ones, 'like this'"
_NO_IF = "JMESPath has no if: use `values:` with `otherwise:`, or two records with `when:`"

_LETTERS = {
    "=": "equal is written ==",
    "-": 'a name with - in it is written in double quotes: "a-b"; JMESPath does not calculate',
    "/": "JMESPath does not calculate",
    "+": "JMESPath does not calculate; texts are joined with concat(a, b)",
    "$": "the document itself is @, and a path begins without it: ticket.ticket_id",
    "?": _NO_IF,
    "~": "JMESPath has no patterns: contains(text, 'part') looks for a part",
    "%": "JMESPath does not calculate, and an expression stands bare",
    ";": "arguments are parted by a comma",
    "#": "a comment needs a space before its #",
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u00b4", _QUOTES),
}
"""What was probably meant by a character that JMESPath does not know."""

_WORDS = {
    "or": "or is written ||",
    "and": "and is written &&",
    "not": "not is written !",
    "is": "equal is written ==",
    "eq": "equal is written ==",
    "in": "contains(list, x) tells whether x is in a list",
    "like": "contains(text, 'part') tells whether a part is in a text",
    "if": _NO_IF,
    "then": _NO_IF,
    "else": _NO_IF,
}
"""What was probably meant by a word of another language."""


def _too_early(text: str) -> ExpressionInvalid:
    """An expression that lacks its end; the bracket that is open, where there is one."""
    opened: list[Node] = []
    for token in lexer.Lexer().tokenize(text):
        level = _LEVELS.get(token["type"], 0)
        if level > 0:
            opened.append(token)
        elif level < 0 and opened:
            opened.pop()
    hint = "something is missing at its end"
    if opened:
        last = opened[-1]
        start, bracket = last["start"], text[last["start"]]
        shown = text[max(0, start - 20) : start + 1]
        closing = {"(": ")", "[": "]", "{": "}"}[bracket]
        hint = f"a {closing} is missing: the {bracket} of `{shown}` is never closed"
    return ExpressionInvalid("the expression ends too early", hint, len(text))


def _unexpected(text: str, error: exceptions.ParseError) -> ExpressionInvalid:
    """What the library's parser did not expect, and what was probably meant."""
    offset: int = error.lex_position
    if str(error.msg).startswith("Quoted identifier"):
        return ExpressionInvalid(
            "a function's name stands in double quotes", "write it without them", offset
        )
    kind = error.token_type
    if kind == "EOF":
        return _too_early(text)
    found = repr(text[offset : offset + 1]) if kind != "LITERAL" else "literal"
    if kind in ("UNQUOTED_IDENTIFIER", "QUOTED_IDENTIFIER", "NUMBER"):
        found = repr(str(error.token_value))
    return ExpressionInvalid(f"unexpected {found}", _meant(text, offset, kind), offset)


def _meant(text: str, offset: int, kind: str) -> str:
    """What was probably meant where the parser met a token of a kind that it did not expect."""
    before, rest = text[:offset].rstrip(), text[offset:]
    word = _WORD.match(rest)
    word_before = _LAST_WORD.search(before)
    if kind == "NUMBER":
        if _DATE.match(rest):
            return f"a text is written between quotes: '{rest[:10]}'"
        digits = "".join(_NUMBER.findall(rest)[:1])
        if before.endswith("."):
            return f"an element of a list is written [{digits}]"
        return f"a number is written between backticks: `{digits}`"
    if word and word[0].lower() in _WORDS:
        return _WORDS[word[0].lower()]
    if word_before and word_before[0].lower() in _WORDS:
        return _WORDS[word_before[0].lower()]
    if kind == "LBRACE" and before.endswith("{"):
        return f"{_BARE}, without {{{{ }}}}"
    if kind == "UNQUOTED_IDENTIFIER" and before.endswith("["):
        return "a key follows a dot: a.b; between [ ] stands a number, or a filter [?a == 'b']"
    if kind in ("RPAREN", "RBRACKET", "RBRACE"):
        return "perhaps it is one too many, or something is missing before it"
    return "perhaps a comma, a dot or an operator is missing before it"


_WORD = re.compile(r"[A-Za-z]+\b")
_NUMBER = re.compile(r"-?[0-9]*(?:\.[0-9]+)?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_LAST_WORD = re.compile(r"\b[A-Za-z]+$")


# --- checking what was read


def _nodes(tree: Node) -> Iterator[Node]:
    """The tree's nodes in the order of the text, each before its children."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(_children(node)))


def _children(node: Node) -> list[Node]:
    return [] if node["type"] == "slice" else node["children"]


def _check_depth(tree: Node) -> None:
    level = [tree]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in _children(node)]
        if not level:
            return
    raise ExpressionInvalid("the expression is nested too deeply", _depth_hint())


def _depth_hint() -> str:
    return f"at most {MAX_DEPTH} levels: a table with lookup() may say it shorter"


def _check_node(node: Node) -> None:
    if node["type"] == "slice" and node["children"][2] == 0:
        raise ExpressionInvalid("a slice cannot go in steps of 0", "leave the step out")
    if node["type"] in ("literal", "field", "key_val_pair") and (
        why := why_not_json(node["value"])
    ):
        raise ExpressionInvalid(f"{described(node['value'])} cannot be sent: {why}")
    if node["type"] == "function_expression":
        _check_call(node["value"], len(node["children"]), node["start"])


def _check_call(name: str, count: int, offset: int) -> None:
    if name not in FUNCTIONS and name not in core_functions.names():
        close = nearest(name, function_names())
        hint = f"did you mean {close!r}?" if close else "`connector mappings functions` lists them"
        hint = _FUNCTIONS_ELSEWHERE.get(name.lower(), hint)
        raise ExpressionInvalid(f"there is no function {name}()", hint, offset)
    own = FUNCTIONS.get(name)
    least, most = (own.min_args, own.max_args) if own else core_functions.arity(name)
    if count < least or (most is not None and count > most):
        shown = f": {own.signature}" if own else ""
        raise ExpressionInvalid(
            f"{name}() is given {_arguments(count)}",
            f"it takes {_range(least, most)}{shown}",
            offset,
        )


_FUNCTIONS_ELSEWHERE: Mapping[str, str] = {
    **dict.fromkeys(("if", "iif", "case", "switch", "when"), _NO_IF),
    **dict.fromkeys(("int", "parseint", "toint"), "did you mean 'integer'?"),
    **dict.fromkeys(("float", "decimal", "parsefloat"), "did you mean 'number'?"),
    **dict.fromkeys(("str", "tostring", "text_of"), "did you mean 'string'?"),
    **dict.fromkeys(("bool", "to_boolean"), "did you mean 'boolean'?"),
    **dict.fromkeys(("strip", "ltrim", "rtrim"), "did you mean 'trim'?"),
    **dict.fromkeys(("ifnull", "nvl", "isnull", "or_else"), "did you mean 'default'?"),
    **dict.fromkeys(("vlookup", "table", "translate"), "did you mean 'lookup'?"),
    **dict.fromkeys(("md5", "sha1", "sha256", "uuid"), "did you mean 'hash'?"),
    **dict.fromkeys(("strip_tags", "striptags", "html_to_text", "plain"), "did you mean 'text'?"),
    **dict.fromkeys(
        ("date_format", "format_date", "strftime", "datetime", "to_date", "parse_date"),
        "did you mean 'timestamp'? timestamp(x, '%Y-%m-%d') writes a form of your own",
    ),
    **dict.fromkeys(("now", "today", "current_time"), "the time of receipt is meta.received_at"),
    **dict.fromkeys(
        ("replace", "substr", "substring", "regex", "match", "split"),
        "a table with lookup(), or custom() for a list, may do it; "
        "`connector mappings functions` lists what there is",
    ),
}
"""What was probably meant by a function of another language."""


def _arguments(count: int) -> str:
    return "1 argument" if count == 1 else f"{count} arguments"


def _range(least: int, most: int | None) -> str:
    if most is None:
        return f"at least {_arguments(least)}"
    return _arguments(least) if least == most else f"{least} to {most} arguments"


def _check_references(node: Node, *, wanted: bool, offset: int) -> None:
    """`&expression` must stand where a function takes one, and only there: it is no value.

    `offset` is that of the function around the node.
    """
    if (node["type"] == "expref") != wanted:
        raise ExpressionInvalid(
            "an &expression is missing" if wanted else "& stands where a value is needed",
            "only map(&x, list), sort_by(list, &x), min_by(list, &x) and max_by(list, &x) take one",
            offset if wanted else node["start"],
        )
    takes: list[bool] = []
    if node["type"] == "function_expression" and node["value"] not in FUNCTIONS:
        takes = core_functions.takes_expression(node["value"])
    for position, child in enumerate(_children(node)):
        _check_references(
            child,
            wanted=position < len(takes) and takes[position],
            offset=node["start"] if node["type"] == "function_expression" else offset,
        )


def _growth(node: Node) -> int:
    """How many times over the value can hold what the expression is evaluated on, at most."""
    parts = [_growth(child) for child in _children(node)]
    kind = node["type"]
    if kind in ("multi_select_list", "multi_select_dict"):
        growth = sum(parts)
    elif kind == "function_expression" and node["value"] != "map":
        growth = max(1, sum(parts)) * _WIDENS.get(node["value"], 1)
    elif kind in ("comparator", "not_expression", "or_expression", "and_expression"):
        growth = max(parts)
    else:
        growth = math.prod(parts)
    if growth > MAX_GROWTH:
        raise ExpressionInvalid(
            f"the expression may repeat what it is given more than {MAX_GROWTH} times over",
            "build less of it with [...] and {...} behind one another",
            node.get("start", 0),
        )
    return growth


_WIDENS = {"to_string": 6, "string": 6, "html_clean": 6}  # a control character becomes \u0000


def _plain_path(node: Node) -> tuple[str, ...] | None:
    if node["type"] == "field":
        return (node["value"],)
    if node["type"] == "subexpression" and all(c["type"] == "field" for c in node["children"]):
        return tuple(child["value"] for child in node["children"])
    return None


def _first_names(node: Node) -> Iterator[str]:
    """Only what is certain to be looked for in the document: behind a dot, a pipe or a projection
    the value is another one."""
    if node["type"] == "field":
        yield node["value"]
    elif node["type"] in _NARROWING:
        yield from _first_names(node["children"][0])
    elif node["type"] != "expref":
        for child in _children(node):
            yield from _first_names(child)


_NARROWING = frozenset(
    (
        "subexpression",
        "pipe",
        "index_expression",
        "projection",
        "value_projection",
        "filter_projection",
        "flatten",
    )
)


CONSTANT_WORDS: Mapping[str, str] = {
    **{word: word for word in ("true", "false", "null")},
    **dict.fromkeys(("none", "nil"), "null"),
}
"""Words that are taken for constants, and what stands between the backticks for them."""

_TAKES_CONSTANTS = frozenset(
    {"comparator", "function_expression", "or_expression", "and_expression"}
)
_TAKES_TEXT: Mapping[str, tuple[int, ...]] = {
    "custom": (1, 2),
    "custom_id": (1,),
    "lookup": (0,),
    "number": (1,),
    "phone": (1,),
    "timestamp": (1, 2),
}
"""The arguments that are nearly always written out, by function and position."""


def _suspects(tokens: list[Node]) -> Iterator[tuple[str, int]]:
    for before, token, after in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if (
            token["type"] == "quoted_identifier"
            and before["type"] in ("comma", "eq", "ne", "lparen")
            and after["type"] in ("comma", "rparen", "and", "or", "rbracket", "eof")
            and (_PLAIN_NAME.fullmatch(token["value"]) or not _LETTER.search(token["value"]))
        ):
            yield token["value"], token["start"]
