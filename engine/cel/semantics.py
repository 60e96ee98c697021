"""CEL's operators and functions on JSON values, as the C++ runtime has them: what both compiled forms call.

A number is an int of 64 bits or a double, never a bool; an int and a double compare as doubles; values of different
kinds are unequal, not an error; arithmetic needs one kind on both sides and faults on overflow.
"""

import operator
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from math import isfinite
from typing import Any, TypeGuard

import re2

from engine.cel.contract import CelFault
from engine.cel.values import DEPTH_MAX, INT_MAX, INT_MIN, kind_of, to_double

REGEX_CACHE_LEN = 256
"""Regular expressions that are made at run time; those written as literals are kept with their expression."""


class Retreat(Exception):  # noqa: N818  # not an error: the caller asks the C++ runtime instead
    """This value is left to the C++ runtime."""


class NoOverload(CelFault):
    """The function does not take a value of this kind."""

    def __init__(self, function: str, *values: object) -> None:
        super().__init__(f"`{function}` does not take {' and '.join(kind_of(each) for each in values)}")


def number(value: Any) -> Any:
    """A number as CEL has it: an int beyond 64 bits is the nearest double. Any other value comes back as it is."""
    return to_double(value) if type(value) is int and not INT_MIN <= value <= INT_MAX else value


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is an int or a double: a bool is not a number."""
    return type(value) is int or type(value) is float


def equal(left: Any, right: Any, depth: int = 0) -> bool:
    """`==`. Raises Retreat for data nested too deeply."""
    kind = type(left)
    if kind is str:
        return bool(left == right)
    if kind is int or kind is float:
        if not is_number(right):
            return False
        left, right = number(left), number(right)
        return bool(left == right) if type(left) is type(right) else float(left) == float(right)
    if kind is not type(right):
        return False
    if depth >= DEPTH_MAX:
        raise Retreat
    if kind is list:
        return len(left) == len(right) and all(
            equal(each, other, depth + 1) for each, other in zip(left, right, strict=True)
        )
    if kind is dict:
        return left.keys() == right.keys() and all(equal(each, right[name], depth + 1) for name, each in left.items())
    return bool(left == right)


_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def compare(order: str, left: Any, right: Any) -> bool:
    """`<`, `<=`, `>`, `>=`: between two numbers, two strings or two bools."""
    apply = _ORDERS[order]
    if is_number(left) and is_number(right):
        left, right = number(left), number(right)
        return apply(left, right) if type(left) is type(right) else apply(float(left), float(right))
    if type(left) is type(right) and type(left) in {str, bool}:
        return apply(left, right)
    raise NoOverload(order, left, right)


def _int(value: int) -> int:
    if INT_MIN <= value <= INT_MAX:
        return value
    raise CelFault("integer overflow")


def _operands(sign: str, left: Any, right: Any) -> tuple[Any, Any]:
    left, right = number(left), number(right)
    if type(left) is not type(right) or not is_number(left):
        raise NoOverload(sign, left, right)
    return left, right


def add(left: Any, right: Any) -> Any:
    """`+`: numbers of one kind, strings, lists."""
    if type(left) is type(right) and type(left) in {str, list}:
        return left + right
    left, right = _operands("+", left, right)
    return _int(left + right) if type(left) is int else left + right


def subtract(left: Any, right: Any) -> Any:
    """`-` between numbers of one kind."""
    left, right = _operands("-", left, right)
    return _int(left - right) if type(left) is int else left - right


def multiply(left: Any, right: Any) -> Any:
    """`*` between numbers of one kind."""
    left, right = _operands("*", left, right)
    return _int(left * right) if type(left) is int else left * right


def divide(left: Any, right: Any) -> Any:
    """`/` between numbers of one kind: ints truncate and fault on zero, doubles go to infinity or NaN."""
    left, right = _operands("/", left, right)
    if type(left) is float:
        return left / right if right else _divide_by_zero(left, right)
    if right == 0:
        raise CelFault("divide by zero")
    quotient = abs(left) // abs(right)
    return _int(quotient if (left < 0) == (right < 0) else -quotient)


def _divide_by_zero(left: float, zero: float) -> float:
    if left == 0 or left != left:  # the latter: NaN
        return float("nan")
    return float("inf") if (left > 0) == (str(zero)[0] != "-") else float("-inf")


def modulo(left: Any, right: Any) -> Any:
    """`%` between ints: the sign is the dividend's."""
    left, right = _operands("%", left, right)
    if type(left) is not int:
        raise NoOverload("%", left, right)
    if right == 0:
        raise CelFault("modulus by zero")
    if left == INT_MIN and right == -1:
        raise CelFault("integer overflow")
    rest = abs(left) % abs(right)
    return -rest if left < 0 else rest


def negate(value: Any) -> Any:
    """`-` before a number."""
    value = number(value)
    if not is_number(value):
        raise NoOverload("-", value)
    return _int(-value) if type(value) is int else -value


