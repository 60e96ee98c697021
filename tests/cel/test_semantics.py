"""CEL's functions on JSON values in Python, against the real C++ runtime on every pair of odd values."""

import math
from typing import Any

import pytest

from engine.cel.contract import CelFault
from engine.cel.declare import ScopeKind, environments
from engine.cel.semantics import FUNCTIONS, Retreat, matches, regex
from engine.cel.values import plain
from tests.support.celtext import same

RUNNER = environments(ScopeKind.EVENT, {}).runner
_NUMBERS = [0, 1, -1, 7, -7, 2**53, 2**53 + 1, 2**62, 2**63 - 1, -(2**63), 2**63, 2**70]
_DOUBLES = [0.0, -0.0, 1.0, -2.5, float(2**53), float(2**63), 1e300]
_TEXTS = ["", "a", "b", "é", "😀", "\uffff", "7", " 7 ", "+7", "7.5", "a."]
_NESTED = [[], [1], [1.0], ["a"], [[]], {}, {"a": 1}, {"a": 1.0}, {"b": {}}, {"7": 1}]
ODD: list[Any] = [None, True, False, *_NUMBERS, *_DOUBLES, *_TEXTS, *_NESTED]
_METHODS = ("startsWith", "endsWith", "contains", "matches")
_SIGNS = ("==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%")
BINARY = {
    **{f"_{sign}_": f"event.x {sign} event.y" for sign in _SIGNS},
    **{name: f"event.x.{name}(event.y)" for name in _METHODS},
    "_[_]": "event.x[event.y]",
    "@in": "event.x in event.y",
}
UNARY = {
    "-_": "-event.x",
    **{name: f"{name}(event.x)" for name in ("size", "int", "double", "string", "bool", "dyn")},
}


def by_runtime(program: Any, x: Any, y: Any) -> Any:
    result = program.eval(data={"event": {"x": plain(x), "y": plain(y)}})
    if result.type().name() == "ERROR":
        return CelFault
    # A null is not asked for: see engine.cel.runtime.
    return None if result.type().name() == "NULL" else result.plain_value()


def by_python(function: str, *arguments: Any) -> Any:
    try:
        return plain(FUNCTIONS[function](*arguments))
    except CelFault:
        return CelFault


@pytest.mark.parametrize("function", BINARY)
def test_a_binary_function_equals_the_runtime(function: str) -> None:
    """On all pairs of odd values: the same value of the same type, or an error on both."""
    program = RUNNER.compile(BINARY[function])
    wrong = [
        (x, y, mine, its)
        for x in ODD
        for y in ODD
        if not same(mine := by_python(function, x, y), its := by_runtime(program, x, y))
    ]
    assert not wrong


@pytest.mark.parametrize("function", UNARY)
def test_a_unary_function_equals_the_runtime(function: str) -> None:
    """On all odd values, save those that it leaves to the runtime."""
    program = RUNNER.compile(UNARY[function])
    left, wrong = [], []
    for x in ODD:
        try:
            mine = by_python(function, x)
        except Retreat:
            left.append(x)
            continue
        if not same(mine, its := by_runtime(program, x, None)):
            wrong.append((x, mine, its))
    assert not wrong
    kinds = {"double": (str,), "string": (float, int), "bool": (str,)}
    assert all(isinstance(x, kinds.get(function, ())) for x in left)


def test_division_of_doubles_goes_to_infinity() -> None:
    """Zero has a sign, and 0/0 is no number."""
    divide = FUNCTIONS["_/_"]
    assert [divide(1.0, 0.0), divide(1.0, -0.0), divide(-1.0, 0.0)] == [math.inf, -math.inf, -math.inf]
    assert math.isnan(divide(0.0, -0.0))
    assert math.isnan(divide(math.nan, 0.0))


def test_data_nested_past_the_limit_is_left_to_the_runtime() -> None:
    """Comparing does not recurse without bound."""
    left: Any = 1
    for _ in range(150):
        left = [left]
    with pytest.raises(Retreat):
        FUNCTIONS["_==_"](left, left)


def test_regular_expressions_are_re2() -> None:
    """Linear time on what makes a backtracker hang; look-around and bad patterns are faults with a reason."""
    assert matches("a" * 5_000, "(a|aa)+$")
    for pattern in ("[", "(?=a)", "a{2000}"):
        with pytest.raises(CelFault, match="not a regular expression"):
            regex(pattern)
