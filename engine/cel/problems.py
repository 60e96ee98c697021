"""What is wrong with a piece of CEL text: the C++ library's messages turned into problems with a place and a hint.

`engine.cel.environment` makes them; the rule loader turns them into diagnostics at their place in the file.
"""

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum

from engine.cel.contract import CelFault
from engine.cel.declare import LIST_PREFIX, ROOTS, SHAPES, VALUE_PREFIX, ScopeKind, constant_error
from engine.cel.semantics import regex
from engine.cel.syntax import Call, Literal, Node, walk
from engine.diagnostics import suggest
from engine.model import Struct

PROBLEMS_MAX = 20
"""Problems told per expression; a flood of follow-ups helps nobody."""


class ProblemKind(StrEnum):
    """What sort of mistake it is; diagnostics give each its own code."""

    SYNTAX = "syntax"
    UNKNOWN_NAME = "unknown-name"
    UNKNOWN_LIST = "unknown-list"
    UNKNOWN_VALUE = "unknown-value"
    TYPE = "type"
    REGEX = "regex"
    LITERAL = "literal"
    LIMIT = "limit"
    TEMPLATE = "template"


class CelProblem(Struct, frozen=True):
    """One mistake: `offset` and `length` in characters of the expression's text (length ≥ 1, may lie at its end)."""

    offset: int
    length: int
    message: str
    help: str
    kind: ProblemKind


_BLOCK = re.compile(r"^(?:INVALID_ARGUMENT: )?ERROR: <input>:(-?\d+):(-?\d+): (.*)$", re.MULTILINE)
_STATUS = re.compile(r"\s*\[[A-Z_]+\]\s*$")
_TOKEN = re.compile(
    r"""[rRbB]{0,2}(?:"{3}.*?"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')"""
    r"""|[A-Za-z_]\w*|`[^`]*`|(?:\d[\w.]*)|==|!=|<=|>=|&&|\|\||.""",
    re.DOTALL,
)
_OPERATORS = {
    "_==_": "==", "_!=_": "!=", "_<_": "<", "_<=_": "<=", "_>_": ">", "_>=_": ">=", "_+_": "+", "_-_": "-",
    "_*_": "*", "_/_": "/", "_%_": "%", "!_": "!", "-_": "-", "_&&_": "&&", "_||_": "||", "_?_:_": "?:",
    "_[_]": "[]", "@in": "in",
}  # fmt: skip
_FUNCTIONS = (
    "all", "bool", "bytes", "contains", "double", "duration", "dyn", "endsWith", "exists", "exists_one", "filter",
    "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getHours", "getMilliseconds",
    "getMinutes", "getMonth", "getSeconds", "has", "int", "map", "matches", "size", "startsWith", "string",
    "timestamp", "type", "uint",
)  # fmt: skip
_TYPE_WORDS = {
    "halon.Event": "event",
    "halon.Incident": "incident",
    "halon.Signal": "signal",
    "halon.Target": "target",
    "null_type": "null",
    "google.protobuf.Timestamp": "timestamp",
    "google.protobuf.Duration": "duration",
}
_ATTRIBUTE_HOLDERS = {"halon.Event": "event", "halon.Incident": "incident", "halon.Target": "target"}


def parse_report(text: str, source: str, kind: ScopeKind, names: Iterable[str]) -> tuple[CelProblem, ...]:
    """The library's report on `source` as problems in the order of their places; never empty.

    `names` are those of the lists and values in reach: `list.known_bad`, `value.gpu_hot_c`.
    """
    starts = [0]
    for line in source.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    names = tuple(names)
    found: list[CelProblem] = []
    for line, column, message in _BLOCK.findall(text):
        if "*error*" in message:
            continue  # follows from a problem that is told already
        at = starts[min(int(line), len(starts) - 1) - 1] + int(column) - 1 if int(line) > 0 else 0
        at = max(0, min(at, len(source)))
        found.append(_problem(_STATUS.sub("", message), source, at, kind, names))
    if not found:
        found.append(_unplaced(text, source))
    syntax = [each for each in found if each.kind is ProblemKind.SYNTAX]
    chosen = syntax[:1] or sorted(set(found), key=lambda each: (each.offset, each.message))
    return tuple(chosen[:PROBLEMS_MAX])


