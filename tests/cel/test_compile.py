"""Compiled conditions against the real C++ runtime, on generated expressions and JSON values."""

from collections import Counter
from random import Random
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.cel.compile import CompiledExpression
from engine.cel.contract import CelFault, Expression, Scope
from engine.cel.environment import CelEnvironment, ScopeKind, Want
from engine.cel.write import DEVIATIONS
from engine.model import Event
from tests.support.celtext import LISTS, Generator, outcome, same

ENVIRONMENT = CelEnvironment(LISTS)
EVENT = Event(
    id="e-1",
    source="test",
    type="t",
    time_us=0,
    subject="run-7",
    data={"step": 200, "loss": "high", "on": True, "l": [1, "x"], "m": {"a": None}, "none": None, "big": 2**70},
    ext={"region": "r1"},
)


def expression(source: str, want: Want = Want.BOOL) -> Expression:
    made = ENVIRONMENT.compile(source, scope=ScopeKind.EVENT, want=want)
    assert not isinstance(made, tuple), made
    return made


def assert_both_ways_agree(source: str, want: Want, seen: list[Event]) -> None:
    made = ENVIRONMENT.compile(source, scope=ScopeKind.EVENT, want=want)
    if not isinstance(made, CompiledExpression):
        return  # ill-typed
    for event in seen:
        scope = Scope(event=event)
        by_runtime = outcome(made._runtime, scope)
        by_code = outcome(made, scope)
        assert same(by_code, by_runtime), (source, by_code, by_runtime, event)
        for way in (made, made._runtime):
            of_event = outcome(SimpleNamespace(evaluate=lambda scope, way=way: way.of_event(scope.event)), scope)
            assert same(of_event, by_runtime), (source, of_event, by_runtime, event)


SEEDS = st.integers(0, 2**32)
MODERATE = settings(max_examples=500)


@MODERATE
@given(seed=SEEDS)
def test_compiled_conditions_equal_the_runtime(seed: int) -> None:
    """A condition has the same truth or faults the same on both ways, whatever the event holds."""
    make = Generator(seed)
    assert_both_ways_agree(make.condition(), Want.BOOL, [make.event() for _ in range(6)])


@MODERATE
@given(seed=SEEDS, kind=st.sampled_from(("number", "text", "list", "map", "bool")), want=st.sampled_from(Want))
def test_compiled_values_equal_the_runtime(seed: int, kind: str, want: Want) -> None:
    """Any expression, wanted as anything, has the same value of the same type or faults the same on both ways."""
    make = Generator(seed)
    assert_both_ways_agree(make.value(kind), want, [make.event() for _ in range(6)])


def test_the_generated_conditions_test_something() -> None:
    """Of 300 generated conditions most are well typed, and each of true, false and a fault comes up often."""
    ends: Counter[object] = Counter()
    for seed in range(300):
        make = Generator(seed)
        made = ENVIRONMENT.compile(make.condition(), scope=ScopeKind.EVENT, want=Want.BOOL)
        ends["ill-typed" if isinstance(made, tuple) else outcome(made, Scope(event=make.event()))] += 1
    assert ends["ill-typed"] < 150
    assert min(ends[True], ends[False], ends[CelFault]) > 30


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("event.data.step > 100", True),
        ("100 >= event.data.step", False),
        ("200 < event.data.step", False),
        ("200 <= event.data.step", True),
        ("200 > event.data.step || 199 >= event.data.step", False),
        ("event.data.l[1] == 'x' && event.data.l[0] == 1", True),
        ("event.data.step == 200.0 && event.type == 't'", True),
        ("event.data.on", True),
        ("event.data.on == 1", False),
        ("event.data.nope == 1 && event.type == 'other'", False),
        ("event.type == 't' || event.data.nope", True),
        ("event.subject in list.words", True),
        ("event.data.step in list.odd", False),
        ("event.data.on in list.odd", True),
        ("event.data.big > 100 && event.data.big == event.data.big", True),
        ("event.data.big in list.odd", True),
        ("event.subject.matches('^run-[0-9]+$')", True),
        ("event.data.l.exists(x, x == 'x')", True),
        ("event.data.l.exists(x, event.data.l.exists(x, x == 1) && x == 'x')", True),
        ("has(event.data.none) && event.data.none == null", True),
        ("event.ext.region == 'r1' && has(event.subject)", True),
    ],
)
def test_common_conditions_run_as_python(source: str, value: object) -> None:
    """The common forms are compiled and give CEL's value, absorbed errors included."""
    made = expression(source)
    assert made.compiled
    assert made.evaluate(Scope(event=EVENT)) is value


