"""Named values in conditions: what they mean, on both ways of evaluation, is what the literal would."""

from typing import Any

import pytest

from engine.cel.compile import CompiledExpression
from engine.cel.contract import Scope
from engine.cel.environment import CelEnvironment, ProblemKind, ScopeKind, Want
from engine.cel.hints import hints
from engine.model import Event
from tests.support.celtext import outcome, same

VALUES = {"limit": 85, "share": 0.5, "team": "on-call", "on": True, "bounds": {"low": 1, "high": 2.5}, "none": {}}
ENVIRONMENT = CelEnvironment({"teams": ("on-call", "b")}, VALUES)
EVENT = Event(id="e", source="s", type="t", time_us=0, data={"x": 90, "y": 0.25, "who": "on-call", "l": [84, 85]})

PAIRS = [
    ("event.data.x > value.limit", "event.data.x > 85"),
    ("event.data.x == value.limit", "event.data.x == 85"),
    ("event.data.y < value.share", "event.data.y < 0.5"),
    ("event.data.who == value.team", "event.data.who == 'on-call'"),
    ("value.team in list.teams", "'on-call' in list.teams"),
    ("value.on && event.data.x > 1", "true && event.data.x > 1"),
    ("value.team != '' && !value.on", "'on-call' != '' && !true"),
    ("event.data.x > value.bounds.high", "event.data.x > {'low': 1, 'high': 2.5}.high"),
    ("'low' in value.bounds", "'low' in {'low': 1, 'high': 2.5}"),
    ("value.bounds[event.data.who] > 1", "{'low': 1, 'high': 2.5}[event.data.who] > 1"),
    ("has(value.none.a)", "has({}.a)"),
    ("event.data.l.exists(each, each == value.limit)", "event.data.l.exists(each, each == 85)"),
    ("event.data.l.map(each, each + value.limit)[0] > 1", "event.data.l.map(each, each + 85)[0] > 1"),
    ("event.data.x > value.limit ? value.on : false", "event.data.x > 85 ? true : false"),
    ("event.data.missing > value.limit", "event.data.missing > 85"),
    ("[value.limit, 90] == [85, event.data.x]", "[85, 90] == [85, event.data.x]"),
    ("{'a': value.limit} == {'a': 85}", "{'a': 85} == {'a': 85}"),
    ("event.time > timestamp(0) && value.on", "event.time > timestamp(0) && true"),
]


def made(source: str, want: Want = Want.BOOL) -> Any:
    expression = ENVIRONMENT.compile(source, scope=ScopeKind.EVENT, want=want)
    assert not isinstance(expression, tuple), expression
    return expression


@pytest.mark.parametrize(("named", "literal"), PAIRS)
def test_a_named_value_means_what_the_literal_does(named: str, literal: str) -> None:
    """The same truth or the same fault with the name as with the literal, compiled and by the C++ runtime."""
    scope = Scope(event=EVENT)
    by_name, by_literal = outcome(made(named), scope), outcome(made(literal), scope)
    assert same(by_name, by_literal), (by_name, by_literal)
    expression = made(named)
    if isinstance(expression, CompiledExpression):
        assert same(outcome(expression._runtime, scope), by_literal)


def test_most_conditions_with_values_are_compiled_and_give_hints() -> None:
    """A name costs nothing: the compiler and the index see the literal."""
    assert made("event.data.who == value.team").compiled
    assert hints(made("event.data.who == value.team")) == hints(made("event.data.who == 'on-call'")) != ()


@pytest.mark.parametrize(
    ("source", "kind", "message", "hint"),
    [
        ("event.data.x > value.limt", ProblemKind.UNKNOWN_VALUE, "there is no value `limt`", "did you mean `limit`?"),
        ("event.data.x > value.xyz", ProblemKind.UNKNOWN_VALUE, "there is no value `xyz`", "[value.xyz] value = …"),
        ("event.subject == value.limit", ProblemKind.TYPE, "can't compare a string with an int", ""),
        ("value.team && true", ProblemKind.TYPE, "joins two bools", ""),
        ("event.data.x > value", ProblemKind.UNKNOWN_VALUE, "there is no value", ""),
    ],
)
def test_mistakes_with_values_are_told_at_load(source: str, kind: ProblemKind, message: str, hint: str) -> None:
    """An unknown name is told with the one that was meant; a value of the wrong type like a literal of it."""
    problems = ENVIRONMENT.compile(source, scope=ScopeKind.EVENT, want=Want.BOOL)
    assert isinstance(problems, tuple)
    assert problems[0].kind is kind
    assert message in problems[0].message
    assert hint in problems[0].help


def test_an_event_has_no_place_where_rules_are_loaded() -> None:
    """The scope of detection parameters knows lists and values alone."""
    problems = ENVIRONMENT.compile("event.data.x", scope=ScopeKind.LOAD, want=Want.ANY)
    assert isinstance(problems, tuple)
    assert problems[0].kind is ProblemKind.UNKNOWN_NAME
    limit = ENVIRONMENT.compile("value.limit * 2", scope=ScopeKind.LOAD, want=Want.ANY)
    assert not isinstance(limit, tuple)
    assert limit.evaluate(Scope()) == 170