def token_length(source: str, offset: int) -> int:
    """How many characters the token at `offset` has; 1 at the end of the text."""
    match = _TOKEN.match(source, offset)
    return len(match.group()) if match else 1


def literal_problems(tree: Node, source: str) -> tuple[CelProblem, ...]:
    """Literals that the library takes at load and that fault each time."""
    return tuple(
        CelProblem(node.args[-1].offset, token_length(source, node.args[-1].offset), *told)
        for node in walk(tree)
        if isinstance(node, Call)
        for told in _literal_problem(node)
    )[:PROBLEMS_MAX]


def _literal_problem(call: Call) -> Iterator[tuple[str, str, ProblemKind]]:
    match call:
        case Call(function="matches", args=(_, Literal(value=str(pattern)))):
            try:
                regex(pattern)
            except CelFault as fault:
                yield str(fault), "inside CEL strings, `\\` is `\\\\`; or write r'…'", ProblemKind.REGEX
        case Call(function="timestamp" | "duration" as function, args=(Literal(value=str(text)),)):
            if constant_error(function, text):
                yield f"{text!r:.80} is no {function}", _LITERAL_HELP[function], ProblemKind.LITERAL
        case _:
            return


_LITERAL_HELP = {
    "timestamp": "RFC 3339, such as `2026-01-31T12:00:00Z`",
    "duration": "a number and a unit of h, m, s, ms, such as `90s` or `1h30m`",
}


def type_words(name: str) -> str:
    """A type's name for people: `MAP<STRING, DYN>` to `map`, `halon.Event` to `event`."""
    return _TYPE_WORDS.get(name, re.split("[<(]", name)[0].lower().replace("null_type", "null"))


def with_article(word: str) -> str:
    """`an int`, `a string`; `null` and plural words stand alone."""
    return word if word == "null" else f"an {word}" if word[:1] in "aeio" else f"a {word}"


def _problem(message: str, source: str, at: int, scope: ScopeKind, names: tuple[str, ...]) -> CelProblem:
    for pattern, make in _MAKERS:
        match = pattern.search(message)
        if match:
            return make(match, source, at, scope, names)
    length = token_length(source, at)
    if "recursion" in message:
        return _unplaced(message, source)
    if "int literal" in message:
        hint = "whole numbers have 64 bits; write a larger one with a point or an exponent: `1e20`"
        return CelProblem(at, length, _type_names_for_people(message), hint, ProblemKind.LITERAL)
    kind = ProblemKind.LITERAL if "literal" in message else ProblemKind.TYPE
    return CelProblem(at, length, _type_names_for_people(message), "", kind)


def too_deep(source: str) -> CelProblem:
    """The problem of an expression whose parts nest deeper than the C++ runtime or protobuf reads."""
    help_ = "split the condition: into two signals, or into `where` and `of`"
    return CelProblem(0, max(1, len(source)), "nested too deeply", help_, ProblemKind.LIMIT)


def _unplaced(text: str, source: str) -> CelProblem:
    if "recursion" in text:
        return too_deep(source)
    return CelProblem(0, max(1, len(source)), text.split("\n", maxsplit=1)[0][:200], "", ProblemKind.SYNTAX)