@pytest.mark.parametrize(
    ("source", "want", "reason"),
    [
        ("event.data.loss > 0.5", Want.BOOL, "`event.data.loss` is a string, a number is needed"),
        ("event.data.stp > 100", Want.BOOL, "event.data has no `stp`"),
        ("event.data.m.a.b > 100", Want.BOOL, "`event.data.m.a` is null, a map is needed for `b`"),
        ("event.data.on > 0", Want.BOOL, "`event.data.on` is a bool, a number is needed"),
        ("event.data.step && true", Want.BOOL, "`event.data.step` is an int, a bool is needed"),
        ("event.data.step", Want.BOOL, "`event.data.step` is an int, a bool is needed"),
        ("event.data.loss", Want.NUMBER, "`event.data.loss` is a string, a number is needed"),
        ("event.data.step", Want.STRING, "`event.data.step` is an int, a string is needed"),
        ("event.data.step / 0", Want.NUMBER, "divide by zero"),
        ("1.0 / 0.0", Want.NUMBER, "the value is not a finite number"),
        ("event.data.step.startsWith('a')", Want.BOOL, "`event.data.step` is an int, a string is needed"),
        ("event.data.l.all(x, x > 0)", Want.BOOL, "`x` is a string, a number is needed"),
        ("event.data.l[7] == 1", Want.BOOL, "index 7 is outside a list of 2"),
        ("event.data.loss[0] == 'h'", Want.BOOL, "`[]` does not take a string and an int"),
        ("event.data.step + 1.0", Want.NUMBER, "`event.data.step` is an int, a double is needed"),
        ("event.data.step in event.data.loss", Want.BOOL, "`event.data.loss` is a string, a list or a map is needed"),
    ],
)
def test_a_fault_names_what_is_wrong(source: str, want: Want, reason: str) -> None:
    """A fault says which path is missing or of which kind it is."""
    with pytest.raises(CelFault) as fault:
        expression(source, want).evaluate(Scope(event=EVENT))
    assert str(fault.value) == reason


def test_no_event_is_a_fault_not_a_crash() -> None:
    """A condition on an event, evaluated where there is none, faults on both ways."""
    for source in ("event.data.step > 100", "event.time > timestamp('2020-01-01T00:00:00Z')"):
        assert outcome(expression(source), Scope()) is CelFault


@pytest.mark.parametrize("source", ["event.time > timestamp('2020-01-01T00:00:00Z')", "event.data.step == 200u"])
def test_the_rest_falls_back_to_the_runtime(source: str) -> None:
    """Times and unsigned numbers are left to the C++ runtime, and work."""
    made = expression(source)
    assert not made.compiled
    moment = 1_700_000_000_000_000
    assert made.evaluate(Scope(event=Event(id="e", source="s", type="t", time_us=moment, data={"step": 200}))) is True


@pytest.mark.parametrize("rounds", [3_999, 4_001, 9_998, 10_000, 20_000])
@pytest.mark.parametrize(
    "source",
    [
        "event.data.exists(x, x == 2)",
        "event.data.exists_one(x, x == 2)",
        "event.data.exists(x, x == 2) || event.data.exists(x, x == 2)",
        "event.data.exists(x, [x].exists(y, y == 2))",
    ],
)
def test_a_macro_over_a_huge_list_ends_as_on_the_runtime(source: str, rounds: int) -> None:
    """Past the C++ runtime's limit of rounds a macro faults, below it it counts, on both ways."""
    made = expression(source)
    assert isinstance(made, CompiledExpression)
    scope = Scope(event=Event(id="e", source="s", type="t", time_us=0, data=[1] * rounds))
    assert outcome(made, scope) == outcome(made._runtime, scope)


def test_a_map_is_gone_through_in_the_order_it_came() -> None:
    """`map` over a map is deterministic when compiled: the order of the keys in the event."""
    keys = [f"k{number}" for number in range(50, 0, -1)]
    scope = Scope(event=Event(id="e", source="s", type="t", time_us=0, data=dict.fromkeys(keys, 1)))
    assert expression("event.data.map(k, k)", Want.ANY).evaluate(scope) == keys


