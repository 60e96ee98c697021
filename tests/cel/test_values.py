"""JSON values as CEL sees them."""

import pytest

from engine.cel.contract import CelFault
from engine.cel.values import DEPTH_MAX, INT_MAX, INT_MIN, kind_of, plain, to_double


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (INT_MAX, INT_MAX),
        (INT_MIN, INT_MIN),
        (INT_MAX + 1, 2.0**63),
        (INT_MIN - 1, -(2.0**63)),
        (10**400, float("inf")),
        (-(10**400), float("-inf")),
        ({"a": [1, 2**70, {"b": 2**64}], "c": "x"}, {"a": [1, 2.0**70, {"b": 2.0**64}], "c": "x"}),
    ],
)
def test_integers_beyond_64_bits_become_doubles(value: object, expected: object) -> None:
    """At any depth, and infinity past the range of doubles."""
    assert plain(value) == expected
    assert type(plain(value)) is type(expected)


def test_a_value_in_range_is_not_copied() -> None:
    """The common case hands the event's own data on."""
    value = {"a": [1, {"b": None}], "c": True, "d": 1.5}
    assert plain(value) is value


def test_the_depth_is_bounded() -> None:
    """At the limit it is taken, one deeper it is a fault."""
    value: object = 1
    for _ in range(DEPTH_MAX):
        value = [value]
    assert plain(value) is value
    with pytest.raises(CelFault):
        plain([value])


def test_kinds_are_named_for_people() -> None:
    """A bool is not an int, and null stands alone."""
    assert [kind_of(each) for each in (True, 1, 1.0, "", None, [], {})] == [
        "a bool", "an int", "a double", "a string", "null", "a list", "a map",
    ]  # fmt: skip


def test_the_nearest_double_of_any_number() -> None:
    """Doubles stay as they are."""
    assert (to_double(0.1), to_double(2**53 + 1)) == (0.1, 2.0**53)
