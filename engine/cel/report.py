"""Mistakes in CEL text to diagnostics at their column inside a TOML string; both loaders call this."""

from collections.abc import Mapping

from engine.cel.problems import CelProblem, ProblemKind
from engine.diagnostics import Diagnostic, error
from engine.tomlfile import KeyPath, TomlFile

_CODES: Mapping[ProblemKind, tuple[str, str]] = {
    ProblemKind.SYNTAX: ("H020", "not CEL"),
    ProblemKind.UNKNOWN_NAME: ("H021", "no such name"),
    ProblemKind.UNKNOWN_LIST: ("H016", "no such list"),
    ProblemKind.UNKNOWN_VALUE: ("H017", "no such value"),
    ProblemKind.TYPE: ("H022", "wrong type"),
    ProblemKind.REGEX: ("H023", "not a regular expression of RE2"),
    ProblemKind.LIMIT: ("H024", "past the limit"),
    ProblemKind.TEMPLATE: ("H025", "not a template"),
    ProblemKind.LITERAL: ("H026", "no such value"),
}
"""Code and label of each kind of mistake."""


def cel_diagnostics(problems: tuple[CelProblem, ...], file: TomlFile, path: KeyPath, what: str) -> list[Diagnostic]:
    """What is wrong with the CEL text at `path`, each at its column; `what` names the place for people."""
    return [
        error(
            _CODES[each.kind][0],
            f"in {what}: {each.message}",
            file.inside(path, each.offset, each.length),
            label=_CODES[each.kind][1],
            help=each.help,
        )
        for each in problems
    ]
