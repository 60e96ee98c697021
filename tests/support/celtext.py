"""CEL in tests: expressions and JSON values for hypothesis, evaluation as data, and CEL's idea of the same value."""

import math
from typing import Any

from hypothesis import strategies as st

from engine.cel.contract import CelFault, Expression, Scope
from engine.model import Event

KEYS = ("a", "b", "c", "d")
TEXTS = ("", "a", "b", "run-7", "é", "😀x", "\uffff", "5", "true", "x\0y")
INTS = (0, 1, -1, 2, 5, 7, 100, 2**31, 2**53, 2**53 + 1, -(2**53) - 1, 2**62, 2**63 - 1, -(2**63))
BEYOND = (2**63, 2**64, -(2**63) - 1, 2**70, 10**400, -(10**400))
DOUBLES = (0.0, -0.0, 1.0, 0.5, -2.5, 5.0, 1e300, -1e300, float(2**53), float(2**63), 9007199254740994.0)


def same(left: Any, right: Any) -> bool:
    """One value of one type, through lists and maps; NaN is itself, and -0.0 is not 0.0."""
    if type(left) is not type(right):
        return False
    match left:
        case list():
            return len(left) == len(right) and all(map(same, left, right))
        case dict():
            return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
        case float():
            return (math.isnan(left) and math.isnan(right)) or (
                left == right and math.copysign(1, left) == math.copysign(1, right)
            )
        case _:
            return bool(left == right)


def outcome(expression: Expression, scope: Scope) -> Any:
    """Its value, or the class CelFault."""
    try:
        return expression.evaluate(scope)
    except CelFault:
        return CelFault


def scalars() -> st.SearchStrategy[Any]:
    """JSON values without parts, the odd ones often."""
    return st.one_of(
        st.none(),
        st.booleans(),
        st.sampled_from(INTS),
        st.sampled_from(BEYOND),
        st.integers(-10, 10),
        st.sampled_from(DOUBLES),
        st.floats(allow_nan=False, allow_infinity=False, width=16),
        st.sampled_from(TEXTS),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    )


