"""Evaluation by the C++ runtime: a `Scope` to its activation, its value to plain Python, its errors to `CelFault`.

The way for every expression that is not compiled to Python, and what the compiled ones are held equal to.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from math import isfinite
from typing import Any

from cel_expr_python import cel

from engine.cel.contract import CelFault, Scope
from engine.cel.declare import LIST_PREFIX
from engine.model import Event, Incident, Json, Signal, Target


class Want(StrEnum):
    """The kind of value that the place of an expression needs."""

    BOOL = "bool"
    NUMBER = "number"
    STRING = "string"
    ANY = "any"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MISSING_KEY = re.compile(r'Key not found in map : "?(.*?)"?$', re.DOTALL)
_STATUS = re.compile(r"^[A-Z_]+: ")
_REASON_CHARS_MAX = 200


class RuntimeExpression:
    """A checked expression that the C++ runtime evaluates."""

    __slots__ = ("_lists", "_program", "_want", "compiled", "result", "source")

    def __init__(
        self, source: str, result: str, *, want: Want, program: Any, lists: Mapping[str, tuple[Json, ...]]
    ) -> None:
        """`program` is the library's; of `lists` those named in `source` are handed to it."""
        self.source = source
        self.result = result
        self.compiled = False
        self._want = want
        self._program = program
        self._lists = {
            LIST_PREFIX + name: list(values) for name, values in lists.items() if f"{LIST_PREFIX}{name}" in source
        }

    def evaluate(self, scope: Scope) -> Any:
        """The value as plain Python, of the wanted kind. Raises CelFault."""
        try:
            result = self._program.eval(data=activation(scope) | self._lists)
            if result.type() == cel.Type.ERROR:
                raise CelFault(_reason(str(result.value())))
            value = result.plain_value()
        except (RuntimeError, TypeError, ValueError, OverflowError) as error:
            raise CelFault(_reason(str(error))) from error
        return check_wanted(value, self._want)


def check_wanted(value: Any, want: Want) -> Any:
    """`value` as it is, if it is of the wanted kind and finite. Raises CelFault."""
    match want:
        case Want.BOOL if value is not True and value is not False:
            raise CelFault(f"the value is {kind_of(value)}, a bool is needed")
        case Want.STRING if not isinstance(value, str):
            raise CelFault(f"the value is {kind_of(value)}, a string is needed")
        case Want.NUMBER if type(value) is not int and type(value) is not float:
            raise CelFault(f"the value is {kind_of(value)}, a number is needed")
        case Want.NUMBER if not isfinite(value):
            # Detectors sum and compare: one NaN or infinity would spoil a window for good.
            raise CelFault("the value is not a finite number")
        case _:
            return value


def kind_of(value: object) -> str:
    """What sort of value it is, for people: `a string`, `null`."""
    if value is None:
        return "null"
    return _KINDS.get(type(value), f"a {type(value).__name__}")


def activation(scope: Scope) -> dict[str, Any]:
    """The variables of a scope as the plain maps that CEL sees."""
    data: dict[str, Any] = {"topic": list(scope.topic), "payload": scope.payload}
    if scope.event is not None:
        data["event"] = event_map(scope.event)
    if scope.incident is not None:
        data["incident"] = incident_map(scope.incident)
    if scope.signals is not None:
        data["signals"] = {name: signal_map(signal) for name, signal in scope.signals.items()}
    if scope.target is not None:
        data["target"] = target_map(scope.target)
    return data


def event_map(event: Event) -> dict[str, Any]:
    """An event's attributes; `subject` and `datacontenttype` only where it has them."""
    plain: dict[str, Any] = {
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "time": event_time(event),
        "data": event.data,
        "ext": event.ext,
    }
    if event.subject is not None:
        plain["subject"] = event.subject
    if "datacontenttype" in event.ext:
        plain["datacontenttype"] = event.ext["datacontenttype"]
    return plain


def event_time(event: Event) -> datetime:
    """The event's time as a CEL timestamp. Raises CelFault outside the years 1 to 9999."""
    try:
        return _EPOCH + timedelta(microseconds=event.time_us)
    except OverflowError as error:
        raise CelFault("event.time is out of range") from error


def incident_map(incident: Incident) -> dict[str, Any]:
    """An incident's attributes."""
    return {
        "id": incident.id,
        "type": incident.incident,
        "rule": incident.rule,
        "severity": incident.severity.value,
        "key": dict(incident.key),
        "state": incident.state.value,
    }


def signal_map(signal: Signal) -> dict[str, Any]:
    """A signal's attributes; `event`, `value` and `threshold` only where it has them."""
    plain: dict[str, Any] = {"key": dict(signal.key)}
    if signal.event is not None:
        plain["event"] = event_map(signal.event)
    if signal.finding.value is not None:
        plain["value"] = signal.finding.value
    if signal.finding.threshold is not None:
        plain["threshold"] = signal.finding.threshold
    return plain


def target_map(target: Target) -> dict[str, Any]:
    """A target's attributes."""
    return {"kind": target.kind, "name": target.name, "labels": target.labels}


_KINDS: Mapping[type, str] = {
    bool: "a bool",
    int: "an int",
    float: "a double",
    str: "a string",
    bytes: "bytes",
    list: "a list",
    dict: "a map",
    datetime: "a timestamp",
    timedelta: "a duration",
}


def _reason(message: str) -> str:
    missing = _MISSING_KEY.search(message)
    if missing:
        return f"there is no `{missing.group(1)[:_REASON_CHARS_MAX]}`"
    return _STATUS.sub("", message)[:_REASON_CHARS_MAX]
