"""What a condition demands of an event before it can be true: tests for the index, from the checked syntax tree.

`event.type == 'a' && event.data.model in ['m1', 'm2'] && event.data.score > 0.9` demands `type` of {'a'} and
`data.model` of {'m1', 'm2'}. An index looks at these few fields and evaluates only the conditions they let through.
Called by the matching core and the rule loader when they are built.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum

from engine.cel.compile import CompiledExpression
from engine.cel.constants import exact
from engine.cel.contract import Expression
from engine.cel.runtime import RuntimeExpression
from engine.cel.syntax import Call, Literal, Name, Node, Select, path_of, walk
from engine.cel.write import constant_values
from engine.model import Json, Struct

Path = tuple[str, ...]
"""Where in an event: `("type",)`, `("subject",)`, `("data", "model")`, `("ext", "region")`."""

VALUES_MAX = 100_000
"""A test for more values than this is no hint."""


_UNTESTED = frozenset({"time", "datacontenttype"})
"""A timestamp equals no literal, and the latter is kept among the extension attributes."""


class Missing(StrEnum):
    """What the condition is on an event that has nothing at the path of a hint."""

    NEVER = "never"
    """The path is there in every event."""
    FALSE = "false"
    """Plainly false where only the last name of the path is missing from its map: `has(…)` stands beside the test."""
    FAULT = "fault"
    """A fault, or false: evaluate it, so that a fault is counted."""


class Hint(Struct, frozen=True):
    """One test that must hold: the value at the path equals one of `values` (text, numbers, bools, null).

    Equality is Python's, which takes True for 1 and so lets a little more through than CEL, never less. Sound for
    skipping: with a value at the path that is not among these, the condition is false and no fault is hidden, since a
    false side of `&&` absorbs the other's error. With nothing at the path, `missing` says whether a fault would be
    hidden; a list or map at the path is a value that equals none of these, a text or number *on the way* to it is a
    fault. (Faults of size alone, past the rounds or depth that CEL bounds, may be hidden.)
    """

    path: Path
    values: frozenset[str | int | float | bool | None]
    missing: Missing


def hints(condition: Expression) -> tuple[Hint, ...]:
    """The tests that `condition`, which must be wanted as a bool, demands; one per path, in the order of the paths."""
    if not isinstance(condition, CompiledExpression | RuntimeExpression):
        return ()
    found = _demands(condition.tree, condition.lists)
    tested = frozenset(_has_tests(condition.tree))
    return tuple(Hint(path, values, _missing(path, tested)) for path, values in sorted(found.items()))


def signals_used(expression: Expression) -> tuple[tuple[str, int], ...]:
    """The ids in `signals["ID"]` and `signals.ID`, with the offset of the id, in the order of the text."""
    if not isinstance(expression, CompiledExpression | RuntimeExpression):
        return ()
    used: list[tuple[str, int]] = []
    for node in walk(expression.tree):
        match node:
            case Call(function="_[_]", args=(Name(name="signals"), Literal(value=str(name), offset=offset))):
                used.append((name, offset))
            case Select(operand=Name(name="signals"), field=field, offset=offset):
                used.append((field, offset + 1))
            case _:
                pass
    return tuple(sorted(used, key=lambda each: each[1]))


_Demands = Mapping[Path, frozenset[str | int | float | bool | None]]


def _demands(node: Node, lists: Mapping[str, tuple[Json, ...]]) -> _Demands:
    match node:
        case Call(function="_&&_", args=(left, right)):
            both, other = dict(_demands(left, lists)), _demands(right, lists)
            for path, values in other.items():
                both[path] = both[path] & values if path in both else values
            return both
        case Call(function="_||_", args=(left, right)):
            # Either side may hold: what both sides demand of one path, either's values.
            first, second = _demands(left, lists), _demands(right, lists)
            return {path: first[path] | second[path] for path in first if path in second}
        case Call(function="_==_", args=(tested, Literal(value=value)) | (Literal(value=value), tested)):
            return _demand(tested, (value,))
        case Call(function="@in", args=(tested, container)):
            constants = constant_values(container, lists)
            return {} if constants is None else _demand(tested, constants)
        case _:
            return {}


def _demand(tested: Node, values: tuple[Json, ...]) -> _Demands:
    path = path_of(tested)
    if path is None or len(path) < 2 or path[0] != "event" or path[1] in _UNTESTED or len(values) > VALUES_MAX:
        return {}
    if not all(_comparable(value) for value in values):
        return {}
    return {path[1:]: frozenset(values)}  # type: ignore[arg-type]  # hashable, as just seen


def _comparable(value: Json) -> bool:
    """Whether Python's equality is CEL's but for bools: no lists or maps, no numbers that CEL would round."""
    return value is None or isinstance(value, str | bool) or exact(value)


def _has_tests(node: Node) -> Iterator[Path]:
    """The paths of the `has(…)` that must hold."""
    match node:
        case Call(function="_&&_", args=(left, right)):
            yield from _has_tests(left)
            yield from _has_tests(right)
        case Select(test=True, operand=operand, field=field):
            path = path_of(operand)
            if path is not None and path[0] == "event":
                yield (*path[1:], field)
        case _:
            pass


def _missing(path: Path, tested: frozenset[Path]) -> Missing:
    if path in {("id",), ("source",), ("type",), ("data",), ("ext",)}:
        return Missing.NEVER
    return Missing.FALSE if path in tested else Missing.FAULT
