"""The checked syntax tree to nested Python functions: exact, errors absorbed as CEL does, faults that name the path.

The slower of the two compiled forms. `engine.cel.compile` runs it where its fast code meets anything unusual, and for
the pieces that the fast code leaves out. Equal to the C++ runtime, which takes over where `Retreat` is raised.
"""

from collections.abc import Callable, Mapping
from typing import Any

from engine.cel.contract import CelFault
from engine.cel.declare import LIST_PREFIX
from engine.cel.folds import Evaluator, Frame, exactly_one, mapped, quantifier
from engine.cel.naming import mismatch, not_bool, path_text, shown
from engine.cel.semantics import FUNCTIONS, NoOverload, Retreat, matches, regex
from engine.cel.syntax import Call, Fold, FoldKind, ListOf, Literal, MapOf, Name, Node, Select
from engine.cel.values import kind_of
from engine.clock import format_time
from engine.model import Event, Incident, Json, Signal, Target


class Unsupported(Exception):  # noqa: N818  # not an error: such an expression stays with the C++ runtime
    """This piece of syntax is not compiled."""


Lists = Mapping[str, tuple[Json, ...]]


def build(node: Node, lists: Lists) -> Evaluator:
    """What evaluates `node`. Raises Unsupported for syntax that is left to the C++ runtime."""
    return _Builder(lists).build(node)


class _Builder:
    def __init__(self, lists: Lists) -> None:
        self._lists = lists
        self._bound: dict[str, str] = {}
        self._folds = 0

    def build(self, node: Node) -> Evaluator:
        match node:
            case Literal(value=value):
                return lambda _frame: value
            case Name(name=name):
                return self._name(name)
            case Select():
                return self._select(node)
            case Call(function="_&&_" | "_||_" as function, args=(left, right)):
                return _junction(self.build(left), self.build(right), (left, right), stop=function == "_||_")
            case Call(function="!_", args=(operand,)):
                return _negation(self.build(operand), operand)
            case Call(function="_?_:_", args=(test, then, other)):
                return _choice(self.build(test), self.build(then), self.build(other), test)
            case Call(function="matches", args=(text, Literal(value=str(pattern)))):
                return _matching(self.build(text), text, pattern)
            case Call(function=function) if function in FUNCTIONS:
                return _strict(FUNCTIONS[function], tuple(self.build(each) for each in node.args), node)
            case ListOf(elements=elements):
                makers = tuple(self.build(each) for each in elements)
                return lambda frame: [make(frame) for make in makers]
            case MapOf(entries=entries):
                return _mapping(tuple((self.build(key), self.build(value)) for key, value in entries))
            case Fold():
                return self._fold(node)
            case _:
                raise Unsupported

    def _name(self, name: str) -> Evaluator:
        slot = self._bound.get(name)
        if slot is not None:
            return lambda frame: frame.variables[slot]
        if name.startswith(LIST_PREFIX):
            values = list(self._lists[name.removeprefix(LIST_PREFIX)])
            return lambda _frame: values
        match name:
            case "topic":
                return lambda frame: list(frame.scope.topic)
            case "payload":
                return lambda frame: frame.scope.payload
            case _:
                raise Unsupported

    def _select(self, node: Select) -> Evaluator:
        holder = self._holder(node.operand)
        if holder is not None:
            kind, get = holder
            read = _ATTRIBUTES[kind].get(node.field)
            if read is None:
                raise Unsupported
            return _attribute(get, read, node.field, path_text(node.operand), test=node.test)
        return _field(self.build(node.operand), node)

    def _holder(self, node: Node) -> tuple[str, Evaluator] | None:
        """What gives the struct that `node` stands for (an event, incident, signal or target), with its kind."""
        match node:
            case Name(name="event" | "incident" | "target" as name) if name not in self._bound:
                return name, _root(name)
            case Call(function="_[_]", args=(Name(name="signals"), key)) if "signals" not in self._bound:
                return "signal", _signal(self.build(key))
            case Select(operand=Name(name="signals"), field=field, test=False) if "signals" not in self._bound:
                return "signal", _signal(lambda _frame: field)
            case Select(operand=operand, field="event", test=False):
                holder = self._holder(operand)
                return ("event", _signal_event(holder[1])) if holder is not None and holder[0] == "signal" else None
            case _:
                return None

    def _fold(self, node: Fold) -> Evaluator:
        over = self.build(node.range)
        # A slot of its own, so that a macro inside that binds the same name leaves the outer one as it is.
        self._folds += 1
        slot = f"{node.variable}#{self._folds}"
        outer, self._bound = self._bound, {**self._bound, node.variable: slot}
        test = None if node.test is None else self.build(node.test)
        item = None if node.item is None else self.build(node.item)
        self._bound = outer
        match node.kind:
            case FoldKind.ALL | FoldKind.EXISTS if test is not None:
                return quantifier(node, slot, over, test, stop=node.kind is FoldKind.EXISTS)
            case FoldKind.EXISTS_ONE if test is not None:
                return exactly_one(node, slot, over, test)
            case FoldKind.MAP if item is not None:
                return mapped(node, slot, over, test, item)
            case _:
                raise Unsupported


def _attribute_missing(value: Any) -> Any:
    if value is None:
        raise KeyError
    return value


