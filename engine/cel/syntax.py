"""The checked syntax tree that the C++ library serialises, as small frozen structs with their places in the text.

`engine.cel.environment` decodes it once per expression; the compiler, the index hints and the checks of literals read
it. Field numbers are those of `cel/expr/checked.proto` and `cel/expr/syntax.proto` of the CEL specification.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory

from engine.model import Struct


class Node(Struct, frozen=True):
    """One piece of an expression; `offset` is its place in the text, in characters (an operator's own place)."""

    offset: int


class Literal(Node, frozen=True):
    """A constant: bool, int, float, str or None."""

    value: bool | int | float | str | None


class Name(Node, frozen=True):
    """A variable: `event`, `list.known_bad`, or one that a macro binds."""

    name: str


class Select(Node, frozen=True):
    """`operand.field`, or `has(operand.field)` when `test` is set."""

    operand: Node
    field: str
    test: bool = False


class Call(Node, frozen=True):
    """A function or operator (`_&&_`, `_[_]`, `@in`, `size`, …); the receiver of a method is the first argument."""

    function: str
    args: tuple[Node, ...]


class ListOf(Node, frozen=True):
    """`[a, b]`."""

    elements: tuple[Node, ...]


class MapOf(Node, frozen=True):
    """`{a: b}`."""

    entries: tuple[tuple[Node, Node], ...]


class FoldKind(StrEnum):
    """The macros over the elements of a list or the keys of a map."""

    ALL = "all"
    EXISTS = "exists"
    EXISTS_ONE = "exists_one"
    MAP = "map"


class Fold(Node, frozen=True):
    """A macro: `range.kind(variable, test)`, or for MAP `range.map(variable, test, item)`; `filter` is a MAP too."""

    kind: FoldKind
    variable: str
    range: Node
    test: Node | None = None
    item: Node | None = None


class Opaque(Node, frozen=True):
    """What only the C++ runtime evaluates: `what` says what it is."""

    what: str
    parts: tuple[Node, ...] = ()


def decode(serialized: bytes) -> Node:
    """The tree of a serialised `cel.expr.CheckedExpr` in its `google.protobuf.Any`."""
    envelope = any_pb2.Any()
    envelope.ParseFromString(serialized)
    checked = _CHECKED.FromString(envelope.value)
    return _Decoder(checked.source_info.positions).node(checked.expr)


def children(node: Node) -> tuple[Node, ...]:
    """The pieces that a node is made of, in the order of the text."""
    match node:
        case Select():
            return (node.operand,)
        case Call():
            return node.args
        case ListOf():
            return node.elements
        case MapOf():
            return tuple(part for entry in node.entries for part in entry)
        case Fold():
            return tuple(part for part in (node.range, node.test, node.item) if part is not None)
        case Opaque():
            return node.parts
        case _:
            return ()


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it."""
    pending = [node]
    while pending:
        node = pending.pop()
        yield node
        pending += children(node)


def path_of(node: Node) -> tuple[str, ...] | None:
    """`event.data.model` to `("event", "data", "model")`; None for anything but a name and constant string keys."""
    fields: list[str] = []
    while True:
        match node:
            case Name(name=name):
                return (name, *reversed(fields))
            case Select(operand=operand, field=field, test=False):
                fields.append(field)
                node = operand
            case Call(function="_[_]", args=(operand, Literal(value=str(key)))):
                fields.append(key)
                node = operand
            case _:
                return None


class _Decoder:
    """Protobuf messages to nodes. The library bounds the nesting of what it parses, which bounds the recursion."""

    def __init__(self, positions: Mapping[int, int]) -> None:
        self._positions = positions

    def node(self, expr: Any) -> Node:
        offset = self._positions.get(expr.id, 0)
        match expr.WhichOneof("kind"):
            case "const":
                return _constant(expr.const, offset)
            case "ident":
                return Name(offset, expr.ident.name.removeprefix("."))
            case "select":
                select = expr.select
                return Select(offset, self.node(select.operand), select.field, select.test)
            case "call":
                call = expr.call
                receiver = (call.target,) if call.HasField("target") else ()
                return Call(offset, call.function, tuple(self.node(each) for each in (*receiver, *call.args)))
            case "list":
                elements = tuple(self.node(each) for each in expr.list.elements)
                return Opaque(offset, "an optional element") if expr.list.optional_indices else ListOf(offset, elements)
            case "struct":
                return self._map(expr.struct, offset)
            case "fold":
                return self._fold(expr.fold, offset)
            case kind:
                return Opaque(offset, f"{kind}")

    def _map(self, struct: Any, offset: int) -> Node:
        values = tuple(self.node(entry.value) for entry in struct.entries)
        if struct.name or any(entry.optional for entry in struct.entries):
            return Opaque(offset, "a message", values)
        keys = (self.node(entry.key) for entry in struct.entries)
        return MapOf(offset, tuple(zip(keys, values, strict=True)))

    def _fold(self, fold: Any, offset: int) -> Node:
        """The macro that expanded to this loop, known by its shape."""
        over = self.node(fold.range)
        start, step, result = self.node(fold.init), self.node(fold.step), self.node(fold.result)
        match start, step, result:
            case Literal(value=True), Call(function="_&&_", args=(Name(name="@result"), test)), Name():
                return Fold(offset, FoldKind.ALL, fold.variable, over, test)
            case Literal(value=False), Call(function="_||_", args=(Name(name="@result"), test)), Name():
                return Fold(offset, FoldKind.EXISTS, fold.variable, over, test)
            case Literal(value=0), Call(function="_?_:_", args=(test, _, _)), Call(function="_==_"):
                return Fold(offset, FoldKind.EXISTS_ONE, fold.variable, over, test)
            case ListOf(), Call(function="_+_", args=(Name(name="@result"), ListOf(elements=(item,)))), Name():
                return Fold(offset, FoldKind.MAP, fold.variable, over, None, item)
            case (
                ListOf(),
                Call(function="_?_:_", args=(test, Call(args=(_, ListOf(elements=(item,)))), Name())),
                Name(),
            ):
                return Fold(offset, FoldKind.MAP, fold.variable, over, test, item)
            case _:
                return Opaque(offset, "a comprehension", (over, start, step, result))


def _constant(constant: Any, offset: int) -> Node:
    kind = constant.WhichOneof("kind")
    if kind == "null":
        return Literal(offset, None)
    if kind in {"uint", "bytes"}:
        return Opaque(offset, f"a {kind} literal")
    return Literal(offset, getattr(constant, kind))


_KINDS = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "bool": _KINDS.TYPE_BOOL,
    "int32": _KINDS.TYPE_INT32,
    "int64": _KINDS.TYPE_INT64,
    "uint64": _KINDS.TYPE_UINT64,
    "double": _KINDS.TYPE_DOUBLE,
    "string": _KINDS.TYPE_STRING,
    "bytes": _KINDS.TYPE_BYTES,
}
# message: field name, number, type; `*` repeated, `|` one of `kind`. Fields that nothing here reads are left out.
_PROTO = {
    "Const": "null 1 int32 |, bool 2 bool |, int 3 int64 |, uint 4 uint64 |, double 5 double |, string 6 string |,"
    "bytes 7 bytes |",
    "Ident": "name 1 string",
    "Selection": "operand 1 Expr, field 2 string, test 3 bool",
    "Function": "target 1 Expr, function 2 string, args 3 Expr *",
    "List": "elements 1 Expr *, optional_indices 2 int32 *",
    "Entry": "key 3 Expr, value 4 Expr, optional 5 bool",
    "Map": "name 1 string, entries 2 Entry *",
    "Loop": "variable 1 string, range 2 Expr, init 4 Expr, step 6 Expr, result 7 Expr",
    "Expr": "id 2 int64, const 3 Const |, ident 4 Ident |, select 5 Selection |, call 6 Function |, list 7 List |,"
    "struct 8 Map |, fold 9 Loop |",
    "PositionsEntry": "key 1 int64, value 2 int32",
    "Source": "positions 4 PositionsEntry *",
    "Checked": "expr 4 Expr, source_info 5 Source",
}


def _checked_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="halon/cel/syntax.proto", package="halon.syntax", syntax="proto3")
    for name, fields in _PROTO.items():
        message = file.message_type.add(name=name)
        for field, number, kind, *mark in (each.split() for each in fields.split(",")):
            added = message.field.add(name=field, number=int(number), label=_KINDS.LABEL_OPTIONAL)
            if mark == ["*"]:
                added.label = _KINDS.LABEL_REPEATED
            elif mark == ["|"]:
                if not message.oneof_decl:
                    message.oneof_decl.add(name="kind")
                added.oneof_index = 0
            if kind in _SCALARS:
                added.type = _SCALARS[kind]
            else:
                added.type, added.type_name = _KINDS.TYPE_MESSAGE, f".halon.syntax.{kind}"
    # A map field's entry type must stand inside the message that has the field.
    source = next(each for each in file.message_type if each.name == "Source")
    entry = next(each for each in file.message_type if each.name == "PositionsEntry")
    source.nested_type.add().CopyFrom(entry)
    source.nested_type[0].options.map_entry = True
    source.field[0].type_name = ".halon.syntax.Source.PositionsEntry"
    file.message_type.remove(entry)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("halon.syntax.Checked"))


_CHECKED = _checked_class()