def test_no_rule_text_becomes_python() -> None:
    """Names and texts of a condition are data in the code object, whatever they spell."""
    scope = Scope(event=Event(id="e", source="s", type="t", time_us=0, data={"__class__": 1, "x')": 2}))
    assert expression("event.data.__class__ == 1").evaluate(scope) is True
    assert expression('event.data["x\')"] == 2').evaluate(scope) is True
    assert outcome(expression("event.data.x.__class__ == 1"), scope) is CelFault


def test_expressions_that_differ_in_their_constants_share_their_code() -> None:
    """One code object for all of a shape, each with constants of its own; another shape has another."""
    made = [expression(f"event.subject == 'run-{n}' && event.data.step > {n}00") for n in range(1, 9)]
    assert len({each.of_event.__code__ for each in made}) == 1  # type: ignore[attr-defined]
    seen = [Event("e", "s", "t", 0, f"run-{n}", {"step": 500}) for n in range(1, 9)]
    assert [each.of_event(event) for each, event in zip(made, seen, strict=True)] == [True] * 4 + [False] * 4
    other = expression("event.subject == 'run-7' && event.data.step >= 100")
    assert other.of_event.__code__ is not made[0].of_event.__code__  # type: ignore[attr-defined]


@pytest.mark.parametrize(("one", "other"), [("0.0", "-0.0"), ("1", "1.0"), ("'1'", "1"), ("true", "1")])
def test_constants_that_python_takes_for_equal_stay_apart(one: str, other: str) -> None:
    """Shared constants keep their type and sign."""
    made = [expression(f"event.data.on ? {text} : event.data.step", Want.ANY) for text in (one, other)]
    values = [each.evaluate(Scope(event=EVENT)) for each in made]
    assert repr(values[0]) != repr(values[1])


def sifted(seed: int) -> int:
    """How many events the sifts of a generated condition leave out; each of them must be plainly false."""
    make, pick = Generator(seed), Random(seed)
    texts = ("event.subject == 'run-7'", "event.data.s == 'a'", "'b' == event.data.m.s")
    parts = [*pick.sample(texts, pick.randint(1, 3)), make.condition()]
    pick.shuffle(parts)
    made = ENVIRONMENT.compile(" && ".join(f"({each})" for each in parts), scope=ScopeKind.EVENT, want=Want.BOOL)
    if not isinstance(made, CompiledExpression):
        return 0
    left_out = 0
    for event in [make.event() for _ in range(10)]:
        data = event.data if isinstance(event.data, dict) else {}
        inner = data.get("m") if isinstance(data.get("m"), dict) else {}
        held = {("subject",): event.subject, ("data", "s"): data.get("s"), ("data", "m", "s"): inner.get("s")}
        sift = made.sift({path: text for path, text in held.items() if isinstance(text, str)})
        try:
            out = sift is not None and not sift(event)
        except DEVIATIONS:
            continue
        assert not out or outcome(made, Scope(event=event)) is False, (made.source, event)
        left_out += out
    return left_out


@MODERATE
@given(seed=SEEDS)
def test_what_a_sift_leaves_out_is_plainly_false(seed: int) -> None:
    """Of events that have the texts that are given, the condition is false, and no fault, on those it says False of."""
    sifted(seed)


def test_sifts_leave_out_many_events() -> None:
    """The property above is not empty."""
    assert sum(map(sifted, range(100))) > 100


def test_conditions_that_ask_the_same_of_what_is_left_share_their_sift() -> None:
    """A thousand models with one threshold have one function; nothing is left of a mere equality."""
    texts = [f"event.data.model == 'm{n}' && event.data.score > 0.98" for n in range(3)]
    made = [each for each in map(expression, texts) if isinstance(each, CompiledExpression)]
    sifts = [each.sift({("data", "model"): f"m{n}"}) for n, each in enumerate(made)]
    assert len(set(sifts)) == 1
    assert [sifts[0](Event("e", "s", "t", 0, None, {"score": score})) for score in (0.98, 0.99)] == [False, True]
    alone = expression("event.data.model == 'm1'")
    assert isinstance(alone, CompiledExpression)
    assert alone.sift({("data", "model"): "m1"}) is None
    assert made[1].sift({("data", "model"): "m2"}) not in sifts, "of another text it is not known to hold"
