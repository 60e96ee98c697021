"""The names that CEL text may use in each place, as environments of the C++ library.

Two environments per scope: `checker` knows the shape of `event` and its kin as protobuf messages, so that a misspelt
attribute or a comparison of two types is an error at load; `runner` takes the same names as plain maps, which is what
evaluation is fed with. Called by `engine.cel.environment` only.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from cel_expr_python import cel
from google.protobuf import descriptor_pb2, descriptor_pool, struct_pb2, timestamp_pb2

from engine.model import Json

LIST_PREFIX = "list."
"""`[list.bad_hosts]` of a rule file is `list.bad_hosts` in CEL."""
VALUE_PREFIX = "value."
"""`[value.gpu_hot_c]` of a rule file is `value.gpu_hot_c` in CEL."""


class ScopeKind(StrEnum):
    """Where an expression stands, which decides the names it may use."""

    EVENT = "event"
    """Conditions, keys and values of signals: `event`."""
    STEP = "step"
    """Parameters and conditions of steps: `event`, `incident`, `signals`."""
    TARGET = "target"
    """Guards: `target`."""
    MESSAGE = "message"
    """Mapping plain JSON to an event: `topic` and `payload`."""
    LOAD = "load"
    """Parameters of detection methods, which are settled at load: the named lists and values alone."""


class Environments(NamedTuple):
    """The two environments of one scope."""

    checker: Any
    runner: Any


_STRING = "string"
_DOUBLE = "double"
_STRING_MAP = "map"
_TIME = ".google.protobuf.Timestamp"
_JSON = ".google.protobuf.Value"
_JSON_MAP = ".google.protobuf.Struct"

SHAPES: Mapping[str, Mapping[str, str]] = {
    "Event": {
        "id": _STRING,
        "source": _STRING,
        "type": _STRING,
        "time": _TIME,
        "subject": _STRING,
        "datacontenttype": _STRING,
        "data": _JSON,
        "ext": _JSON_MAP,
    },
    "Incident": {
        "id": _STRING,
        "type": _STRING,
        "rule": _STRING,
        "severity": _STRING,
        "key": _STRING_MAP,
        "state": _STRING,
        "since": _STRING,
    },
    "Signal": {"event": ".halon.Event", "value": _DOUBLE, "threshold": _DOUBLE, "key": _STRING_MAP},
    "Target": {"kind": _STRING, "name": _STRING, "labels": _STRING_MAP},
}
"""The attributes of what a scope holds, by the name of the message that stands for it in the checker."""

_MESSAGES = {"event": "halon.Event", "incident": "halon.Incident", "target": "halon.Target"}

ROOTS: Mapping[ScopeKind, tuple[str, ...]] = {
    ScopeKind.EVENT: ("event",),
    ScopeKind.STEP: ("event", "incident", "signals"),
    ScopeKind.TARGET: ("target",),
    ScopeKind.MESSAGE: ("topic", "payload"),
    ScopeKind.LOAD: (),
}
"""The variables of each scope, besides the lists and values."""


def environments(
    kind: ScopeKind, lists: Mapping[str, tuple[Json, ...]], values: Mapping[str, Json] | None = None
) -> Environments:
    """Both environments of a scope, with the named lists and values declared."""
    named = {LIST_PREFIX + name: cel.Type.List(_element_type(each)) for name, each in lists.items()}
    named |= {VALUE_PREFIX + name: _value_type(each) for name, each in (values or {}).items()}
    strict = {root: _strict_type(root) for root in ROOTS[kind]}
    loose = {root: _loose_type(root) for root in ROOTS[kind]}
    return Environments(
        checker=cel.NewEnv(_POOL, variables=strict | named), runner=cel.NewEnv(_POOL, variables=loose | named)
    )


def constant_error(function: str, text: str) -> str:
    """What the library says of `timestamp('text')` or `duration('text')`; empty where it is one."""
    result = _CONSTANTS[function].eval(data={"text": text})
    return str(result.value()) if result.type() == cel.Type.ERROR else ""


def _strict_type(root: str) -> Any:
    if root in _MESSAGES:
        return cel.Type(_MESSAGES[root])
    if root == "signals":
        return cel.Type.Map(cel.Type.STRING, cel.Type("halon.Signal"))
    return _loose_type(root)


def _loose_type(root: str) -> Any:
    match root:
        case "topic":
            return cel.Type.List(cel.Type.STRING)
        case "payload":
            return cel.Type.DYN
        case _:
            return cel.Type.Map(cel.Type.STRING, cel.Type.DYN)


def _element_type(values: tuple[Json, ...]) -> Any:
    """The type that all values share, so that testing a string against a list of numbers is found at load."""
    kinds = {type(value) for value in values}
    if len(kinds) != 1:
        return cel.Type.DYN
    return {bool: cel.Type.BOOL, int: cel.Type.INT, float: cel.Type.DOUBLE, str: cel.Type.STRING}.get(
        kinds.pop(), cel.Type.DYN
    )


def _value_type(value: Json) -> Any:
    if isinstance(value, dict):
        return cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    return _element_type((value,))


def _descriptor_pool() -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="halon/cel/scope.proto",
        package="halon",
        syntax="proto3",
        dependency=[struct_pb2.DESCRIPTOR.name, timestamp_pb2.DESCRIPTOR.name],
    )
    for name, fields in SHAPES.items():
        _add_message(file.message_type.add(name=name), fields)
    pool = descriptor_pool.Default()  # the well-known types live in this pool
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def _add_message(message: descriptor_pb2.DescriptorProto, fields: Mapping[str, str]) -> None:
    kinds = descriptor_pb2.FieldDescriptorProto
    for number, (name, kind) in enumerate(fields.items(), 1):
        field = message.field.add(name=name, number=number, label=kinds.LABEL_OPTIONAL)
        if kind == _STRING:
            field.type = kinds.TYPE_STRING
        elif kind == _DOUBLE:
            field.type = kinds.TYPE_DOUBLE
        elif kind == _STRING_MAP:
            entry = message.nested_type.add(name=f"{name.title()}Entry")
            entry.options.map_entry = True
            _add_message(entry, {"key": _STRING, "value": _STRING})
            field.label = kinds.LABEL_REPEATED
            field.type = kinds.TYPE_MESSAGE
            field.type_name = f".halon.{message.name}.{entry.name}"
        else:
            field.type = kinds.TYPE_MESSAGE
            field.type_name = kind


_POOL = _descriptor_pool()
_CONSTANTS = {
    function: cel.NewEnv(_POOL, variables={"text": cel.Type.STRING}).compile(f"{function}(text)")
    for function in ("timestamp", "duration")
}
