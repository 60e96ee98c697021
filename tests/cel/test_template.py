"""Templates: strings with `${CEL}` parts, parsed and evaluated with the real environment."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.cel.contract import CelFault, Expression, Scope
from engine.cel.environment import CelEnvironment, ScopeKind, Want
from engine.cel.problems import CelProblem, ProblemKind
from engine.cel.template import (
    TEMPLATE_CHARS_MAX,
    TEMPLATE_EXPRESSIONS_MAX,
    TEXT_CHARS_MAX,
    Template,
    evaluate,
    is_template,
    parse_template,
)
from engine.model import Event

ENVIRONMENT = CelEnvironment({})
DATA = {
    "i": 7,
    "f": 2.5,
    "whole": 3.0,
    "t": True,
    "n": None,
    "s": "hi",
    "l": [1, {"a": None}],
    "big": 2**70,
    "long": "x" * 60_000,
}
EVENT = Event(id="e", source="s", type="t", time_us=1_700_000_000_120_000, subject="run-7", data=DATA)


def compiled(source: str) -> Expression | tuple[CelProblem, ...]:
    return ENVIRONMENT.compile(source, scope=ScopeKind.EVENT, want=Want.ANY)


def value(text: str) -> Any:
    template = parse_template(text, compiled)
    assert isinstance(template, Template), template
    return evaluate(template, Scope(event=EVENT))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("", ""),
        ("${event.data.i}", 7),
        ("${event.data.f}", 2.5),
        ("${event.data.t}", True),
        ("${event.data.n}", None),
        ("${event.data.l}", [1, {"a": None}]),
        ("${event.data.big}", float(2**70)),
        ("${event.time}", "2023-11-14T22:13:20.12Z"),
        ("${duration('90s')}", "90s"),
        ("${duration('-1.5s')}", "-1.5s"),
        (" ${event.data.i}", " 7"),
        ("a-${event.data.i}-${event.data.f}-${event.data.whole}-${event.data.t}-b", "a-7-2.5-3-true-b"),
        ("${event.subject}${event.data.s}", "run-7hi"),
        ("at ${event.time}", "at 2023-11-14T22:13:20.12Z"),
        ("$${event.data.i}", "${event.data.i}"),
        ("a $${x} ${event.data.i} $${", "a ${x} 7 ${"),
        ("costs $5 and ${event.data.i}$", "costs $5 and 7$"),
        ("${'}'}", "}"),
        ('${"}" + "{"}x', "}{x"),
        ("${{'a': {'b': '}'}}.a.b}!", "}!"),
        ("${'''}'\n}'''}", "}'\n}"),
        ("${'\\'}'}", "'}"),
        ("${r'\\d}'}", "\\d}"),
        ("${event.data.i // a comment with }\n}", 7),
    ],
)
def test_a_template_gives_its_value(text: str, expected: object) -> None:
    """One whole expression keeps its type; parts are joined as text; `$${` is a literal `${`."""
    assert value(text) == expected
    assert type(value(text)) is type(expected)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x ${event.data.n}", "`event.data.n` is null, which can't stand inside a text"),
        ("x ${event.data.l}", "is a list"),
        ("x ${event.data}", "is a map"),
        ("${event.data.nope}", "event.data has no `nope`"),
        ("${b'ab'}", "bytes has no JSON"),
        ("${0.0 / 0.0}", "has no JSON"),
        ("${{1: 2}}", "has no JSON"),
        ("${event.data.long}${event.data.long}", f"at most {TEXT_CHARS_MAX}"),
    ],
)
def test_what_is_no_json_or_no_text_is_a_fault(text: str, reason: str) -> None:
    """Null, lists and maps inside a text, and values without JSON anywhere, are faults that say why."""
    with pytest.raises(CelFault) as fault:
        value(text)
    assert reason in str(fault.value)


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("${", [(0, ProblemKind.TEMPLATE)]),
        ("ab ${event.id", [(3, ProblemKind.TEMPLATE)]),
        ("${'}", [(0, ProblemKind.TEMPLATE)]),
        ("${}", [(2, ProblemKind.SYNTAX)]),
        ("a${event.sbject}b${foo}", [(9, ProblemKind.UNKNOWN_NAME), (19, ProblemKind.UNKNOWN_NAME)]),
        ("${event}", [(2, ProblemKind.TYPE)]),
        ("x" * (TEMPLATE_CHARS_MAX + 1), [(0, ProblemKind.LIMIT)]),
        ("${1}" * (TEMPLATE_EXPRESSIONS_MAX + 1), [(4 * TEMPLATE_EXPRESSIONS_MAX, ProblemKind.LIMIT)]),
    ],
)
def test_problems_stand_at_their_place_in_the_text(text: str, places: list[tuple[int, ProblemKind]]) -> None:
    """Every problem of every part, at its offset in the whole text."""
    problems = parse_template(text, compiled)
    assert isinstance(problems, tuple)
    assert [(problem.offset, problem.kind) for problem in problems] == places


@settings(max_examples=200)
@given(
    st.lists(
        st.sampled_from(("a", "$", "${", "$${", "}", "'", '"', "{", "event.id", "\\", "//", "\n", "r'")), max_size=9
    )
)
def test_any_text_is_a_template_or_problems(pieces: list[str]) -> None:
    """Whatever the text, parsing gives a template or problems in place; without `${` it is itself."""
    text = "".join(pieces)
    made = parse_template(text, compiled)
    if isinstance(made, tuple):
        assert all(0 <= problem.offset <= len(text) for problem in made)
    elif not is_template(text):
        assert made.parts == (text,)