def index(container: Any, key: Any) -> Any:
    """`container[key]`: a list by a whole number, a map by a string."""
    if type(container) is list:
        if type(key) is float and key.is_integer():
            key = int(key)
        if type(key) is not int:
            raise NoOverload("[]", container, key)
        if not 0 <= key < len(container):
            raise CelFault(f"index {key} is outside a list of {len(container)}")
        return container[key]
    if type(container) is not dict:
        raise NoOverload("[]", container, key)
    if type(key) is not str:
        raise CelFault(f"the map has no key {key!r:.80}")
    try:
        return container[key]
    except KeyError:
        raise CelFault(f"the map has no `{key:.80}`") from None


def contains(value: Any, container: Any) -> bool:
    """`value in container`: an equal element of a list, a key of a map."""
    if type(container) is list:
        return any(equal(value, each) for each in container)
    if type(container) is not dict or value is None or type(value) in {list, dict}:
        raise NoOverload("in", value, container)
    return type(value) is str and value in container


def size(value: Any) -> int:
    """`size`: the characters of a string, the elements of a list, the keys of a map."""
    if type(value) in {str, list, dict}:
        return len(value)
    raise NoOverload("size", value)


def starts_with(text: Any, prefix: Any) -> bool:
    """`text.startsWith(prefix)`."""
    _strings("startsWith", text, prefix)
    return bool(text.startswith(prefix))


def ends_with(text: Any, suffix: Any) -> bool:
    """`text.endsWith(suffix)`."""
    _strings("endsWith", text, suffix)
    return bool(text.endswith(suffix))


def contains_text(text: Any, part: Any) -> bool:
    """`text.contains(part)`."""
    _strings("contains", text, part)
    return part in text


def matches(text: Any, pattern: Any) -> bool:
    """`text.matches(pattern)`: RE2, anywhere in the text."""
    _strings("matches", text, pattern)
    return _cached_regex(pattern)(text) is not None


def _strings(function: str, text: object, argument: object) -> None:
    if type(text) is not str or type(argument) is not str:
        raise NoOverload(function, text, argument)


Search = Callable[[str], object]


def regex(pattern: str) -> Search:
    """The search of an RE2 regular expression. Raises CelFault where it is none."""
    options = re2.Options()
    options.log_errors = False
    try:
        search: Search = re2.compile(pattern, options).search
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise CelFault(f"not a regular expression (RE2): {text[:160]}") from None
    return search


_cached_regex = lru_cache(maxsize=REGEX_CACHE_LEN)(regex)

_INT_CHARS_MAX = 60
_INT_TEXT = re.compile(r"[ \t\n\v\f\r]*[+-]?[0-9]+[ \t\n\v\f\r]*\Z")


def to_int(value: Any) -> int:
    """`int(value)`: doubles truncate and fault outside 64 bits."""
    value = number(value)
    if type(value) is int or type(value) is bool:
        return int(value)
    if type(value) is float:
        if not isfinite(value) or not INT_MIN < value < INT_MAX:
            raise CelFault("the double is outside the range of int")
        return int(value)
    if type(value) is str:
        if len(value) > _INT_CHARS_MAX:
            raise Retreat
        if not _INT_TEXT.match(value):
            raise CelFault(f"not an int: {value!r:.80}")
        return _int(int(value))
    raise NoOverload("int", value)


def to_float(value: Any) -> float:
    """`double(value)`. Raises Retreat for texts."""
    if is_number(value):
        return to_double(value)
    if type(value) is str:
        raise Retreat
    raise NoOverload("double", value)


def to_text(value: Any) -> str:
    """`string(value)`. Raises Retreat for doubles."""
    value = number(value)
    if type(value) is str:
        return value
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is int:
        return str(value)
    if type(value) is float:
        raise Retreat
    raise NoOverload("string", value)


def to_bool(value: Any) -> bool:
    """`bool(value)`. Raises Retreat for texts."""
    if type(value) is bool:
        return value
    if type(value) is str:
        raise Retreat
    raise NoOverload("bool", value)


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "_==_": equal,
    "_!=_": lambda left, right: not equal(left, right),
    "_<_": lambda left, right: compare("<", left, right),
    "_<=_": lambda left, right: compare("<=", left, right),
    "_>_": lambda left, right: compare(">", left, right),
    "_>=_": lambda left, right: compare(">=", left, right),
    "_+_": add,
    "_-_": subtract,
    "_*_": multiply,
    "_/_": divide,
    "_%_": modulo,
    "-_": negate,
    "_[_]": index,
    "@in": contains,
    "size": size,
    "startsWith": starts_with,
    "endsWith": ends_with,
    "contains": contains_text,
    "matches": matches,
    "int": to_int,
    "double": to_float,
    "string": to_text,
    "bool": to_bool,
    "dyn": lambda value: value,
}
"""The strict functions (those whose arguments are evaluated first) by the names they have in the syntax tree."""
