"""Evaluation by the C++ runtime: a `Scope` to its activation, its value to plain Python, its errors to `CelFault`.

The way for every expression that is not compiled to Python, and what the compiled ones are held equal to.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from math import isfinite
from typing import Any

from cel_expr_python import cel
from google.protobuf.timestamp_pb2 import Timestamp

from engine.cel.contract import CelFault, Scope
from engine.cel.declare import LIST_PREFIX
from engine.cel.syntax import Name, Node, walk
from engine.cel.values import kind_of, plain
from engine.clock import format_time
from engine.model import Event, Incident, Json, Signal, Target


class Want(StrEnum):
    """The kind of value that the place of an expression needs."""

    BOOL = "bool"
    NUMBER = "number"
    STRING = "string"
    ANY = "any"


_MISSING_KEY = re.compile(r'Key not found in map : "?(.*?)"?$', re.DOTALL)
_STATUS = re.compile(r"^[A-Z_]+: ")
_REASON_CHARS_MAX = 200
_INFINITY = float("inf")


class RuntimeExpression:
    """A checked expression that the C++ runtime evaluates."""

    __slots__ = (
        "_has_nul",
        "_named",
        "_program",
        "_runner",
        "_want",
        "_with_time",
        "compiled",
        "lists",
        "result",
        "source",
        "tree",
    )

    def __init__(
        self,
        source: str,
        result: str,
        *,
        tree: Node,
        want: Want,
        runner: Any,
        lists: Mapping[str, tuple[Json, ...]],
        values: Mapping[str, Json],
    ) -> None:
        """`runner` is the library's environment; of `lists` those that the tree names are kept and handed to it.

        `values` are the named values that its text uses, by their full names; in the tree they are literals already.
        """
        self.source = source
        self.result = result
        self.compiled = False
        self._want = want
        self._runner = runner
        self._program: Any = None
        self._with_time = "time" in source
        names = {node.name for node in walk(tree) if isinstance(node, Name)}
        self.tree = tree
        self.lists = {name: lists[name] for name in (each.removeprefix(LIST_PREFIX) for each in names) if name in lists}
        self._named = {**{LIST_PREFIX + name: list(held) for name, held in self.lists.items()}, **values}
        self._has_nul = has_nul(self._named)

    def prepare(self) -> None:
        """Make the library's program, which takes as long as checking did; raises RuntimeError where it refuses.

        Most compiled expressions never ask the runtime: theirs is made when they do.
        """
        if self._program is None:
            self._program = self._runner.compile(self.source)

    def evaluate(self, scope: Scope) -> Any:
        """The value as plain Python, of the wanted kind. Raises CelFault."""
        try:
            self.prepare()
            data = activation(scope, with_time=self._with_time)
            if self._has_nul or has_nul(data):
                raise CelFault("a text has a NUL character, which this condition can't be evaluated on")
            value = _plain_result(self._program.eval(data=data | self._named))
        except (RuntimeError, TypeError, ValueError, OverflowError) as error:
            raise CelFault(_reason(str(error))) from error
        return check_wanted(value, self._want)

    def of_event(self, event: Event) -> Any:
        """The same with the event as all there is in the scope."""
        return self.evaluate(Scope(event))


def check_wanted(value: Any, want: Want, name: str = "the value") -> Any:
    """`value` as it is, if it is of the wanted kind and finite; `name` opens the fault. Raises CelFault."""
    match want:
        case Want.BOOL if value is not True and value is not False:
            raise CelFault(f"{name} is {kind_of(value)}, a bool is needed")
        case Want.STRING if type(value) is not str:
            raise CelFault(f"{name} is {kind_of(value)}, a string is needed")
        case Want.NUMBER:
            return finite_number(value, name)
        case _:
            return value


def finite_number(value: Any, name: str = "the value") -> int | float:
    """A number of 64 bits. Raises CelFault for anything else, infinity and NaN among them.

    Detectors sum and compare: one NaN or infinity would spoil a window for good.
    """
    if type(value) is float and -_INFINITY < value < _INFINITY:
        return value
    value = plain(value)
    if type(value) is not int and type(value) is not float:
        raise CelFault(f"{name} is {kind_of(value)}, a number is needed")
    if not isfinite(value):
        raise CelFault(f"{name} is not a finite number")
    return value


def activation(scope: Scope, *, with_time: bool = True) -> dict[str, Any]:
    """The variables of a scope as the plain maps that the C++ runtime takes. Raises CelFault for data it can't take.

    `with_time` off leaves `event.time` out, which costs a microsecond and few expressions name.
    """
    data: dict[str, Any] = {"topic": list(scope.topic), "payload": plain(scope.payload)}
    if scope.event is not None:
        data["event"] = event_map(scope.event, with_time=with_time)
    if scope.incident is not None:
        data["incident"] = incident_map(scope.incident)
    if scope.signals is not None:
        data["signals"] = {name: signal_map(signal, with_time=with_time) for name, signal in scope.signals.items()}
    if scope.target is not None:
        data["target"] = target_map(scope.target)
    return data


def event_map(event: Event, *, with_time: bool = True) -> dict[str, Any]:
    """An event's attributes; `subject` and `datacontenttype` only where it has them."""
    attributes: dict[str, Any] = {
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "data": plain(event.data),
        "ext": plain(event.ext),
    }
    if with_time:
        # The runtime takes datetimes as variables only, not inside a map; messages it takes everywhere.
        seconds, micros = divmod(event.time_us, 1_000_000)
        attributes["time"] = Timestamp(seconds=seconds, nanos=micros * 1_000)
    if event.subject is not None:
        attributes["subject"] = event.subject
    if "datacontenttype" in event.ext:
        attributes["datacontenttype"] = event.ext["datacontenttype"]
    return attributes


