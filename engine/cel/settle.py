"""A checked syntax tree with its named values put in: `value.gpu_hot_c` becomes the literal that a rule file gives it.

`engine.cel.environment` calls it, so that the compiler and the index see constants; the C++ runtime is handed the
values by name.
"""

from collections.abc import Mapping

import msgspec

from engine.cel.declare import VALUE_PREFIX
from engine.cel.syntax import Call, Fold, ListOf, Literal, MapOf, Name, Node, Opaque, Select, walk
from engine.model import Json


def values_used(tree: Node, values: Mapping[str, Json]) -> dict[str, Json]:
    """Those of `values` that the tree names, by the name that CEL knows them under."""
    names = {node.name for node in walk(tree) if isinstance(node, Name) and node.name.startswith(VALUE_PREFIX)}
    return {name: values[name.removeprefix(VALUE_PREFIX)] for name in names}


def settle(node: Node, used: Mapping[str, Json]) -> Node:
    """The tree with literals in the places of the names in `used`."""
    if not used:
        return node

    def each(inner: Node) -> Node:
        return settle(inner, used)

    match node:
        case Name(offset=offset, name=name) if name in used:
            return _literal(offset, used[name])
        case Select():
            return msgspec.structs.replace(node, operand=each(node.operand))
        case Call():
            return msgspec.structs.replace(node, args=tuple(map(each, node.args)))
        case ListOf():
            return msgspec.structs.replace(node, elements=tuple(map(each, node.elements)))
        case MapOf():
            return msgspec.structs.replace(node, entries=tuple((each(key), each(value)) for key, value in node.entries))
        case Fold():
            return msgspec.structs.replace(
                node,
                range=each(node.range),
                test=None if node.test is None else each(node.test),
                item=None if node.item is None else each(node.item),
            )
        case Opaque():
            return msgspec.structs.replace(node, parts=tuple(map(each, node.parts)))
        case _:
            return node


def _literal(offset: int, value: Json) -> Node:
    if isinstance(value, dict):
        return MapOf(offset, tuple((Literal(offset, key), _literal(offset, each)) for key, each in value.items()))
    assert not isinstance(value, list), "a list of values is a `[list.ID]`"
    return Literal(offset, value)