# A missing attribute is a KeyError; `time` is left to the C++ runtime, which does timestamps.
_ATTRIBUTES: Mapping[str, Mapping[str, Callable[[Any], Any]]] = {
    "event": {
        "id": lambda event: event.id,
        "source": lambda event: event.source,
        "type": lambda event: event.type,
        "subject": lambda event: _attribute_missing(event.subject),
        "datacontenttype": lambda event: event.ext["datacontenttype"],
        "data": lambda event: event.data,
        "ext": lambda event: event.ext,
    },
    "incident": {
        "id": lambda incident: incident.id,
        "type": lambda incident: incident.incident,
        "rule": lambda incident: incident.rule,
        "severity": lambda incident: incident.severity.value,
        "key": lambda incident: dict(incident.key),
        "state": lambda incident: incident.state.value,
        "since": lambda incident: format_time(incident.since_us),
    },
    "signal": {
        "event": lambda signal: _attribute_missing(signal.event),
        "value": lambda signal: float(_attribute_missing(signal.finding.value)),
        "threshold": lambda signal: float(_attribute_missing(signal.finding.threshold)),
        "key": lambda signal: dict(signal.key),
    },
    "target": {
        "kind": lambda target: target.kind,
        "name": lambda target: target.name,
        "labels": lambda target: target.labels,
    },
}


def _root(name: str) -> Evaluator:
    def get(frame: Frame) -> Event | Incident | Target:
        held: Event | Incident | Target | None = getattr(frame.scope, name)
        if held is None:
            raise CelFault(f"there is no `{name}` here")
        return held

    return get


def _signal(key: Evaluator) -> Evaluator:
    def get(frame: Frame) -> Signal:
        name = key(frame)
        signals = frame.scope.signals
        if signals is None or not isinstance(name, str) or name not in signals:
            raise CelFault(f"`signals` has no `{name}`")
        return signals[name]

    return get


def _signal_event(signal: Evaluator) -> Evaluator:
    def get(frame: Frame) -> Event:
        event: Event | None = signal(frame).event
        if event is None:
            raise CelFault("the signal has no `event`: time completed it, not an event")
        return event

    return get


def _attribute(get: Evaluator, read: Callable[[Any], Any], field: str, path: str, *, test: bool) -> Evaluator:
    def evaluate(frame: Frame) -> Any:
        held = get(frame)
        try:
            value = read(held)
        except KeyError:
            if test:
                return False
            raise CelFault(f"{path} has no `{field}`") from None
        return True if test else value

    return evaluate


def _field(operand: Evaluator, node: Select) -> Evaluator:
    path, field, test = path_text(node.operand), node.field, node.test
    named = shown(node.operand)

    def evaluate(frame: Frame) -> Any:
        held = operand(frame)
        if type(held) is not dict:
            raise CelFault(f"{named} is {kind_of(held)}, a map is needed for `{field}`")
        if test:
            return field in held
        try:
            return held[field]
        except KeyError:
            raise CelFault(f"{path} has no `{field}`") from None

    return evaluate


def _strict(apply: Callable[..., Any], arguments: tuple[Evaluator, ...], node: Call) -> Evaluator:
    def explain(fault: NoOverload, values: tuple[Any, ...]) -> CelFault:
        return CelFault(mismatch(node, values) or str(fault))

    if len(arguments) == 1:
        (only,) = arguments

        def unary(frame: Frame) -> Any:
            value = only(frame)
            try:
                return apply(value)
            except NoOverload as fault:
                raise explain(fault, (value,)) from None

        return unary
    if len(arguments) != 2:
        raise Unsupported
    first, second = arguments

    def binary(frame: Frame) -> Any:
        left, right = first(frame), second(frame)
        try:
            return apply(left, right)
        except NoOverload as fault:
            raise explain(fault, (left, right)) from None

    return binary


def _matching(text: Evaluator, node: Node, pattern: str) -> Evaluator:
    try:
        search = regex(pattern)
    except CelFault:
        return lambda frame: matches(text(frame), pattern)
    path = shown(node)

    def evaluate(frame: Frame) -> bool:
        value = text(frame)
        if type(value) is not str:
            raise CelFault(f"{path} is {kind_of(value)}, a string is needed")
        return search(value) is not None

    return evaluate


def _junction(left: Evaluator, right: Evaluator, nodes: tuple[Node, Node], *, stop: bool) -> Evaluator:
    """`&&` (stop: false) and `||` (stop: true): one side that is `stop` decides, whatever the other's error."""

    def evaluate(frame: Frame) -> bool:
        fault: CelFault | None = None
        for side, node in ((left, nodes[0]), (right, nodes[1])):
            try:
                value = side(frame)
            except CelFault as error:
                fault = fault or error
                continue
            if value is stop:
                return bool(stop)
            if value is not (not stop):
                fault = fault or not_bool(node, value)
        if fault is not None:
            raise fault
        return not stop

    return evaluate


def _negation(operand: Evaluator, node: Node) -> Evaluator:
    def evaluate(frame: Frame) -> bool:
        value = operand(frame)
        if value is not True and value is not False:
            raise not_bool(node, value)
        return value is False

    return evaluate


def _choice(test: Evaluator, then: Evaluator, other: Evaluator, node: Node) -> Evaluator:
    def evaluate(frame: Frame) -> Any:
        chosen = test(frame)
        if chosen is not True and chosen is not False:
            raise not_bool(node, chosen)
        return then(frame) if chosen else other(frame)

    return evaluate


def _mapping(entries: tuple[tuple[Evaluator, Evaluator], ...]) -> Evaluator:
    def evaluate(frame: Frame) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, value in entries:
            name = key(frame)
            if type(name) is not str or name in made:
                raise Retreat  # other keys, and keys that stand twice
            made[name] = value(frame)
        return made

    return evaluate
