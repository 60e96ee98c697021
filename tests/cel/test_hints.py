"""Index hints from conditions: what they are, and that skipping by them never changes an answer."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.cel.contract import CelFault, Scope
from engine.cel.environment import CelEnvironment, ScopeKind, Want
from engine.cel.hints import Hint, Missing, Path, hints, signals_used
from engine.model import Event
from tests.support.celtext import LISTS, Generator, outcome

ENVIRONMENT = CelEnvironment({**LISTS, "past_exact": (1, 2**60), "nested": (["a"],)})
ABSENT = object()


def hints_of(source: str) -> tuple[Hint, ...]:
    made: Any = ENVIRONMENT.compile(source, scope=ScopeKind.EVENT, want=Want.BOOL)
    return hints(made)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (
            "event.type == 'a' && event.data.model in ['m1', 'm2'] && event.data.score > 0.9",
            {("type",): ({"a"}, "never"), ("data", "model"): ({"m1", "m2"}, "fault")},
        ),
        ("event.subject in list.words", {("subject",): ({"a", "run-7", "é"}, "fault")}),
        ("'a' == event.type", {("type",): ({"a"}, "never")}),
        ("event.type == 'a' || event.type == 'b'", {("type",): ({"a", "b"}, "never")}),
        ("event.type in ['a', 'b'] && event.type != 'x' && event.type == 'a'", {("type",): ({"a"}, "never")}),
        ("event.type == 'a' && event.type == 'b'", {("type",): (set(), "never")}),
        ("has(event.data.m) && event.data.m == 'x'", {("data", "m"): ({"x"}, "false")}),
        ("has(event.data.m) || event.data.m == 'x'", {}),
        ("event.data['m'].y == 1", {("data", "m", "y"): ({1}, "fault")}),
        ("event.ext.region == 'r'", {("ext", "region"): ({"r"}, "fault")}),
        ("event.data.n == null && true", {("data", "n"): ({None}, "fault")}),
        ("(event.type == 'a' && event.data.x == 1) || event.type == 'b'", {("type",): ({"a", "b"}, "never")}),
        ("event.type == 'a' && event.time > timestamp('2020-01-01T00:00:00Z')", {("type",): ({"a"}, "never")}),
        ("!(event.type == 'a')", {}),
        ("event.type == 'a' || event.data.x == 1", {}),
        ("event.type == 'a' ? true : event.data.x", {}),
        ("event.type != 'a'", {}),
        ("event.data.x in list.past_exact", {}),
        ("event.data.x in list.nested", {}),
        ("event.data.x == 9007199254740993", {}),
        ("event.data.l.exists(event, event.data.x == 1)", {}),
        ("event.data.x == event.data.y", {}),
    ],
)  # fmt: skip
def test_hints_are_the_tests_that_must_hold(source: str, found: dict[Path, tuple[set[Any], str]]) -> None:
    """Equality and `in` on event paths in conjunctive position are hints; anything less certain is not."""
    assert {hint.path: (set(hint.values), hint.missing.value) for hint in hints_of(source)} == found


def look_up(event: Event, path: Path) -> tuple[Any, bool]:
    """The value at the path (or ABSENT), and whether all on the way to the last name were maps."""
    held: Any = {"id": event.id, "source": event.source, "type": event.type, "data": event.data, "ext": event.ext}
    if event.subject is not None:
        held["subject"] = event.subject
    for place, name in enumerate(path):
        if not isinstance(held, dict):
            return ABSENT, False
        if name not in held:
            return ABSENT, place == len(path) - 1
        held = held[name]
    return held, True


def skippable(event: Event, found: tuple[Hint, ...]) -> bool:
    """Whether an index that trusts the hints would skip the condition on this event."""
    for hint in found:
        value, way_is_maps = look_up(event, hint.path)
        if value is ABSENT:
            if hint.missing is Missing.FALSE and way_is_maps:
                return True
            assert hint.missing is not Missing.NEVER
        elif isinstance(value, list | dict) or value not in hint.values:
            return True
    return False


@settings(max_examples=400)
@given(st.integers(0, 2**32))
def test_a_skipped_condition_is_plainly_false(seed: int) -> None:
    """Where a hint lets an index skip a condition, its evaluation gives false: not true, and not a fault."""
    make = Generator(seed)
    tests = (
        "event.type == 'a'",
        f"{make.path('text')} == {make.literal('text')}",
        f"{make.path('number')} in [1, 2, 5]",
        f"{make.path('text')} in list.words",
        "has(event.data.m.s) && event.data.m.s == 'a'",
        "has(event.subject) && event.subject == 'run-7'",
        f"({make.path('bool')} == true || event.data.t == false)",
    )
    source = " && ".join([*make._random.sample(tests, 3), make.condition(2)])
    made: Any = ENVIRONMENT.compile(source, scope=ScopeKind.EVENT, want=Want.BOOL)
    if isinstance(made, tuple):
        return
    found = hints(made)
    for _ in range(8):
        event = make.event()
        if skippable(event, found):
            assert outcome(made, Scope(event=event)) is False, (source, event)


def test_generated_events_are_skipped_and_let_through() -> None:
    """The property above is not empty: of 200 conditions with hints, events are skipped by some and not by others."""
    skipped = passed = 0
    for seed in range(200):
        make = Generator(seed)
        found = hints_of("has(event.data.m.s) && event.data.m.s in list.words")
        skipped += skippable(event := make.event(), found)
        passed += not skippable(event, found)
    assert min(skipped, passed) > 20


def test_a_fault_that_an_index_must_not_hide() -> None:
    """A missing field without `has()` is a fault, and its hint says so; with `has()` it is plainly false."""
    event = Event(id="e", source="s", type="t", time_us=0, data={})
    for source, missing, end in (
        ("event.data.m == 'x'", Missing.FAULT, CelFault),
        ("has(event.data.m) && event.data.m == 'x'", Missing.FALSE, False),
    ):
        (hint,) = hints_of(source)
        assert hint.missing is missing
        made: Any = ENVIRONMENT.compile(source, scope=ScopeKind.EVENT, want=Want.BOOL)
        assert outcome(made, Scope(event=event)) is end


def test_the_signals_that_a_step_names_are_known_with_their_places() -> None:
    """The loader can check the ids of `signals` against the rules that use the playbook."""
    made: Any = ENVIRONMENT.compile(
        "signals['loss-spike'].value > 1.0 || signals.flips.value > 2.0", scope=ScopeKind.STEP, want=Want.BOOL
    )
    assert signals_used(made) == (("loss-spike", 8), ("flips", 45))
