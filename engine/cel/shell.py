"""The Python syntax tree of a condition to the function that evaluates it; `engine.cel.compile` calls it."""

import ast
from collections.abc import Callable
from typing import Any

from engine.cel.contract import Scope

_SHELL: Any = ast.parse(
    "def evaluate(scope):\n"
    "    try:\n        event = scope.event\n        return None\n"
    "    except _DEVIATIONS:\n        return _exactly(scope)"
)


def made_function(body: ast.expr, names: dict[str, Any]) -> Callable[[Scope], Any]:
    """`evaluate(scope)`: the value of `body`, in which `event` and `names` are known.

    `_exactly(scope)` is asked instead where it raises one of `_DEVIATIONS`; both are among the names.
    """
    for node in ast.walk(body):
        node.lineno = node.end_lineno = 1  # type: ignore[attr-defined]  # the compiler wants a place for each
        node.col_offset = node.end_col_offset = 0  # type: ignore[attr-defined]
    # The code is built from syntax nodes, never from text: nothing in a rule file can become Python source.
    exec(compile(_in_shell(body), "<cel>", "exec"), names)  # noqa: S102  # built from nodes
    evaluate: Callable[[Scope], Any] = names["evaluate"]
    return evaluate


def _in_shell(body: ast.expr) -> ast.Module:
    """The shell with `body` for its None. All else is shared: to parse it anew each time took a while."""
    function = _SHELL.body[0]
    attempt = function.body[0]
    returned = ast.copy_location(ast.Return(body), attempt)
    tried = ast.copy_location(ast.Try([attempt.body[0], returned], attempt.handlers, [], []), attempt)
    made = ast.FunctionDef(function.name, function.args, [tried], [], None, None)
    return ast.Module([ast.copy_location(made, function)], [])
