"""A constant list of a condition as sets, for `in` in constant time with CEL's equality; made by the compiler."""

from collections.abc import Iterable
from typing import Any, TypeGuard

from engine.cel.semantics import equal, is_number
from engine.model import Json

_EXACT_MAX = 2**53


def exact(value: object) -> TypeGuard[int | float]:
    """Whether it is a number that compares in Python as in CEL.

    CEL compares an int with a double as doubles, Python exactly. Below 2^53 both agree, whatever the other number is.
    """
    return (type(value) is int or type(value) is float) and -_EXACT_MAX < value < _EXACT_MAX


class ConstantSet:
    """The values by kind: texts, numbers, the three singletons, and the rest, which is compared one by one."""

    __slots__ = ("_numbers", "_rest", "_singletons", "only_strings", "strings")

    def __init__(self, values: Iterable[Json]) -> None:
        values = tuple(values)
        self.strings = frozenset(value for value in values if isinstance(value, str))
        self._numbers = frozenset(value for value in values if exact(value))
        self._singletons = tuple(value for value in values if value is None or isinstance(value, bool))
        kept = (str, bool, type(None))
        self._rest = tuple(value for value in values if not isinstance(value, kept) and not exact(value))
        self.only_strings = len(self.strings) > 0 and not self._numbers and not self._singletons and not self._rest

    def contains(self, value: Any) -> bool:
        """`value in` these."""
        if type(value) is str:
            return value in self.strings
        if value is None or type(value) is bool:
            return any(value is each for each in self._singletons)
        if is_number(value) and value in self._numbers:
            return True
        return any(equal(value, each) for each in self._rest)