def _syntax(match: re.Match[str], source: str, at: int, _scope: ScopeKind, _names: tuple[str, ...]) -> CelProblem:
    detail = match.group(1)
    length = token_length(source, at)
    hint = ""
    if "token recognition error" in detail:
        message = "this is not a CEL token"
        if source[at : at + 1] in {"'", '"'}:
            message, hint = "a string that does not end, or an unknown escape", "inside CEL strings, `\\` is `\\\\`"
        elif source[at : at + 1] == "=":
            hint = "equality is `==`"
        elif source[at : at + 1] in {"&", "|"}:
            hint = "`and` is `&&`, `or` is `||`"
    elif at >= len(source.rstrip()):
        message = "the expression ends too early" if source.strip() else "the expression is empty"
        hint = "write what is to hold, as in `event.data.count > 0`, or leave the key out"
    elif re.match(r"(and|or|not)\b", source[at:]):
        message, hint = f"unexpected `{source[at : at + length]}`", "CEL writes `&&`, `||` and `!`"
    else:
        message = f"unexpected `{source[at : at + length]}`"
    return CelProblem(at, length, message, hint, ProblemKind.SYNTAX)


def _reserved(match: re.Match[str], source: str, at: int, _scope: ScopeKind, _names: tuple[str, ...]) -> CelProblem:
    name = match.group(1)
    return CelProblem(
        at,
        token_length(source, at),
        f"`{name}` is a reserved word",
        f"a field of that name is reached as `event.data['{name}']`",
        ProblemKind.SYNTAX,
    )


def _field(match: re.Match[str], source: str, at: int, _scope: ScopeKind, _names: tuple[str, ...]) -> CelProblem:
    name, message_type = match.groups()
    place = re.compile(rf"\.\s*`?({re.escape(name)})\b").search(source, at)
    offset, length = (place.start(1), len(name)) if place else (at, token_length(source, at))
    known = SHAPES.get(message_type.removeprefix("halon."), {})
    holder = type_words(message_type)
    hint = suggest(name, known) or f"{with_article(holder)} has {', '.join(f'`{each}`' for each in known)}"
    if message_type == "halon.Event" and not suggest(name, known):
        hint += f"; what the sender put in is in `data`: `event.data.{name}`"
    return CelProblem(offset, length, f"`{holder}` has no `{name}`", hint, ProblemKind.UNKNOWN_NAME)


def _reference(match: re.Match[str], source: str, at: int, scope: ScopeKind, names: tuple[str, ...]) -> CelProblem:
    full = match.group(1).lstrip(".")
    root = full.split(".", 1)[0]
    if root == VALUE_PREFIX.rstrip("."):
        return _no_value(source, at, names)
    # The report points at the last dot or the opening bracket; the name stands at or before it.
    places = [each.start() for each in re.finditer(rf"(?<!\w){re.escape(root)}(?!\w)", source[: at + len(full)])]
    offset = max((each for each in places if each <= at), default=at)
    if source[offset + len(root) :].lstrip().startswith("(") and "." not in full:
        if root in _FUNCTIONS:
            return CelProblem(offset, len(root), f"`{root}` does not take these arguments", "", ProblemKind.TYPE)
        hint = suggest(root, _FUNCTIONS)
        return CelProblem(offset, len(root), f"there is no function `{root}`", hint, ProblemKind.UNKNOWN_NAME)
    hint = _reference_hint(root, scope)
    return CelProblem(offset, len(root), f"unknown name `{root}`", hint, ProblemKind.UNKNOWN_NAME)


def _reference_hint(root: str, scope: ScopeKind) -> str:
    roots = ROOTS[scope]
    for holder in roots:
        if root in SHAPES.get(holder.title(), {}):
            return f"did you mean `{holder}.{root}`?"
    known = ", ".join(f"`{each}`" for each in roots) or "`list.ID` and `value.ID`"
    return suggest(root, [*roots, "list", "value"]) or f"known here: {known}"


def _no_list(_match: re.Match[str], source: str, at: int, _scope: ScopeKind, names: tuple[str, ...]) -> CelProblem:
    offset, name = _member(source, at)
    lists = [each.removeprefix(LIST_PREFIX) for each in names if each.startswith(LIST_PREFIX)]
    hint = suggest(name, lists) or f"declare it: `[{LIST_PREFIX}{name}] values = [..]`"
    return CelProblem(offset, max(1, len(name)), f"there is no list `{name}`", hint, ProblemKind.UNKNOWN_LIST)


