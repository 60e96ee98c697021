"""The checked syntax tree to the Python code of an expression; `engine.cel.compile` asks for it.

The code is hopeful: it holds the common forms as plain Python, guarded so that it either gives CEL's value or raises
one of DEVIATIONS. Whatever it raises, the exact form (`engine.cel.interpret`) is asked instead.
"""

import ast
import sys
from collections.abc import Callable, Mapping
from enum import Enum, auto
from functools import lru_cache
from typing import Any

from engine.cel.constants import ConstantSet, exact
from engine.cel.contract import CelFault, Scope
from engine.cel.folds import Frame
from engine.cel.interpret import Unsupported, build
from engine.cel.runtime import Want, check_wanted, finite_number
from engine.cel.semantics import FUNCTIONS, Retreat, regex
from engine.cel.shell import made_function, made_sift
from engine.cel.syntax import Call, Fold, FoldKind, ListOf, Literal, Name, Node, Select, walk
from engine.cel.values import plain
from engine.model import Json

FOLDS_MAX = 2
"""Macros in the fast code; with `_ELEMENTS_MAX` each they stay below the C++ runtime's 10,000 rounds."""
_ELEMENTS_MAX = 4_000


class _Kind(Enum):
    """What is known of a piece's value before it runs; DYN is nothing."""

    BOOL = auto()
    STRING = auto()
    SIZE = auto()
    DYN = auto()


class _Hopeless(Exception):  # noqa: N818  # the piece is run by the exact form instead
    """No fast code for this piece."""


class _Deviation(Exception):  # noqa: N818  # asks for the exact form
    """The value is not of the common kind."""


DEVIATIONS = (
    _Deviation,
    CelFault,
    Retreat,
    KeyError,
    TypeError,
    IndexError,
    AttributeError,
    ValueError,
    OverflowError,
)


def _deviate() -> Any:
    raise _Deviation


def _elements(held: Any) -> Any:
    if type(held) is not list or len(held) > _ELEMENTS_MAX:
        raise _Deviation
    return held


_KNOWN: dict[str, Any] = {
    "_DEVIATIONS": DEVIATIONS,
    "_Frame": Frame,
    "_Scope": Scope,
    "_deviate": _deviate,
    "_elements": _elements,
}
OTHER_NAMES = frozenset({"incident", "signals", "target", "topic", "payload"})
"""Variables beside `event`."""


@lru_cache(maxsize=10_000)
def _shared(_text: str, value: float) -> float:
    """The first number that was written so."""
    return value


_Piece = tuple[ast.expr, _Kind]
_COMPARISONS: Mapping[str, ast.cmpop] = {"_<_": ast.Lt(), "_<=_": ast.LtE(), "_>_": ast.Gt(), "_>=_": ast.GtE()}
_MIRRORED = {"_<_": "_>_", "_<=_": "_>=_", "_>_": "_<_", "_>=_": "_<=_"}
_STRICT = frozenset({"_+_", "_-_", "_*_", "_/_", "_%_", "-_", "int", "dyn", "double", "_[_]"})
_RESULTS = {
    "size": _Kind.SIZE,
    "string": _Kind.STRING,
    "startsWith": _Kind.BOOL,
    "endsWith": _Kind.BOOL,
    "contains": _Kind.BOOL,
}


