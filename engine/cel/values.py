"""JSON values as CEL sees them: numbers in range, depth in bounds, and what sort a value is, for people."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from engine.cel.contract import CelFault

INT_MIN, INT_MAX = -(2**63), 2**63 - 1
"""CEL's int is a signed 64-bit integer."""

DEPTH_MAX = 100
"""Data nested deeper is a fault where it is touched: recursion over it must stay within the stack."""

_KINDS: Mapping[type, str] = {
    type(None): "null",
    bool: "a bool",
    int: "an int",
    float: "a double",
    str: "a string",
    bytes: "bytes",
    bytearray: "bytes",
    list: "a list",
    dict: "a map",
    datetime: "a timestamp",
    timedelta: "a duration",
}


def kind_of(value: object) -> str:
    """What sort of value it is, for people: `a string`, `null`."""
    return _KINDS.get(type(value), f"a {type(value).__name__}")


def to_double(value: float) -> float:
    """The nearest double of a number; infinity past the range of doubles."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def plain(value: Any, depth: int = 0) -> Any:
    """A JSON value with every integer beyond 64 bits as the nearest double, which is what JSON numbers are in CEL.

    The value itself where there is none. Raises CelFault when it is nested too deeply.
    """
    kind = type(value)
    if kind is int:
        return value if INT_MIN <= value <= INT_MAX else to_double(value)
    if kind is dict or kind is list:
        if depth >= DEPTH_MAX:
            raise CelFault(f"the data is nested more than {DEPTH_MAX} deep")
        if kind is list:
            items = [plain(each, depth + 1) for each in value]
            changed = any(new is not old for new, old in zip(items, value, strict=True))
            return items if changed else value
        fields = {name: plain(each, depth + 1) for name, each in value.items()}
        changed = any(fields[name] is not old for name, old in value.items())
        return fields if changed else value
    return value
