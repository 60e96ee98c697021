"""Evaluation by the real C++ runtime: values out, faults out, and what the library must not be asked for."""

import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.cel.contract import CelFault, Scope
from engine.cel.environment import CelEnvironment, ScopeKind, Want
from engine.cel.runtime import RuntimeExpression, check_wanted, finite_number
from engine.model import Event

ENVIRONMENT = CelEnvironment({"odd": ("a\0b",)})


def runtime(source: str, want: Want = Want.ANY) -> RuntimeExpression:
    made: Any = ENVIRONMENT.compile(source, scope=ScopeKind.EVENT, want=want)
    return made if isinstance(made, RuntimeExpression) else made._runtime


def scope(data: Any, time_us: int = 0) -> Scope:
    return Scope(event=Event(id="e", source="s", type="t", time_us=time_us, data=data))


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("event.data", {"x": None, "l": [1, None, {"y": 2.5}], "t": "é"}),
        ("event.data.x", None),
        ("b'ab'", b"ab"),
        ("5u", 5),
        ("duration('90s')", timedelta(seconds=90)),
        ("event.time", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_values_come_out_as_plain_python(source: str, value: object) -> None:
    """Every kind of CEL value has its plain Python value, nested nulls included."""
    got = runtime(source).evaluate(scope({"x": None, "l": [1, None, {"y": 2.5}], "t": "é"}))
    assert got == value
    assert type(got) is type(value)


def test_nulls_do_not_wear_out_none() -> None:
    """A million nulls may be read and returned: the count of references to None stays where it is."""
    returning, reading = runtime("event.data"), runtime("event.data.n == null || type(event.data.l[0]) == int")
    seen = scope({"n": None, "l": [None, None]})
    before = sys.getrefcount(None)
    for _ in range(2_000):
        returning.evaluate(seen)
        reading.evaluate(seen)
    assert sys.getrefcount(None) > before - 500


@pytest.mark.parametrize("data", ["a\0b", {"a\0b": 1}, {"x": ["\0"]}])
def test_a_text_with_nul_is_a_fault(data: Any) -> None:
    """The library would cut the text off, so a condition that needs it faults; a compiled one reads the text."""
    with pytest.raises(CelFault, match="NUL"):
        runtime("type(event.data) == string").evaluate(scope(data))
    compiled: Any = ENVIRONMENT.compile("event.data == 'a\\x00b'", scope=ScopeKind.EVENT, want=Want.BOOL)
    assert compiled.evaluate(scope(data)) is (data == "a\0b")


def test_a_list_with_nul_is_a_fault() -> None:
    """The same for a named list."""
    with pytest.raises(CelFault, match="NUL"):
        runtime("event.data in list.odd").evaluate(scope("a"))


def test_data_nested_too_deeply_is_a_fault() -> None:
    """Data nested past the limit never reaches the library, whose recursion would end the process."""
    data: Any = 1
    for _ in range(500):
        data = [data]
    with pytest.raises(CelFault, match="nested"):
        runtime("event.data == 1u").evaluate(scope(data))


def test_an_integer_beyond_64_bits_is_the_nearest_double() -> None:
    """As JSON numbers are in CEL; it does not make every condition on its event a fault."""
    assert runtime("event.data.big").evaluate(scope({"big": 2**70})) == float(2**70)
    assert runtime("event.data.x == 1u").evaluate(scope({"big": 2**70, "x": 1})) is True


@pytest.mark.parametrize("time_us", [10**20, -(10**20), 2**62])
def test_a_time_out_of_range_is_a_fault(time_us: int) -> None:
    """Past the years that CEL knows, `event.time` has no value."""
    with pytest.raises(CelFault):
        runtime("event.time").evaluate(scope(None, time_us))


def test_a_lone_surrogate_is_a_fault() -> None:
    """A text that is not Unicode faults; JSON decoders refuse it before."""
    with pytest.raises(CelFault):
        runtime("event.data == 'a' && 1u == 1u").evaluate(scope("\ud800"))


@pytest.mark.parametrize(
    ("value", "want"),
    [(1, Want.BOOL), (None, Want.BOOL), (1, Want.STRING), (b"a", Want.STRING), (True, Want.NUMBER), ("1", Want.NUMBER)],
)
def test_a_value_of_another_kind_than_wanted_is_a_fault(value: object, want: Want) -> None:
    """A bool is no number, 1 is no bool, bytes are no string."""
    with pytest.raises(CelFault, match="is needed"):
        check_wanted(value, want)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 10**400])
def test_a_number_that_is_not_finite_is_a_fault(value: float) -> None:
    """NaN and infinity never reach a detector."""
    with pytest.raises(CelFault, match="finite"):
        finite_number(value)