class Writer:
    """Writes the code of one expression, with the names that it uses."""

    def __init__(self, lists: Mapping[str, tuple[Json, ...]], *, of: str) -> None:
        """`of`: what the function takes."""
        self._lists = lists
        self._of = of
        self._names: dict[str, Any] = {}
        self._temporaries = 0
        self._bound: dict[str, str] = {}

    def function(self, tree: Node, want: Want, exactly: Callable[[Scope], Any]) -> Callable[[Any], Any]:
        """The hopeful code, and `exactly` where it deviates."""
        if sum(isinstance(node, Fold) for node in walk(tree)) > FOLDS_MAX:
            # which counts the rounds
            return exactly if self._of == "scope" else lambda event: exactly(Scope(event))
        return made_function(self._root(tree, want), self._names, of=self._of, known=_KNOWN, exactly=exactly)

    def sift(self, tree: Node) -> Callable[[Any], Any]:
        """The hopeful code alone."""
        return made_sift(self._bool(tree), self._names, known=_KNOWN)

    def _root(self, tree: Node, want: Want) -> ast.expr:
        if want is Want.BOOL:
            return self._bool(tree)
        value, kind = self._piece(tree)
        if want is Want.STRING and kind is _Kind.STRING:
            return value
        if want is Want.ANY:
            return value if kind is not _Kind.DYN else _call(self._keep(plain), value)
        if want is Want.NUMBER:
            return _call(self._keep(finite_number), value)
        return _call(self._keep(lambda value: check_wanted(value, want)), value)

    def _piece(self, node: Node) -> _Piece:
        """The code of a node, or a call of its exact form where there is no fast one."""
        try:
            return self._fast(node)
        except _Hopeless:
            if self._bound:
                raise  # inside a macro, which then is left to its exact form as a whole
            try:
                exactly = build(node, self._lists)
            except Unsupported:
                raise _Hopeless from None  # a piece such as `signals` alone: what it is a part of has an exact form
            scope = _name("scope") if self._of == "scope" else _call(_name("_Scope"), _name("event"))
            return _call(self._keep(exactly), _call(_name("_Frame"), scope)), _Kind.DYN

    def _fast(self, node: Node) -> _Piece:
        match node:
            case Literal(value=value):
                return self._constant(value), _kind_of_constant(value)
            case Name(name=name) if name in self._bound:
                return _name(self._bound[name]), _Kind.DYN
            case Select():
                return self._select(node)
            case Call(function="_[_]", args=(operand, Literal(value=str(key)))):
                return ast.Subscript(self._value(operand), ast.Constant(key), ast.Load()), _Kind.DYN
            case Call(function="_[_]", args=(operand, Literal(value=int(place)))) if type(place) is int and place >= 0:
                held, bind = self._temporary(self._value(operand))
                item = ast.Subscript(held, ast.Constant(place), ast.Load())
                return ast.IfExp(_is_of(bind, "list"), item, _deviation()), _Kind.DYN
            case Call(function="_&&_" | "_||_" as function, args=(left, right)):
                joint = ast.And() if function == "_&&_" else ast.Or()
                return ast.BoolOp(joint, [self._bool(left), self._bool(right)]), _Kind.BOOL
            case Call(function="!_", args=(operand,)):
                return ast.UnaryOp(ast.Not(), self._bool(operand)), _Kind.BOOL
            case Call(function="_?_:_", args=(test, then, other)):
                (first, kind), (second, other_kind) = self._piece(then), self._piece(other)
                return ast.IfExp(self._bool(test), first, second), kind if kind is other_kind else _Kind.DYN
            case Call(function="_==_" | "_!=_" as function, args=(left, right)):
                return self._equality(left, right, negated=function == "_!=_"), _Kind.BOOL
            case Call(function="_<_" | "_<=_" | "_>_" | "_>=_" as function, args=(left, right)):
                return self._order(function, left, right), _Kind.BOOL
            case Call(function="@in", args=(value, container)):
                return self._membership(value, container), _Kind.BOOL
            case Call():
                return self._function(node)
            case Fold(kind=FoldKind.ALL | FoldKind.EXISTS):
                return self._quantifier(node), _Kind.BOOL
            case _:
                raise _Hopeless

    def _value(self, node: Node) -> ast.expr:
        return self._piece(node)[0]

    def _bool(self, node: Node) -> ast.expr:
        """A piece that must be a bool: anything else deviates."""
        value, kind = self._piece(node)
        if kind is _Kind.BOOL:
            return value
        held, bind = self._temporary(value)
        either = ast.BoolOp(
            ast.Or(),
            [ast.Compare(bind, [ast.Is()], [ast.Constant(True)]), _is(held, False)],  # noqa: FBT003  # CEL's
        )
        return ast.IfExp(either, held, _deviation())

    def _select(self, node: Select) -> _Piece:
        operand, field = node.operand, node.field
        if isinstance(operand, Name) and operand.name == "event" and "event" not in self._bound:
            return self._attribute(field, test=node.test)
        held = self._value(operand)
        if not node.test:
            # Of all that JSON has only a map takes a string in brackets; a list, a text, null raise.
            return ast.Subscript(held, ast.Constant(field), ast.Load()), _Kind.DYN
        held, bind = self._temporary(held)
        there = ast.Compare(ast.Constant(field), [ast.In()], [held])
        return ast.IfExp(_is_of(bind, "dict"), there, _deviation()), _Kind.BOOL

    def _attribute(self, field: str, *, test: bool) -> _Piece:
        attribute = ast.Attribute(_name("event"), field, ast.Load())
        match field:
            case "subject" if test:
                return ast.Compare(attribute, [ast.IsNot()], [ast.Constant(None)]), _Kind.BOOL
            case "subject":
                held, bind = self._temporary(attribute)
                present = ast.Compare(bind, [ast.IsNot()], [ast.Constant(None)])
                return ast.IfExp(present, held, _deviation()), _Kind.STRING
            case "id" | "source" | "type" if not test:
                return attribute, _Kind.STRING
            case "data" | "ext" if not test:
                return attribute, _Kind.DYN
            case _:
                raise _Hopeless

    def _equality(self, left: Node, right: Node, *, negated: bool) -> ast.expr:
        if isinstance(left, Literal):
            left, right = right, left
        (value, kind), (other, other_kind) = self._piece(left), self._piece(right)
        if isinstance(right, Literal):
            equal = self._equals_constant(value, right.value)
        elif kind is _Kind.STRING or other_kind is _Kind.STRING or kind is other_kind is _Kind.SIZE:
            equal = ast.Compare(value, [ast.Eq()], [other])
        else:
            equal = _call(self._keep(FUNCTIONS["_==_"]), value, other)
        return ast.UnaryOp(ast.Not(), equal) if negated else equal

    def _equals_constant(self, value: ast.expr, constant: bool | float | str | None) -> ast.expr:  # noqa: FBT001  # a literal
        if constant is None or isinstance(constant, bool):
            return _is(value, constant)
        if isinstance(constant, str) or (exact(constant) and constant not in {0, 1}):
            return ast.Compare(value, [ast.Eq()], [self._constant(constant)])
        if exact(constant):  # 0 and 1, which Python's False and True are equal to
            held, bind = self._temporary(value)
            same = ast.Compare(bind, [ast.Eq()], [ast.Constant(constant)])
            return ast.BoolOp(ast.And(), [same, ast.UnaryOp(ast.Not(), _is_of(held, "bool"))])
        return _call(self._keep(FUNCTIONS["_==_"]), value, self._constant(constant))

    def _order(self, function: str, left: Node, right: Node) -> ast.expr:
        if isinstance(left, Literal):
            left, right, function = right, left, _MIRRORED[function]
        (value, kind), (other, other_kind) = self._piece(left), self._piece(right)
        operator = _COMPARISONS[function]
        if kind is other_kind and kind in {_Kind.STRING, _Kind.SIZE}:
            return ast.Compare(value, [operator], [other])
        if isinstance(right, Literal) and isinstance(right.value, str):
            return ast.Compare(value, [operator], [other])  # Python raises for anything but a string
        if isinstance(right, Literal) and exact(right.value):
            held, bind = self._temporary(value)
            # Python raises for anything but a number, save that it takes a bool for one.
            return ast.IfExp(_is_of(bind, "bool"), _deviation(), ast.Compare(held, [operator], [other]))
        return _call(self._keep(FUNCTIONS[function]), value, other)

    def _membership(self, value: Node, container: Node) -> ast.expr:
        constants = constant_values(container, self._lists)
        if constants is None or (isinstance(container, Name) and container.name in self._bound):
            return _call(self._keep(FUNCTIONS["@in"]), self._value(value), self._value(container))
        members = ConstantSet(constants)
        looked, kind = self._piece(value)
        if kind is _Kind.STRING:
            return ast.Compare(looked, [ast.In()], [self._keep(members.strings)])
        if members.only_strings:
            held, bind = self._temporary(looked)
            there = ast.Compare(held, [ast.In()], [self._keep(members.strings)])
            return ast.BoolOp(ast.And(), [_is_of(bind, "str"), there])
        return _call(self._keep(members.contains), looked)

    def _function(self, node: Call) -> _Piece:
        match node:
            case Call(function="startsWith" | "endsWith" as name, args=(text, Literal(value=str(part)))):
                # Of all that JSON has only a string has these methods.
                method = ast.Attribute(self._value(text), name.lower(), ast.Load())
                return ast.Call(method, [self._constant(part)], []), _Kind.BOOL
            case Call(function="contains", args=(text, Literal(value=str(part)))):
                held, bind = self._temporary(self._value(text))
                there = ast.Compare(self._constant(part), [ast.In()], [held])
                return ast.IfExp(_is_of(bind, "str"), there, _deviation()), _Kind.BOOL
            case Call(function="matches", args=(text, Literal(value=str(pattern)))):
                try:
                    search = self._keep(regex(pattern))
                except CelFault:
                    raise _Hopeless from None
                held, bind = self._temporary(self._value(text))
                found = ast.Compare(_call(search, held), [ast.IsNot()], [ast.Constant(None)])
                return ast.IfExp(_is_of(bind, "str"), found, _deviation()), _Kind.BOOL
            case Call(function=name) if name in _RESULTS or name in _STRICT:
                arguments = [self._value(each) for each in node.args]
                return _call(self._keep(FUNCTIONS[name]), *arguments), _RESULTS.get(name, _Kind.DYN)
            case _:
                raise _Hopeless

    def _quantifier(self, node: Fold) -> ast.expr:
        if self._bound or node.test is None:
            raise _Hopeless  # one inside another: the exact form counts the rounds
        elements = _call(_name("_elements"), self._value(node.range))
        if any(isinstance(each, ast.NamedExpr) for each in ast.walk(elements)):
            raise _Hopeless  # Python has no assignment in that place
        variable = f"_{len(self._names)}_element"
        self._bound[node.variable] = variable
        try:
            test = self._bool(node.test)
        finally:
            self._bound.clear()
        target = ast.Name(variable, ast.Store())
        rounds = ast.GeneratorExp(test, [ast.comprehension(target, elements, [], 0)])
        return _call(_name("all" if node.kind is FoldKind.ALL else "any"), rounds)

    def _constant(self, value: bool | float | str | None) -> ast.expr:  # noqa: FBT001  # a literal
        """A literal: all but the singletons come from outside, so that texts alike but for them share their code."""
        if value is None or isinstance(value, bool):
            return ast.Constant(value)
        # Rules repeat each other's texts and thresholds: one object for all stays in the processor's caches.
        return self._keep(sys.intern(value) if type(value) is str else _shared(repr(value), value))

    def _keep(self, thing: object) -> ast.expr:
        """A name in the code for a Python object."""
        name = f"_{len(self._names)}"
        self._names[name] = thing
        return _name(name)

    def _temporary(self, value: ast.expr) -> tuple[ast.expr, ast.expr]:
        """A variable to read, and the expression that gives it its value and is that value."""
        if isinstance(value, ast.Name):
            return value, value
        self._temporaries += 1
        name = f"t{self._temporaries}"
        return _name(name), ast.NamedExpr(ast.Name(name, ast.Store()), value)


