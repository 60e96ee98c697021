"""CEL text to expressions and problems, with the real C++ library."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.cel.compile import CompiledExpression
from engine.cel.contract import CelFault, Scope
from engine.cel.environment import SOURCE_CHARS_MAX, CelEnvironment, CelProblem, ProblemKind, ScopeKind, Want
from engine.model import (
    Event,
    Finding,
    Incident,
    IncidentId,
    IncidentState,
    IncidentType,
    RuleId,
    Severity,
    Signal,
    SignalId,
    Target,
)
from tests.support.celtext import LISTS, Generator

ENVIRONMENT = CelEnvironment({"known_bad": ("a", "b"), "ports": (1, 2)})

# The text with the meant characters between « and », the kind, what the message and the help contain.
PROBLEMS = [
    ("event.«sbject» == 'x'", ProblemKind.UNKNOWN_NAME, "`event` has no `sbject`", "did you mean `subject`?"),
    ("event.«step» > 1", ProblemKind.UNKNOWN_NAME, "`event` has no `step`", "`event.data.step`"),
    ("has(event.«foo»)", ProblemKind.UNKNOWN_NAME, "has no `foo`", "`data`"),
    ("«evnt».subject == 'x'", ProblemKind.UNKNOWN_NAME, "unknown name `evnt`", "did you mean `event`?"),
    ("«subject» == 'x'", ProblemKind.UNKNOWN_NAME, "unknown name `subject`", "did you mean `event.subject`?"),
    ("«startswith»(event.subject, 'x')", ProblemKind.UNKNOWN_NAME, "no function", "did you mean `startsWith`?"),
    ("event.subject.«startswith»('x')", ProblemKind.UNKNOWN_NAME, "no function", "did you mean `startsWith`?"),
    ("event.data.l.all(x, «y» > 1)", ProblemKind.UNKNOWN_NAME, "unknown name `y`", "known here: `event`"),
    ("'ĂĂ𝒜𝒜' == «foo»", ProblemKind.UNKNOWN_NAME, "unknown name `foo`", ""),
    ("'a' ==\n  'b' && «foo»\n", ProblemKind.UNKNOWN_NAME, "unknown name `foo`", ""),
    ("'𝒜é' == 'a' &&\n\n '😀' == «foo»", ProblemKind.UNKNOWN_NAME, "unknown name `foo`", ""),
    ("event.subject in list.«known_bd»", ProblemKind.UNKNOWN_LIST, "no list `known_bd`", "did you mean `known_bad`?"),
    ("event.subject in list.«xyz»", ProblemKind.UNKNOWN_LIST, "no list `xyz`", "[list.xyz] values"),
    ("event.subject «in» list.ports", ProblemKind.TYPE, "can't look for a string", ""),
    ("event.subject «==» 1", ProblemKind.TYPE, "can't compare a string with an int", "string(…)"),
    ("event.subject «==» null", ProblemKind.TYPE, "a string with null", "has(…)"),
    ("type «==» 'a'", ProblemKind.TYPE, "can't compare a type", "did you mean `event.type`?"),
    ("event.data.x «&&» 1", ProblemKind.TYPE, "joins two bools", ""),
    ("event.subject.«startsWith»(1)", ProblemKind.TYPE, "does not take (string, int)", ""),
    ("true «?» 1 : 'a'", ProblemKind.TYPE, "`? :` can't take", "two values of one type"),
    ("  «event.time»  ", ProblemKind.TYPE, "this is a timestamp, a bool is needed", "compare"),
    ("event.data.x «=» 1", ProblemKind.SYNTAX, "not a CEL token", "equality is `==`"),
    ("event.data.x «&» 1", ProblemKind.SYNTAX, "not a CEL token", "`&&`"),
    ("event.data.x «and» true", ProblemKind.SYNTAX, "unexpected `and`", "`&&`"),
    ("event.subject == «'abc»", ProblemKind.SYNTAX, "does not end", ""),
    ("«»", ProblemKind.SYNTAX, "the expression is empty", ""),
    ("event.subject ==«»", ProblemKind.SYNTAX, "ends too early", ""),
    ("'a«\0»' == ''", ProblemKind.SYNTAX, "U+0000", ""),
    ("'a«\ud800»' == ''", ProblemKind.SYNTAX, "U+D800", ""),
    ("event.subject.matches(«'a['»)", ProblemKind.REGEX, "not a regular expression", ""),
    ("matches(event.subject, «r'(?<x>a)(?=b)'»)", ProblemKind.REGEX, "not a regular expression", ""),
    ("event.time > timestamp(«'yesterday'»)", ProblemKind.LITERAL, "no timestamp", "RFC 3339"),
    ("event.time - event.time > duration(«'5 m'»)", ProblemKind.LITERAL, "no duration", "90s"),
    ("event.data.x == «99999999999999999999»", ProblemKind.LITERAL, "invalid int literal", ""),
]


def compiled(source: str, scope: ScopeKind = ScopeKind.EVENT, want: Want = Want.BOOL) -> Any:
    return ENVIRONMENT.compile(source, scope=scope, want=want)


@pytest.mark.parametrize(("marked", "kind", "message", "hint"), PROBLEMS)
def test_a_problem_has_its_place_and_a_hint(marked: str, kind: ProblemKind, message: str, hint: str) -> None:
    """Each mistake is told once, at its characters, in plain words, with what to do."""
    before, meant, _ = re.split("[«»]", marked)
    (problem,) = compiled(re.sub("[«»]", "", marked))
    assert (problem.kind, problem.offset) == (kind, len(before))
    assert problem.length == max(1, len(meant) if "'abc" not in meant else 1) or problem.length == len(meant)
    assert message in problem.message
    assert hint in problem.help


def test_all_mistakes_of_a_text_are_told_at_once() -> None:
    """Two unknown names on two lines are two problems, in order."""
    first, second = compiled("foo == 1\n  || bar == 2")
    assert (first.offset, second.offset) == (0, 14)


@pytest.mark.parametrize(
    ("source", "want", "fits"),
    [
        ("event.data.x > 1", Want.BOOL, True),
        ("event.data.x", Want.BOOL, True),
        ("event.subject", Want.BOOL, False),
        ("event.data.x", Want.NUMBER, True),
        ("size(event.subject)", Want.NUMBER, True),
        ("event.subject", Want.NUMBER, False),
        ("true", Want.NUMBER, False),
        ("event.subject", Want.STRING, True),
        ("size(event.subject)", Want.STRING, False),
        ("[event.subject]", Want.ANY, True),
        ("event.time", Want.ANY, True),
        ("event", Want.ANY, False),
        ("type(1)", Want.ANY, False),
    ],
)
def test_the_static_type_must_fit_the_place(source: str, want: Want, fits: bool) -> None:
    """A value of a wrong static type is a problem at load; `dyn` is taken and checked on evaluation."""
    assert isinstance(compiled(source, want=want), tuple) is not fits


EVENT = Event(id="e-1", source="s", type="t", time_us=1_000_000, subject="run-7", data={"x": 1}, ext={"region": "r"})
SCOPE = Scope(
    event=EVENT,
    incident=Incident(
        id=IncidentId("inc-1"),
        incident=IncidentType("data-poisoning"),
        rule=RuleId("r-1"),
        severity=Severity.HIGH,
        key=(("run", "run-7"),),
        state=IncidentState.OPEN,
        opened_us=0,
        updated_us=0,
    ),
    signals={
        SignalId("loss-spike"): Signal(SignalId("loss-spike"), (("run", "run-7"),), 0, Finding("d", 9, 8.0), EVENT),
        SignalId("silence"): Signal(SignalId("silence"), (), 0, Finding("d")),
    },
    target=Target(kind="endpoint", name="gpu-1", labels={"team": "ml"}),
    topic=("halon", "runs", "7"),
    payload={"loss": 0.5},
)


@pytest.mark.parametrize(
    ("kind", "source", "value"),
    [
        (ScopeKind.EVENT, "event.id + event.source + event.type + event.subject + event.ext.region", "e-1strun-7r"),
        (ScopeKind.EVENT, "string(event.time)", "1970-01-01T00:00:01Z"),
        (ScopeKind.STEP, "event.data.x", 1),
        (ScopeKind.STEP, "incident.id + ' ' + incident.type + ' ' + incident.rule", "inc-1 data-poisoning r-1"),
        (ScopeKind.STEP, "incident.severity + ' ' + incident.key.run + ' ' + incident.state", "high run-7 open"),
        (ScopeKind.STEP, "signals['loss-spike'].value", 9.0),
        (ScopeKind.STEP, "signals['loss-spike'].threshold + 1.0", 9.0),
        (ScopeKind.STEP, "signals['loss-spike'].event.data.x", 1),
        (ScopeKind.STEP, "string(signals['loss-spike'].event.time)", "1970-01-01T00:00:01Z"),
        (ScopeKind.STEP, "signals['loss-spike'].key['run']", "run-7"),
        (ScopeKind.STEP, "has(signals['silence'].value) || has(signals.silence.event)", False),
        (ScopeKind.STEP, "'silence' in signals && !('other' in signals)", True),
        (ScopeKind.TARGET, "target.kind + '/' + target.name + '/' + target.labels.team", "endpoint/gpu-1/ml"),
        (ScopeKind.MESSAGE, "topic[1] + '-' + topic[2]", "runs-7"),
        (ScopeKind.MESSAGE, "payload.loss", 0.5),
    ],
)
def test_each_scope_has_its_names(kind: ScopeKind, source: str, value: object) -> None:
    """The names of a scope give what it holds, compiled and on the runtime."""
    expression = compiled(source, kind, Want.ANY)
    assert expression.evaluate(SCOPE) == value
    assert expression.compiled is not ("time" in source or "in signals" in source)
    if expression.compiled:
        assert expression._runtime.evaluate(SCOPE) == value


@pytest.mark.parametrize(
    "source",
    ["signals['silence'].event.data.x", "signals['other'].value", "signals.silence.value", "incident.key.model"],
)
def test_what_a_step_lacks_is_a_fault(source: str) -> None:
    """A signal that is not there, one without an event or a value, and a missing key are faults."""
    expression = compiled(source, ScopeKind.STEP, Want.ANY)
    for evaluate in (expression.evaluate, expression._runtime.evaluate):
        with pytest.raises(CelFault):
            evaluate(SCOPE)


def test_names_of_another_scope_are_unknown() -> None:
    """A condition of a signal can't speak of the incident, a guard not of the event."""
    assert compiled("incident.id == ''")[0].kind is ProblemKind.UNKNOWN_NAME
    assert compiled("event.id == ''", ScopeKind.TARGET)[0].kind is ProblemKind.UNKNOWN_NAME


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("(" * 10_000 + "true" + ")" * 10_000, ProblemKind.LIMIT),
        ("(" * 5_000 + "true" + ")" * 5_000, ProblemKind.LIMIT),
        ("[" * 40 + "]" * 40 + " == []", ProblemKind.LIMIT),
        ("event.data" + ".x" * 200 + " == 1", ProblemKind.LIMIT),
        ("1" + "+1" * 200 + " == 1", ProblemKind.LIMIT),
        ("true ? true : " * 200 + "true", ProblemKind.LIMIT),
        ("event.data.x in [" + "1, " * 100_000 + "1]", ProblemKind.LIMIT),
        ("a" * (SOURCE_CHARS_MAX + 1), ProblemKind.LIMIT),
        ("(" * 9_000, ProblemKind.LIMIT),
        ("event.subject.matches('" + "a{1000}" * 1_000 + "')", ProblemKind.REGEX),
        ("event.subject.matches('((a{100}){100}){100}')", ProblemKind.REGEX),
    ],
)
def test_pathological_text_is_refused(source: str, kind: ProblemKind) -> None:
    """Deep nesting, huge lists and huge regular expressions are problems within the limits, never a crash."""
    problems = compiled(source)
    assert isinstance(problems, tuple)
    assert {problem.kind for problem in problems} == {kind}


