"""The Python syntax tree of an expression to the function that evaluates it; `engine.cel.compile` calls it.

Expressions that differ in their constants alone share one code object: a constant is the default of a parameter that no
caller gives. Ten thousand rules of one shape then cost one compilation, and the processor meets the same code again.
"""

import ast
from collections.abc import Callable, Mapping
from types import CodeType, FunctionType
from typing import Any

CODES_MAX = 10_000
"""Code objects kept by their shapes; past this all are made anew."""

_SHELLS: Mapping[str, Any] = {
    "event": ast.parse(
        "def evaluate(event):\n"
        "    try:\n        return None\n"
        "    except _DEVIATIONS:\n        return _exactly(_Scope(event))"
    ),
    "sift": ast.parse("def evaluate(event):\n    return None"),
    "scope": ast.parse(
        "def evaluate(scope):\n"
        "    try:\n        event = scope.event\n        return None\n"
        "    except _DEVIATIONS:\n        return _exactly(scope)"
    ),
}
_sifts: dict[tuple[CodeType, tuple[int, ...]], Callable[[Any], Any]] = {}
_codes: dict[tuple[str, str, tuple[str, ...]], CodeType] = {}


def made_function(
    body: ast.expr, names: Mapping[str, Any], *, of: str, known: dict[str, Any], exactly: Callable[[Any], Any]
) -> Callable[[Any], Any]:
    """`evaluate(event)` or `evaluate(scope)`, as `of` says: the value of `body`, which may use `event` and `names`.

    `exactly` is asked with the scope where it raises one of `_DEVIATIONS`; that and `_Scope` are in `known`, the names
    that all expressions have alike.
    """
    return FunctionType(_code(body, ("_exactly", *names), of), known, "evaluate", (exactly, *names.values()))


def made_sift(body: ast.expr, names: Mapping[str, Any], *, known: dict[str, Any]) -> Callable[[Any], Any]:
    """The value of `body` for an event, and what it raises: one function for all of the same code and constants."""
    code = _code(body, tuple(names), "sift")
    # An id stands for its object as long as that lives, which the kept function sees to
    same = (code, tuple(map(id, names.values())))
    sift = _sifts.get(same)
    if sift is None:
        if len(_sifts) >= CODES_MAX:
            _sifts.clear()
        _sifts[same] = sift = FunctionType(code, known, "evaluate", tuple(names.values()))
    return sift


def _code(body: ast.expr, names: tuple[str, ...], of: str) -> CodeType:
    shape = (of, ast.dump(body), names)
    code = _codes.get(shape)
    if code is None:
        if len(_codes) >= CODES_MAX:
            _codes.clear()
        _codes[shape] = code = _compiled(body, names, of=of)
    return code


def _compiled(body: ast.expr, names: tuple[str, ...], *, of: str) -> CodeType:
    for node in ast.walk(body):
        node.lineno = node.end_lineno = 1  # type: ignore[attr-defined]  # the compiler wants a place for each
        node.col_offset = node.end_col_offset = 0  # type: ignore[attr-defined]
    # The code is built from syntax nodes, never from text: nothing in a rule file can become Python source.
    module = compile(_in_shell(_SHELLS[of], body, names), "<cel>", "exec")
    return next(each for each in module.co_consts if isinstance(each, CodeType))


def _in_shell(shell: Any, body: ast.expr, names: tuple[str, ...]) -> ast.Module:
    """The shell with `body` for its None, and with `names` as parameters; all else of it is shared."""
    function = shell.body[0]
    inner = function.body[0]
    does: ast.stmt = ast.copy_location(ast.Return(body), inner)
    if isinstance(inner, ast.Try):
        does = ast.copy_location(ast.Try([*inner.body[:-1], does], inner.handlers, [], []), inner)
    given = [*function.args.args, *(ast.copy_location(ast.arg(name), function) for name in names)]
    nothing = ast.copy_location(ast.Constant(None), function)
    parameters = ast.arguments([], given, None, [], [], None, [nothing] * len(names))
    made = ast.FunctionDef(function.name, parameters, [does], [], None, None)
    return ast.Module([ast.copy_location(made, function)], [])
