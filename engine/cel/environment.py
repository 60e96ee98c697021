"""CEL text to a checked `Expression`, or to all that is wrong with it.

One `CelEnvironment` per rule set holds the named lists; the rule and config loaders call `compile` for each
condition, key, value and template part.
"""

import re
from collections.abc import Mapping

from engine.cel.contract import Expression
from engine.cel.declare import Environments, ScopeKind, environments
from engine.cel.problems import CelProblem, ProblemKind, parse_report, type_words, with_article
from engine.cel.runtime import RuntimeExpression, Want
from engine.model import Json

SOURCE_CHARS_MAX = 20_000
"""Longer text is refused: a list of that size belongs into `[list.ID]`."""

_ALLOWED: Mapping[Want, frozenset[str]] = {
    Want.BOOL: frozenset({"bool", "dyn"}),
    Want.NUMBER: frozenset({"int", "uint", "double", "dyn"}),
    Want.STRING: frozenset({"string", "dyn"}),
}
_HELP: Mapping[Want, str] = {
    Want.BOOL: "compare with something: `event.data.count > 0`",
    Want.NUMBER: "convert it: `double(…)`, or count it: `size(…)`",
    Want.STRING: "convert it: `string(…)`",
}
_UNSPEAKABLE = re.compile("[\0\ud800-\udfff]")


class CelEnvironment:
    """Compiles CEL text with the named lists of a rule set in reach."""

    def __init__(self, lists: Mapping[str, tuple[Json, ...]]) -> None:
        """`lists`: the values of each `[list.ID]`, reached as `list.ID`."""
        self._lists = dict(lists)
        self._environments: dict[ScopeKind, Environments] = {}

    def compile(self, source: str, *, scope: ScopeKind, want: Want) -> Expression | tuple[CelProblem, ...]:
        """A checked expression whose values are of the wanted kind, or every problem found (then not empty).

        An expression of static type `dyn` is taken for any want; its values are checked on evaluation.
        """
        refused = _refuse(source)
        if refused is not None:
            return (refused,)
        # Making an environment takes a millisecond and most rule sets use two of the scopes.
        if scope not in self._environments:
            self._environments[scope] = environments(scope, self._lists)
        checker, runner = self._environments[scope]
        try:
            checked = checker.compile(source)
            program = runner.compile(source)
        except RuntimeError as error:
            return parse_report(str(error), source, scope, self._lists)
        result = type_words(checked.return_type().name())
        mismatch = _mismatch(source, result, want)
        if mismatch is not None:
            return (mismatch,)
        return RuntimeExpression(source, result, want=want, program=program, lists=self._lists)


def _refuse(source: str) -> CelProblem | None:
    if len(source) > SOURCE_CHARS_MAX:
        message = f"the expression has {len(source)} characters, at most {SOURCE_CHARS_MAX} are taken"
        return CelProblem(0, 1, message, "long lists of values belong into `[list.ID]`", ProblemKind.LIMIT)
    unspeakable = _UNSPEAKABLE.search(source)
    if unspeakable:
        message = f"U+{ord(unspeakable.group()):04X} can't stand in an expression"
        return CelProblem(unspeakable.start(), 1, message, "", ProblemKind.SYNTAX)
    return None


def _mismatch(source: str, result: str, want: Want) -> CelProblem | None:
    if want is Want.ANY or result in _ALLOWED[want]:
        return None
    offset = len(source) - len(source.lstrip())
    length = max(1, len(source.strip()))
    message = f"this is {with_article(result)}, {with_article(want.value)} is needed"
    return CelProblem(offset, length, message, _HELP[want], ProblemKind.TYPE)