def _no_value(source: str, at: int, names: tuple[str, ...]) -> CelProblem:
    offset, name = _member(source, at)
    values = [each.removeprefix(VALUE_PREFIX) for each in names if each.startswith(VALUE_PREFIX)]
    hint = suggest(name, values) or f"declare it: `[{VALUE_PREFIX}{name}] value = …`"
    return CelProblem(offset, max(1, len(name)), f"there is no value `{name}`", hint, ProblemKind.UNKNOWN_VALUE)


def _member(source: str, at: int) -> tuple[int, str]:
    """The name after the dot at `at`, or after the root that stands there, and where it begins."""
    place = re.compile(r"\w*\s*\.\s*(\w+)").match(source, at)
    return (place.start(1), place.group(1)) if place else (at, "")


def _overload(match: re.Match[str], source: str, at: int, scope: ScopeKind, _names: tuple[str, ...]) -> CelProblem:
    function, arguments = match.groups()
    words = _split_types(arguments)
    operator = _OPERATORS.get(function)
    offset, length = at, token_length(source, at)
    hint = "convert one side: `string(…)`, `int(…)`, `double(…)`" if len(words) == 2 else ""
    if operator is None:
        called = [each.start() for each in re.finditer(rf"(?<!\w){re.escape(function)}(?!\w)", source[:at])]
        offset, length = (called[-1], len(function)) if called else (offset, length)
        return CelProblem(offset, length, f"`{function}` does not take ({', '.join(words)})", "", ProblemKind.TYPE)
    match operator:
        case "==" | "!=" | "<" | "<=" | ">" | ">=":
            message = f"`{operator}` can't compare {with_article(words[0])} with {with_article(words[1])}"
        case "in":
            message, length = f"`in` can't look for {with_article(words[0])} in {with_article(words[1])}", 2
            hint = "the right side is a list of the left side's type, or a map"
        case "?:":
            message, hint = f"`? :` can't take ({', '.join(words)})", "a bool, then two values of one type"
        case "[]":
            message, hint = f"{with_article(words[0])} has no `[{words[1]}]`", ""
        case "!" | "-" if len(words) == 1:
            message = f"`{operator}` does not take {with_article(words[0])}"
        case "&&" | "||":
            message = f"`{operator}` joins two bools, not {with_article(words[0])} and {with_article(words[-1])}"
            hint = "compare with something: `event.data.count > 0`"
        case _:
            message = f"`{operator}` does not take {with_article(words[0])} and {with_article(words[-1])}"
    if "type" in words and scope in {ScopeKind.EVENT, ScopeKind.STEP}:
        hint = "did you mean `event.type`? `type` alone is a name of CEL's own"
    if "null" in words:
        hint = "a missing attribute is not null: test with `has(…)`"
    return CelProblem(offset, length, message, hint, ProblemKind.TYPE)


def _split_types(text: str) -> list[str]:
    """`map(string, dyn), int` to `["map", "int"]`: the outer types."""
    words, depth, start = [], 0, 0
    for index, char in enumerate(f"{text},"):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            words.append(type_words(text[start:index].strip()))
            start = index + 1
    return words


def _type_names_for_people(message: str) -> str:
    for name, word in _TYPE_WORDS.items():
        message = message.replace(name, word)
    return message.replace("'", "`")


_MAKERS = (
    (re.compile(r"^Syntax error: (.*)"), _syntax),
    (re.compile(r"^reserved identifier: (\S+)"), _reserved),
    (re.compile(r"^undefined field '([^']*)' not found in struct '([^']*)'"), _field),
    (re.compile(r"^undeclared reference to '([^']*)'"), _reference),
    (re.compile(r"^expression of type 'type\(list\(dyn\)\)' cannot be the operand of a select"), _no_list),
    (re.compile(r"^found no matching overload for '([^']*)' applied to '\((.*)\)'"), _overload),
)
