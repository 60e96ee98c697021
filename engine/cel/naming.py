"""Faults that name the path: `event.data.loss` is a string, a number is needed. The exact form's words."""

from typing import Any

from engine.cel.contract import CelFault
from engine.cel.semantics import is_number
from engine.cel.syntax import Call, Literal, Node, path_of
from engine.cel.values import kind_of

ANONYMOUS = "the value"


def path_text(node: Node) -> str:
    """`event.data.loss`, for faults."""
    path = path_of(node)
    return ".".join(path) if path else ANONYMOUS


def shown(node: Node) -> str:
    """The path in backquotes, to open a fault with."""
    path = path_text(node)
    return path if path == ANONYMOUS else f"`{path}`"


def not_bool(node: Node, value: object) -> CelFault:
    """The fault of a piece that must be a bool."""
    return CelFault(f"{shown(node)} is {kind_of(value)}, a bool is needed")


_NEEDED = {
    "startsWith": "a string",
    "endsWith": "a string",
    "contains": "a string",
    "matches": "a string",
    "@in": "a list or a map",
    "size": "a string, a list or a map",
    "-_": "a number",
}


def mismatch(node: Call, values: tuple[Any, ...]) -> str:
    """Which argument is of the wrong kind, if its name and the kind that is needed can be told."""
    if node.function == "_[_]":
        return ""
    for argument, value, other_node, other in zip(
        node.args, values, reversed(node.args), reversed(values), strict=True
    ):
        path = path_text(argument)
        if isinstance(argument, Literal) or path == ANONYMOUS:
            continue
        needed = _NEEDED.get(node.function)
        if needed is None and len(values) == 2 and isinstance(other_node, Literal):
            sign = node.function.strip("_")
            needed = "a number" if sign in {"<", "<=", ">", ">="} and is_number(other) else kind_of(other)
        elif node.function == "@in" and argument is node.args[0]:
            continue
        if needed is not None and kind_of(value) not in needed:
            return f"`{path}` is {kind_of(value)}, {needed} is needed"
    return ""