def json_values() -> st.SearchStrategy[Any]:
    """Nested JSON values."""
    return st.recursive(
        scalars(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
        max_leaves=8,
    )


def events() -> st.SearchStrategy[Event]:
    """Events whose `data` has any of the keys, and always a list under `l`."""
    data = st.builds(
        lambda fields, items: {**fields, "l": items},
        st.dictionaries(st.sampled_from(KEYS), json_values(), max_size=4),
        st.lists(json_values(), max_size=4),
    )
    return st.builds(
        lambda data, subject, kind: Event(
            id="e-1", source="test", type=kind, time_us=0, subject=subject, data=data, ext={"region": "r1"}
        ),
        data | scalars(),
        st.none() | st.sampled_from(TEXTS),
        st.sampled_from(("a", "b")),
    )


def _literals() -> st.SearchStrategy[str]:
    return st.one_of(
        st.sampled_from(INTS).filter(lambda value: value > -(2**63)).map(str),
        st.sampled_from(DOUBLES).map(repr),
        st.sampled_from(("'a'", "'b'", "'run-7'", "'é'", "'😀x'", "''", "true", "false", "null", "'5'")),
    )


def _paths(variable: str | None) -> st.SearchStrategy[str]:
    key = st.sampled_from(KEYS)
    paths = [
        key.map("event.data.{}".format),
        key.map("event.data['{}']".format),
        st.builds("event.data.{}.{}".format, key, key),
        st.builds("event.data.{}[{}]".format, key, st.sampled_from(("0", "1", "-1", "'a'", "1.0", "0.5"))),
        st.just("event.data.l[0]"),
        st.sampled_from(("event.type", "event.subject", "event.data", "event.ext.region", "event.ext.none")),
    ]
    if variable is not None:
        paths += [st.just(variable), key.map((variable + ".{}").format)]
    return st.one_of(*paths)


_COMPARE = st.sampled_from(("==", "!=", "<", "<=", ">", ">="))
_CALCULATE = st.sampled_from(("+", "-", "*", "/", "%"))
_TEXT_TEST = st.sampled_from(("startsWith", "endsWith", "contains"))
_QUANTIFIER = st.sampled_from(("all", "exists", "exists_one"))


@st.composite
def expressions(draw: st.DrawFn, depth: int = 3, variable: str | None = None) -> str:
    """CEL text of any type over `event` and the named lists `words` and `odd`; some of it is ill-typed."""
    if depth == 0:
        return draw(_literals() | _paths(variable) | _paths(variable))
    deeper = expressions(depth - 1, variable)
    conditions = conditional(depth - 1, variable)
    made = draw(
        st.one_of(
            conditional(depth, variable),
            st.builds("({} {} {})".format, deeper, _CALCULATE, deeper),
            st.builds("(-{})".format, _paths(variable)),
            st.builds("({} ? {} : {})".format, conditions, _paths(variable), _paths(variable)),
            st.builds("size({})".format, deeper),
            st.builds("{}({})".format, st.sampled_from(("int", "string", "double", "bool", "dyn")), deeper),
            st.builds("[{}, {}]".format, deeper, deeper),
            st.builds("{{'a': {}, {}: {}}}".format, deeper, st.sampled_from(("'b'", "'a'", "event.type")), deeper),
            st.builds("event.data.l.map(m, {})".format, expressions(depth - 1, "m")),
            st.builds("event.data.l.filter(m, {})".format, conditional(depth - 1, "m")),
            st.builds("event.data.l.map(m, {}, {})".format, conditional(depth - 1, "m"), expressions(depth - 1, "m")),
        )
    )
    return str(made)


@st.composite
def conditional(draw: st.DrawFn, depth: int = 3, variable: str | None = None) -> str:
    """CEL text that is a condition, or a path that may hold a bool."""
    if depth == 0:
        return draw(
            _paths(variable)
            | st.builds("{} {} {}".format, _paths(variable), _COMPARE, _literals())
            | st.builds("{} in {}".format, _paths(variable), st.sampled_from(("list.words", "['a', 'b']", "list.odd")))
        )
    deeper = expressions(depth - 1, variable)
    conditions = conditional(depth - 1, variable)
    bound = draw(st.sampled_from(("x", "y", "x")))
    ranges = st.sampled_from(("event.data.l", "event.data.a", "event.data", "[1, 2.0, 'a']", "event.subject"))
    made = draw(
        st.one_of(
            st.builds("({} {} {})".format, deeper, _COMPARE, deeper),
            st.builds("({} {} {})".format, _paths(variable), _COMPARE, _literals()),
            st.builds("({} {} {})".format, _literals(), _COMPARE, _paths(variable)),
            st.builds("({} && {})".format, conditions, conditions),
            st.builds("({} || {})".format, conditions, conditions),
            st.builds("!({})".format, conditions),
            st.builds("({} in {})".format, deeper, _paths(variable)),
            st.builds(
                "({} in {})".format,
                deeper,
                st.sampled_from(("list.words", "list.odd", "[1, 2, 5]", "['a', 'run-7']", "[dyn(1), 'a', null]", "[]")),
            ),
            st.builds("has({})".format, st.sampled_from(("event.data.a", "event.data.a.b", "event.subject"))),
            st.builds("{}.{}('{}')".format, _paths(variable), _TEXT_TEST, st.sampled_from(("a", "run", "é", ""))),
            st.builds("{}.{}({})".format, _paths(variable), _TEXT_TEST, _paths(variable)),
            st.builds("{}.matches('{}')".format, _paths(variable), st.sampled_from(("^r.n", "[0-9]+$", "é|😀", ""))),
            st.builds("{}.matches({})".format, _paths(variable), _paths(variable)),
            st.builds("{}.{}({}, {})".format, ranges, _QUANTIFIER, st.just(bound), conditional(depth - 1, bound)),
        )
    )
    return str(made)
