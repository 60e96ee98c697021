"""The discrimination net: what it leaves out changes no signal and no fault, and it leaves out nearly all there is."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.clock import SECOND_US
from engine.core import Core
from engine.detect import RulesIndex, watch
from engine.model import Event
from tests.support.celtext import LISTS, Generator
from tests.support.rules import rules_of

TESTS = [
    "event.type == 'a'",
    "event.type in ['a', 'b']",
    "event.data.s == 'a'",
    "event.data.s == 'b'",
    "event.data.m.s == 'run-7'",
    "event.data.m.s in ['a', 'run-7']",
    "event.data.i == 1",
    "event.data.i in [0, 1, 2]",
    "event.data.t == true",
    "event.data.n == null",
    "event.subject == 'run-7'",
    "event.subject in list.words",
    "event.ext.region == 'b'",
    "has(event.data.m.s) && event.data.m.s == 'a'",
    "has(event.subject) && event.subject == 'a'",
    "has(event.data.i) && event.data.i == 5",
]
LISTENING = ["'a'", "'b'", "['a', 'b']", "'x.*'", "['x.y', 'x.*']", "['x.y.*', 'x.*', 'a']"]
EXTRAS = ["", "", "cooldown = '2s'", "for = '1s'", "detect = { method = 'count', at_least = 2, within = '5s' }"]


def toml(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def generated(seed):
    """A rule file of signals whose conditions hold tests of equality beside generated text, and one rule over all."""
    pick, make = Random(seed), Generator(seed)
    lines = [f"[list.words]\nvalues = {list(LISTS['words'])!r}"]
    names = [f"s{number}" for number in range(pick.randint(1, 12))]
    for name in names:
        parts = pick.sample(TESTS, pick.randint(1, 3))
        if pick.random() < 0.4:
            parts.append(next(text for _ in range(99) if "list." not in (text := make.condition(1))))
        if pick.random() < 0.15:
            parts = [f"({' && '.join(parts)} || {pick.choice(TESTS)})"]
        pick.shuffle(parts)
        lines += [f"[signal.{name}]", f"on = {pick.choice(LISTENING)}", f"where = {toml(' && '.join(parts))}"]
        lines += [pick.choice(EXTRAS)]
    return "\n".join([*lines, "[rule.r]", "incident = 'fairness'", "severity = 'low'", f"when = {{ any = {names} }}"])


def loaded(seed):
    """The rule set of the seed; None where the generated text is no sound rule."""
    try:
        return rules_of(generated(seed))
    except AssertionError:
        return None


def stream(seed):
    make, pick = Generator(seed), Random(seed)
    for number in range(20):
        event = make.event()
        kind = pick.choice(["a", "a", "b", "x.y", "x.y.z", "x.q"])
        yield Event(f"e{number}", "test", kind, number * SECOND_US, event.subject, event.data, event.ext)


def steps(rules, seed):
    core = Core(rules)
    return [core.event(event, event.time_us) for event in stream(seed)], core.drain_changes()


@settings(max_examples=150)
@given(st.integers(0, 2**32))
def test_what_the_net_leaves_out_changes_nothing(seed):
    """Signals, faults, incidents and state are those of judging every listener on every event."""
    rules = loaded(seed)
    if rules is None:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watch, "hints", lambda condition: ())
        everything = steps(rules, seed)
    assert steps(rules, seed) == everything


def test_the_generated_rules_and_events_use_the_net():
    """The property above is not empty: many rules load, and both signals and faults come of them."""
    loads = [(seed, rules) for seed in range(60) if (rules := loaded(seed)) is not None]
    made = [step for seed, rules in loads for step in steps(rules, seed)[0]]
    assert len(loads) > 40
    assert sum(len(step.signals) for step in made) > 100
    assert sum(len(step.faults) for step in made) > 100


def candidates(texts, event):
    """The numbers of the signals, of these conditions, that are judged."""
    text = "".join(f"[signal.s{place}]\non = 't'\nwhere = {toml(each)}\n" for place, each in enumerate(texts))
    return [int(each.rule.id[1:]) for each in RulesIndex(rules_of(text).signals).candidates(event)]


def about(data, subject=None):
    return Event("e", "s", "t", 0, subject, data)


def test_of_many_models_only_the_signals_of_one_are_judged():
    """The number of candidates follows the value, not the number of signals."""
    texts = [f"event.type == 't' && event.data.model == 'm{n}' && event.data.score > 0.5" for n in range(50)]
    assert candidates(texts, about({"model": "m7", "score": 1})) == [7]
    assert candidates(texts, about({"model": "m50"})) == []


def test_a_second_path_tells_apart_what_the_first_leaves_together():
    """Ten tenants of ten models: one signal is judged of a hundred."""
    texts = [f"event.data.model == 'm{n // 10}' && event.data.tenant == 't{n % 10}'" for n in range(100)]
    assert candidates(texts, about({"model": "m4", "tenant": "t2"})) == [42]


@pytest.mark.parametrize(
    ("data", "judged"),
    [
        ({}, list(range(10))),  # a field that is missing is a fault of each signal that reads it
        ({"model": ["m1"]}, [9]),  # equal to no text; there, so no fault
        ({"model": {"m1": 1}}, [9]),
        ("text", list(range(10))),
        (None, list(range(10))),
        ({"model": None}, [9]),
        ({"model": 3}, [9]),
    ],
)
def test_faults_are_not_hidden(data, judged):
    """What is missing is judged, so that its fault is counted; what is there and different is not."""
    texts = [f"event.data.model == 'm{n}'" for n in range(9)] + ["event.data.model != 'x'"]
    assert candidates(texts, about(data)) == judged


def test_what_asks_whether_a_field_is_there_is_left_out_where_it_is_not():
    """`has()` beside the test makes it plainly false; data that is no map is a fault all the same."""
    texts = [f"has(event.data.model) && event.data.model == 'm{n}'" for n in range(9)]
    assert candidates(texts, about({})) == []
    assert candidates(texts, about([])) == list(range(9))


def test_a_missing_subject_is_judged_as_what_it_is():
    """A fault without `has()`, plainly false with it."""
    texts = [f"event.subject == 's{n}'" for n in range(5)]
    texts += [f"has(event.subject) && event.subject == 's{n}'" for n in range(5)]
    assert candidates(texts, about({})) == [0, 1, 2, 3, 4]
    assert candidates(texts, about({}, "s1")) == [1, 6]


def test_a_signal_that_holds_is_judged_on_every_event():
    """With `for`, an event that does not match ends the hold of its key: it must not be left out."""
    text = "".join(f"[signal.s{n}]\non = 't'\nwhere = 'event.data.m == {n}'\nfor = '1s'\n" for n in range(9))
    assert len(RulesIndex(rules_of(text).signals).candidates(about({"m": 3}))) == 9


def test_candidates_come_in_the_order_of_the_rule_set():
    """Whatever tests they stand behind."""
    texts = [f"event.data.{'abc'[n % 3]} == 'v{n // 3 % 2}'" for n in range(18)] + ["event.data.a > ''"]
    found = candidates(texts, about({"a": "v0", "b": "v1", "c": "v0"}))
    assert found == sorted(found)
    assert len(found) == 10
