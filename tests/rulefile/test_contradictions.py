"""Conditions that can never be true, told from their text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.cel.contract import CelFault, Scope
from engine.cel.declare import ScopeKind
from engine.cel.environment import CelEnvironment
from engine.cel.runtime import Want
from engine.model import Event
from engine.rulefile.contradictions import contradiction
from engine.rulefile.rules import EventTypes

CEL = CelEnvironment({})
ON = EventTypes(exact=frozenset({"t", "u"}), prefixes=("x.",))


def judge(source):
    expression = CEL.compile(source, scope=ScopeKind.EVENT, want=Want.BOOL)
    assert expression.compiled, source
    return expression, contradiction(expression.tree, ON)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("event.data.a == 1 && event.data.a == 2", True),
        ("event.data.a == 1 && event.data.b == 2", False),
        ("event.data.a == 1 || event.data.a == 2", False),
        ("event.data.a == 1 && (event.data.b && event.data.a == 'x')", True),
        ("event.data.a in [1, 2] && event.data.a == 3", True),
        ("event.data.a in [1, 2] && event.data.a == 2", False),
        ("event.data.a in [1, 2] && event.data.a in [3]", True),
        ("event.data.a == 1 && event.data.a != 1", True),
        ("event.data.a in [1, 2] && event.data.a != 1", False),
        ("event.data.a == 1 && event.data.a == 1.0", False),
        ("event.data.a == 1 && event.data.a == true", True),
        ("event.data['a'] == 1 && 2 == event.data.a", True),
        ("event.data.a > 5 && event.data.a < 3", True),
        ("event.data.a > 5 && event.data.a <= 5", True),
        ("event.data.a >= 5 && event.data.a <= 5", False),
        ("5 < event.data.a && 3 > event.data.a", True),
        ("event.data.a == 7 && event.data.a < 5", True),
        ("event.data.a == 4 && event.data.a < 5", False),
        ("event.type == 't'", False),
        ("event.type == 'x.y'", False),
        ("event.type == 'v'", True),
        ("event.type in ['v', 'u']", False),
        ("event.data.ok && false", True),
        ("!(event.data.a == 1 && event.data.a == 2)", False),
    ],
)
def test_exclusive_comparisons_are_found(source, found):
    """Equalities, lists of constants and bounds of one field under `&&`; nothing below `||` or `!`."""
    assert bool(judge(source)[1]) is found


_VALUES = [0, 1, 2, 3, 1.5, "a", "b", True, None]
_ATOMS = st.builds(
    lambda field, op, value: f"event.data.{field} {op} {value}",
    st.sampled_from(["a", "b"]),
    st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
    st.sampled_from(["0", "1", "2", "1.5"]),
) | st.builds(
    lambda field, value: f"event.data.{field} {value}",
    st.sampled_from(["a", "b"]),
    st.sampled_from(["== 'a'", "!= 'b'", "in [1, 'a']", "in ['b', true]", "== true", "== null"]),
)
_CONDITIONS = st.recursive(
    _ATOMS,
    lambda inner: (
        st.builds(lambda a, op, b: f"({a}) {op} ({b})", inner, st.sampled_from(["&&", "||"]), inner)
        | inner.map(lambda each: f"!({each})")
    ),
    max_leaves=5,
)


@settings(max_examples=200)
@given(_CONDITIONS)
def test_what_is_called_never_true_is_true_of_no_value(source):
    """No false alarm: of all small values of both fields none satisfies a condition that was reported."""
    expression, why = judge(source)
    if not why:
        return
    for a in _VALUES:
        for b in _VALUES:
            event = Event(id="1", source="s", type="t", time_us=0, data={"a": a, "b": b})
            try:
                assert expression.evaluate(Scope(event=event)) is not True, (source, a, b, why)
            except CelFault:
                continue