def incident_map(incident: Incident) -> dict[str, Any]:
    """An incident's attributes."""
    return {
        "id": incident.id,
        "type": incident.incident,
        "rule": incident.rule,
        "severity": incident.severity.value,
        "key": dict(incident.key),
        "state": incident.state.value,
        "since": format_time(incident.since_us),
    }


def signal_map(signal: Signal, *, with_time: bool = True) -> dict[str, Any]:
    """A signal's attributes; `event`, `value` and `threshold` only where it has them."""
    attributes: dict[str, Any] = {"key": dict(signal.key)}
    if signal.event is not None:
        attributes["event"] = event_map(signal.event, with_time=with_time)
    if signal.finding.value is not None:
        attributes["value"] = float(signal.finding.value)
    if signal.finding.threshold is not None:
        attributes["threshold"] = float(signal.finding.threshold)
    return attributes


def target_map(target: Target) -> dict[str, Any]:
    """A target's attributes."""
    return {"kind": target.kind, "name": target.name, "labels": target.labels}


def has_nul(value: Any) -> bool:
    """Whether a text in it has a NUL character, at which the library cuts texts off that it is handed."""
    if type(value) is str:
        return "\0" in value
    if type(value) is dict:
        return any(has_nul(name) or has_nul(each) for name, each in value.items())
    return type(value) is list and any(has_nul(each) for each in value)


def _plain_result(result: Any) -> Any:
    """The library's value as plain Python. Raises CelFault where it is an error."""
    kind = result.type()
    if kind == cel.Type.ERROR:
        raise CelFault(_reason(str(result.value())))
    # The library gives away a reference to None that it does not own for each null it converts, which ends the process
    # after some thousands of them where None is counted (Python 3.11): nulls are never asked for.
    if kind == cel.Type.NULL:
        return None
    if kind == cel.Type.LIST:
        return [_plain_result(each) for each in result.value()]
    if kind == cel.Type.MAP:
        return {name: _plain_result(each) for name, each in result.value().items()}
    if kind == cel.Type.BYTES:
        return bytes(result.plain_value())
    return result.plain_value()


def _reason(message: str) -> str:
    missing = _MISSING_KEY.search(message)
    if missing:
        return f"there is no `{missing.group(1)[:_REASON_CHARS_MAX]}`"
    return _STATUS.sub("", message)[:_REASON_CHARS_MAX]
