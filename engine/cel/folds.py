"""The macros over lists and maps (`all`, `exists`, `exists_one`, `map`, `filter`) in the exact form.

A macro evaluates a test once per element with its variable bound in the `Frame`; `engine.cel.interpret` makes them.
"""

from collections.abc import Callable, Iterator
from typing import Any

from engine.cel.contract import CelFault, Scope
from engine.cel.naming import not_bool, shown
from engine.cel.semantics import Retreat
from engine.cel.syntax import Fold
from engine.cel.values import kind_of

ITERATIONS_MAX = 4_000
"""Past this many rounds of macros the C++ runtime takes over, which faults at 10,000."""


class Frame:
    """One evaluation: the scope, the variables that macros bind, and how many rounds they have made."""

    __slots__ = ("rounds", "scope", "variables")

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.variables: dict[str, Any] = {}
        self.rounds = 0


Evaluator = Callable[[Frame], Any]


def _elements(node: Fold, over: Evaluator, frame: Frame) -> list[Any]:
    """What a macro goes over: the elements of a list, the keys of a map in the order they came."""
    held = over(frame)
    if type(held) is list:
        return held
    if type(held) is dict:
        return list(held)
    raise CelFault(f"{shown(node.range)} is {kind_of(held)}, a list or a map is needed")


def _each(node: Fold, slot: str, over: Evaluator, frame: Frame, evaluate: Evaluator) -> Iterator[Any]:
    """`evaluate` for every element, bound to the macro's variable: yields its value or its CelFault."""
    for element in _elements(node, over, frame):
        frame.rounds += 1
        if frame.rounds > ITERATIONS_MAX:
            raise Retreat
        frame.variables[slot] = element
        try:
            value = evaluate(frame)
        except CelFault as fault:
            value = fault
        yield value


def quantifier(node: Fold, slot: str, over: Evaluator, test: Evaluator, *, stop: bool) -> Evaluator:
    """`all` (stop: false) and `exists` (stop: true), which absorb errors like `&&` and `||`."""

    def evaluate(frame: Frame) -> bool:
        fault: CelFault | None = None
        for value in _each(node, slot, over, frame, test):
            if value is stop:
                return bool(stop)
            if isinstance(value, CelFault):
                fault = fault or value
            elif value is not (not stop):
                fault = fault or not_bool(node.test or node, value)
        if fault is not None:
            raise fault
        return not stop

    return evaluate


def exactly_one(node: Fold, slot: str, over: Evaluator, test: Evaluator) -> Evaluator:
    """`exists_one`, where any error is one of the whole."""

    def evaluate(frame: Frame) -> bool:
        return sum(_truth(node, value) for value in _each(node, slot, over, frame, test)) == 1

    return evaluate


def _truth(node: Fold, value: Any) -> bool:
    if isinstance(value, CelFault):
        raise value
    if value is not True and value is not False:
        raise not_bool(node.test or node, value)
    return value is True


def mapped(node: Fold, slot: str, over: Evaluator, test: Evaluator | None, item: Evaluator) -> Evaluator:
    """`map` and `filter`."""

    def step(frame: Frame) -> tuple[Any, ...]:
        if test is not None and not _truth(node, test(frame)):
            return ()
        return (item(frame),)

    def evaluate(frame: Frame) -> list[Any]:
        made: list[Any] = []
        for values in _each(node, slot, over, frame, step):
            if isinstance(values, CelFault):
                raise values
            made += values
        return made

    return evaluate