def constant_values(node: Node, lists: Mapping[str, tuple[Json, ...]]) -> tuple[Json, ...] | None:
    """The values of a list of literals or of a named list; None for any other piece."""
    match node:
        case Name(name=name) if name.startswith("list."):
            return lists.get(name.removeprefix("list."))
        case ListOf(elements=elements):
            found = tuple(each.value for each in elements if isinstance(each, Literal))
            return found if len(found) == len(elements) else None
        case _:
            return None


def _name(name: str) -> ast.expr:
    return ast.Name(name, ast.Load())


def _call(function: ast.expr, *arguments: ast.expr) -> ast.expr:
    return ast.Call(function, list(arguments), [])


def _deviation() -> ast.expr:
    return _call(_name("_deviate"))


def _is(value: ast.expr, constant: bool | None) -> ast.expr:  # noqa: FBT001  # one of Python's three singletons
    return ast.Compare(value, [ast.Is()], [ast.Constant(constant)])


def _is_of(value: ast.expr, kind: str) -> ast.expr:
    """`value.__class__ is kind`."""
    return ast.Compare(ast.Attribute(value, "__class__", ast.Load()), [ast.Is()], [_name(kind)])


def _kind_of_constant(value: object) -> _Kind:
    return _Kind.BOOL if isinstance(value, bool) else _Kind.STRING if isinstance(value, str) else _Kind.DYN
