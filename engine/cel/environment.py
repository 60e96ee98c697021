"""CEL text to a checked `Expression`, or to all that is wrong with it.

One `CelEnvironment` per rule set holds the named lists and values; the rule and config loaders call `compile` for each
condition, key, value and template part.
"""

import re
from collections.abc import Mapping

from google.protobuf.message import DecodeError

from engine.cel.compile import compile_expression
from engine.cel.contract import CelFault, Expression
from engine.cel.declare import LIST_PREFIX, VALUE_PREFIX, Environments, ScopeKind, environments
from engine.cel.problems import (
    CelProblem,
    ProblemKind,
    literal_problems,
    parse_report,
    too_deep,
    type_words,
    with_article,
)
from engine.cel.runtime import RuntimeExpression, Want
from engine.cel.settle import settle, values_used
from engine.cel.syntax import Call, ListOf, Literal, Name, Node, Select, decode, walk
from engine.cel.values import plain
from engine.model import Json

SOURCE_CHARS_MAX = 20_000
"""Longer text is refused: a list of that size belongs into `[list.ID]`."""

CACHE_LEN_MAX = 10_000
"""Expressions kept for text that comes again; past this, text is compiled anew each time."""

_ALLOWED: Mapping[Want, frozenset[str]] = {
    Want.BOOL: frozenset({"bool", "dyn"}),
    Want.NUMBER: frozenset({"int", "uint", "double", "dyn"}),
    Want.STRING: frozenset({"string", "dyn"}),
    Want.ANY: frozenset(
        {"bool", "int", "uint", "double", "string", "dyn", "bytes", "null", "list", "map", "timestamp", "duration"}
    ),
}
_WORDS: Mapping[Want, str] = {**{want: want.value for want in Want}, Want.ANY: "plain value"}
_HELP: Mapping[Want, str] = {
    Want.BOOL: "compare with something: `event.data.count > 0`",
    Want.NUMBER: "convert it: `double(…)`, or count it: `size(…)`",
    Want.STRING: "convert it: `string(…)`",
    Want.ANY: "name one of its attributes",
}
_LOGIC = frozenset({"_&&_", "_||_", "!_", "_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "@in"})
_SETTLED = _LOGIC | {"size", "matches", "startsWith", "endsWith", "contains"}
"""Functions whose result is of one type whatever they are given."""
_UNSPEAKABLE = re.compile("[\0\ud800-\udfff]")


class CelEnvironment:
    """Compiles CEL text with the named lists and values of a rule set in reach."""

    def __init__(self, lists: Mapping[str, tuple[Json, ...]], values: Mapping[str, Json] | None = None) -> None:
        """`lists`: what each `[list.ID]` holds, reached as `list.ID`; `values`: that of each `[value.ID]`."""
        self._lists = {name: tuple(_plain_or_raw(each) for each in held) for name, held in lists.items()}
        self._values = dict(values or {})
        self._names = (*(LIST_PREFIX + name for name in lists), *(VALUE_PREFIX + name for name in self._values))
        self._environments: dict[ScopeKind, Environments] = {}
        self._compiled: dict[tuple[str, ScopeKind, Want], Expression] = {}

    def compile(self, source: str, *, scope: ScopeKind, want: Want) -> Expression | tuple[CelProblem, ...]:
        """A checked expression whose values are of the wanted kind, or every problem found (then not empty).

        An expression of static type `dyn` is taken for any want; its values are checked on evaluation.
        """
        # Rules repeat each other's keys and conditions, and expressions are immutable.
        known = self._compiled.get((source, scope, want))
        if known is not None:
            return known
        made = self._compile(source, scope, want)
        if not isinstance(made, tuple) and len(self._compiled) < CACHE_LEN_MAX:
            self._compiled[source, scope, want] = made
        return made

    def _compile(self, source: str, scope: ScopeKind, want: Want) -> Expression | tuple[CelProblem, ...]:
        refused = _refuse(source)
        if refused is not None:
            return (refused,)
        # Making an environment takes a millisecond and most rule sets use two of the scopes.
        if scope not in self._environments:
            self._environments[scope] = environments(scope, self._lists, self._values)
        checker, runner = self._environments[scope]
        try:
            checked = checker.compile(source)
        except RuntimeError as error:
            return parse_report(str(error), source, scope, self._names)
        try:
            tree = decode(checked.serialize())
        except DecodeError:  # macros unfold to a tree deeper than protobuf reads
            return (too_deep(source),)
        result = type_words(checked.return_type().name())
        problems = (*literal_problems(tree, source), *_mismatch(source, result, want))
        if problems:
            return problems
        used = values_used(tree, self._values)
        tree = settle(tree, used)
        runtime = RuntimeExpression(source, result, tree=tree, want=want, runner=runner, lists=self._lists, values=used)
        made = compile_expression(runtime, tree, want=want)
        if made is runtime or not _surely_runs(tree):
            try:
                runtime.prepare()
            except RuntimeError as error:
                return parse_report(str(error), source, scope, self._names)
        return made


def _surely_runs(tree: Node) -> bool:
    """Whether what the checker took, the runner takes too: where a type does not hang on an argument's type.

    The runner, which knows less of them, makes an int of `event.data.a + event.data.b`, and refuses to go on with it.
    """
    nodes = list(walk(tree))
    calls = {node.function for node in nodes if isinstance(node, Call)}
    return calls <= _SETTLED and all(isinstance(node, Call | Literal | Name | Select | ListOf) for node in nodes)


def _plain_or_raw(value: Json) -> Json:
    try:
        made: Json = plain(value)
    except CelFault:
        return value  # nested too deeply: a fault where it is touched
    return made


def _refuse(source: str) -> CelProblem | None:
    if len(source) > SOURCE_CHARS_MAX:
        message = f"the expression has {len(source)} characters, at most {SOURCE_CHARS_MAX} are taken"
        return CelProblem(0, 1, message, "long lists of values belong into `[list.ID]`", ProblemKind.LIMIT)
    unspeakable = _UNSPEAKABLE.search(source)
    if unspeakable:
        message = f"U+{ord(unspeakable.group()):04X} can't stand in an expression"
        return CelProblem(unspeakable.start(), 1, message, "", ProblemKind.SYNTAX)
    return None


def _mismatch(source: str, result: str, want: Want) -> tuple[CelProblem, ...]:
    if result in _ALLOWED[want]:
        return ()
    offset = len(source) - len(source.lstrip())
    length = max(1, len(source.strip()))
    message = f"this is {with_article(result)}, {with_article(_WORDS[want])} is needed"
    return (CelProblem(offset, length, message, _HELP[want], ProblemKind.TYPE),)
