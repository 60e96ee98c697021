"""A condition's syntax tree to the reason why it can never be true, where that can be seen from its text.

Looks at what stands between the outermost `&&`s: comparisons of one field with constants that exclude each other.
`engine.rulefile.lint` calls this; an empty answer claims nothing.
"""

from collections.abc import Iterator
from math import inf

from engine.cel.syntax import Call, ListOf, Literal, Node, path_of
from engine.rulefile.rules import EventTypes

Path = tuple[str, ...]
_MIRRORED = {"_<_": "_>_", "_<=_": "_>=_", "_>_": "_<_", "_>=_": "_<=_", "_==_": "_==_", "_!=_": "_!=_"}
_TYPE: Path = ("event", "type")


def contradiction(tree: Node, on: EventTypes) -> str:
    """Why no event of the types `on` can satisfy the condition; an empty text where nothing is found."""
    allowed: dict[Path, set[tuple[bool, object]]] = {}
    excluded: dict[Path, set[tuple[bool, object]]] = {}
    for part in _conjuncts(tree):
        if isinstance(part, Literal) and part.value is False:
            return "it says `false`"
        for path, values in _equalities(part):
            allowed[path] = allowed[path] & values if path in allowed else values
        for path, value in _inequalities(part):
            excluded.setdefault(path, set()).add(value)
    for path, values in allowed.items():
        if not values - excluded.get(path, set()):
            return f"`{'.'.join(path)}` can't be all of these at once"
        if path == _TYPE and not any(isinstance(value, str) and on.match(value) for _, value in values):
            return "`event.type` is none of those in `on`"
    return _empty_interval(tree, allowed)


def _empty_interval(tree: Node, allowed: dict[Path, set[tuple[bool, object]]]) -> str:
    """Bounds of one field that leave no number between them, or none of those it must equal."""
    bounds: dict[Path, tuple[float, bool, float, bool]] = {}
    for part in _conjuncts(tree):
        for path, function, value in _comparisons(part):
            low, low_open, high, high_open = bounds.get(path, (-inf, False, inf, False))
            if function in ("_>_", "_>=_") and (value, function == "_>_") > (low, low_open):
                low, low_open = value, function == "_>_"
            elif function in ("_<_", "_<=_") and (value, function != "_<_") < (high, not high_open):
                high, high_open = value, function == "_<_"
            bounds[path] = low, low_open, high, high_open
    for path, (low, low_open, high, high_open) in bounds.items():
        if low > high or (low == high and (low_open or high_open)):
            return f"no number lies between the bounds of `{'.'.join(path)}`"
        numbers = [each for is_bool, each in allowed.get(path, ()) if not is_bool and isinstance(each, int | float)]
        if numbers and not any(
            (low < each or (low == each and not low_open)) and (each < high or (each == high and not high_open))
            for each in numbers
        ):
            return f"`{'.'.join(path)}` lies outside of its own bounds"
    return ""


def _conjuncts(tree: Node) -> Iterator[Node]:
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, Call) and node.function == "_&&_":
            pending += reversed(node.args)
        else:
            yield node


def _equalities(part: Node) -> Iterator[tuple[Path, set[tuple[bool, object]]]]:
    """`path == constant` and `path in [constants]`, as the values that the path may have."""
    match part:
        case Call(function="_==_"):
            for path, value in _path_and_constant(part):
                yield path, {value}
        case Call(function="@in", args=(left, ListOf(elements=elements))):
            listed = path_of(left)
            if listed is not None and all(isinstance(each, Literal) for each in elements):
                yield listed, {_tagged(each.value) for each in elements if isinstance(each, Literal)}


def _inequalities(part: Node) -> Iterator[tuple[Path, tuple[bool, object]]]:
    if isinstance(part, Call) and part.function == "_!=_":
        yield from _path_and_constant(part)


def _path_and_constant(part: Call) -> Iterator[tuple[Path, tuple[bool, object]]]:
    for one, other in (part.args, part.args[::-1]) if len(part.args) == 2 else ():
        path = path_of(one)
        if path is not None and isinstance(other, Literal):
            yield path, _tagged(other.value)


def _comparisons(part: Node) -> Iterator[tuple[Path, str, float]]:
    """`path < number` and its kin, the path on the left."""
    if not isinstance(part, Call) or part.function not in _MIRRORED or len(part.args) != 2:
        return
    left, right = part.args
    for one, other, function in ((left, right, part.function), (right, left, _MIRRORED[part.function])):
        path = path_of(one)
        if path is not None and isinstance(other, Literal) and type(other.value) in (int, float):
            yield path, function, float(other.value or 0)


def _tagged(value: object) -> tuple[bool, object]:
    """The value so that true is not one: Python takes them for equal, CEL does not."""
    return isinstance(value, bool), value
