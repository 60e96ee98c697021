"""The checked syntax tree to one Python code object: what evaluates conditions on the hot path.

The code is hopeful (`engine.cel.write`): it gives CEL's value or raises. Whatever it raises, the exact form
(`engine.cel.interpret`) is asked instead, and that one in its turn leaves a few values to the C++ runtime. So faults
and absorbed errors need no code here. `engine.cel.environment` calls it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from engine.cel.contract import Scope
from engine.cel.folds import Evaluator, Frame
from engine.cel.interpret import Unsupported, build
from engine.cel.naming import shown
from engine.cel.runtime import RuntimeExpression, Want, check_wanted
from engine.cel.semantics import Retreat
from engine.cel.syntax import Call, Fold, Literal, Name, Node, path_of, walk
from engine.cel.values import plain
from engine.cel.write import FOLDS_MAX, OTHER_NAMES, Writer
from engine.model import Event


class CompiledExpression:
    """A checked expression that runs as a Python code object."""

    __slots__ = ("_exact", "_runtime", "_want", "compiled", "evaluate", "lists", "of_event", "result", "source", "tree")

    evaluate: Callable[[Scope], Any]
    of_event: Callable[[Event], Any]

    def __init__(self, runtime: RuntimeExpression, tree: Node, *, want: Want) -> None:
        """Of the same text as `runtime`. Raises Unsupported for syntax that only the C++ runtime evaluates."""
        self.source = runtime.source
        self.result = runtime.result
        self.tree = tree
        self.lists = runtime.lists
        self.compiled = True
        self._want = want
        self._runtime = runtime
        self._exact: Evaluator = build(tree, runtime.lists)
        # Most read nothing but the event, and are spared a Scope.
        if {node.name for node in walk(tree) if isinstance(node, Name)} & OTHER_NAMES:
            evaluate = Writer(runtime.lists, of="scope").function(tree, want, self._evaluate_exactly)
            self.evaluate, self.of_event = evaluate, lambda event: evaluate(Scope(event))
        else:
            of_event = Writer(runtime.lists, of="event").function(tree, want, self._evaluate_exactly)
            self.evaluate, self.of_event = lambda scope: of_event(scope.event), of_event

    def sift(self, given: Mapping[tuple[str, ...], str]) -> Callable[[Event], bool] | None:
        """What knows the events on which this condition is plainly false, among those with these texts at these paths.

        False: it is false and has no fault. Anything else, and where it raises one of DEVIATIONS: it may be anything.
        None where nothing is left to be asked. Conditions that ask the same of what is left share one.
        """
        left = _without(self.tree, given)
        if (
            left is None
            or self._want is not Want.BOOL
            or sum(isinstance(node, Fold) for node in walk(left)) > FOLDS_MAX
        ):
            return None
        return Writer(self.lists, of="event").sift(left)

    def _evaluate_exactly(self, scope: Scope) -> Any:
        try:
            return plain(check_wanted(self._exact(Frame(scope)), self._want, shown(self.tree)))
        except Retreat:
            return self._runtime.evaluate(scope)


def _without(node: Node, given: Mapping[tuple[str, ...], str]) -> Node | None:
    """What is left of a condition that must hold on an event with these texts; None where nothing is."""
    match node:
        case Call(function="_&&_", args=(left, right)):
            first, second = _without(left, given), _without(right, given)
            if first is None or second is None:
                return second if first is None else first
            return Call(offset=node.offset, function="_&&_", args=(first, second))
        case Call(function="_==_", args=(tested, Literal(value=str(text))) | (Literal(value=str(text)), tested)):
            path = path_of(tested)
            known = path is not None and path[0] == "event" and given.get(path[1:]) == text
            return None if known else node
        case _:
            return node


def compile_expression(runtime: RuntimeExpression, tree: Node, *, want: Want) -> RuntimeExpression | CompiledExpression:
    """The compiled form where the syntax allows it, else `runtime` itself."""
    try:
        return CompiledExpression(runtime, tree, want=want)
    except Unsupported:
        return runtime