@pytest.mark.parametrize(
    "source",
    [
        "!" * 10_000 + "true",
        " && ".join(["event.data.x > 1"] * 1_000),
        "event.data.x in [" + ", ".join(str(each) for each in range(3_000)) + "]",
        " || ".join(f"event.type == '{each}'" for each in range(700)),
    ],
)
def test_large_text_within_the_limits_works(source: str) -> None:
    """A thousand conjuncts or three thousand values are taken, and evaluate."""
    assert compiled(source).evaluate(SCOPE) in {True, False}


PIECES = (
    "event",
    ".",
    "data",
    "x",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "'",
    '"',
    "\\",
    "==",
    "&&",
    "!",
    "in",
    "list",
    ",",
    "1",
)
MORE_PIECES = ("1.5", "1u", "b'a'", "r'", "?", ":", "-", "has", "all", "matches", "'a'", "null", "😀", "//", " ", "\n")


@settings(max_examples=300)
@given(
    st.text(max_size=40)
    | st.lists(
        st.sampled_from([*PIECES, *MORE_PIECES]),
        max_size=14,
    ).map("".join)
)
def test_any_text_gives_an_expression_or_problems_in_place(source: str) -> None:
    """Whatever the text, the answer is an expression or problems whose places lie in the text."""
    made = compiled(source, want=Want.ANY)
    if isinstance(made, tuple):
        assert made
        for problem in made:
            assert isinstance(problem, CelProblem)
            assert 0 <= problem.offset <= len(source)
            assert problem.length >= 1
            assert problem.message


def test_the_same_text_is_compiled_once() -> None:
    """Rules that repeat a key share its expression."""
    assert compiled("event.subject", want=Want.STRING) is compiled("event.subject", want=Want.STRING)


def test_what_the_runtime_refuses_is_refused_at_load() -> None:
    """The runtime knows less of types than the checker: what it would not run is said at load, not by an event."""
    made = ENVIRONMENT.compile(
        "(event.data.m['s'] + event.subject).endsWith('')", scope=ScopeKind.EVENT, want=Want.BOOL
    )
    assert isinstance(made, tuple)
    assert "endsWith" in made[0].message


@settings(max_examples=150)
@given(st.integers(0, 2**32))
def test_an_expression_that_loads_is_one_that_the_runtime_takes(seed: int) -> None:
    """Its program is made late where nothing hangs on it, and then can be made."""
    environment = CelEnvironment(LISTS)
    made: Any = environment.compile(Generator(seed).condition(), scope=ScopeKind.EVENT, want=Want.BOOL)
    if isinstance(made, CompiledExpression):
        made._runtime.prepare()
