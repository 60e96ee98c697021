"""The whole core: time, durability of its state, and that it is a function of what it is fed."""

from pathlib import Path

from engine.config import IntakeConfig, LimitsConfig
from engine.core import EMPTY, Core
from engine.model import Event, Mode
from engine.ruletest import load_tests, run_test
from engine.statechange import Space
from tests.support.rules import rules_of
from tests.support.timeline import START_US, Timeline

POISONING = """
[signal.loss-spike]
on     = "training.step"
where  = "event.data.step > 100"
by     = { run = "event.subject" }
value  = "event.data.loss"
detect = { method = "robust-z", window = 200, above = 8.0 }

[signal.label-flips]
on     = "training.batch"
where  = "event.data.flipped > 0"
by     = { run = "event.subject" }
detect = { method = "count", at_least = 20, within = "5m" }

[rule.data-poisoning]
incident = "data-poisoning"
severity = "critical"
by       = ["run"]
when     = { all = ["loss-spike", "label-flips"], within = "10m" }
playbook = "halt-training"

[playbook.halt-training]
contain = [ { do = "process.freeze", pid = "${event.data.pid}" } ]
"""


def poisoned(at):
    """A run that learns, then jumps, then sees flipped labels."""
    for second in range(300):
        at(second).event("training.step", "run-7", step=200, loss=0.5)
    at(301).event("training.step", "run-7", step=501, loss=90.0)
    for second in range(20):
        at(302 + second).event("training.batch", "run-7", flipped=3, pid=17)
    return at


def test_a_poisoned_run_is_contained_at_the_event_that_completes_the_evidence():
    """The story of the manual, second by second."""
    at = poisoned(Timeline(POISONING))
    assert at(301).signal("loss-spike", run="run-7").finding.value == 90.0
    at(321).signal("label-flips", run="run-7")
    at(321).incident("data-poisoning", run="run-7").contained_by("process.freeze")
    assert at.intents[0].params == {"pid": 17}
    at(322).quiet()


def test_the_core_is_a_function_of_its_input():
    """The same events give the same signals, incidents, intents and state, ids included."""
    first, second = poisoned(Timeline(POISONING)), poisoned(Timeline(POISONING))
    assert first.signals == second.signals
    assert first.incidents == second.incidents
    assert first.intents == second.intents
    assert first.core.drain_changes() == second.core.drain_changes()


def test_an_event_that_nobody_listens_to_costs_and_changes_nothing():
    """The empty step is one object, and nothing is to be written."""
    at = Timeline(POISONING)
    assert at.take(at.core.tick(START_US)) == EMPTY
    at(0).event("other")
    assert at.core.drain_changes() == []


def test_changes_are_drained_once_and_tell_of_each_state_once():
    """A batch of many events of one key writes that key once."""
    at = poisoned(Timeline(POISONING))
    places = [(each.space, each.owner) for each in at.core.drain_changes()]
    assert sorted(places) == [
        (Space.MATCHES, "data-poisoning"),
        (Space.MATCHES, "incident:data-poisoning"),
        (Space.WINDOWS, "label-flips"),
        (Space.WINDOWS, "loss-spike"),
    ]
    assert at.core.drain_changes() == []


def test_integers_beyond_64_bits_and_odd_texts_survive_a_restart():
    """What an event may hold, the state may hold: evidence is written down whole."""
    rules = "[signal.a]\non = 'a'\n[signal.b]\non = 'b'\n[rule.r]\nincident = 'fairness'\nseverity = 'low'\n"
    rules += "when = { all = ['a', 'b'] }\n"
    at = Timeline(rules)
    at(0).event("a", big=2**80, text="\u0000 \U0001f525", deep=[{"x": None}])
    after = Timeline(rules)
    assert after.core.restore(at.core.drain_changes()) == []
    after(1).event("b")
    evidence = after(1).incident("fairness").incident.signals[0].event
    assert evidence.data == {"big": 2**80, "text": "\u0000 \U0001f525", "deep": [{"x": None}]}


def test_the_next_timer_is_known_before_it_is_due():
    """So that the daemon sleeps until then, and no longer."""
    core = Core(rules_of("[signal.s]\non = 't'\ndetect = { method = 'absence', for = '10s' }"))
    assert core.next_due_us() is None
    at = Timeline(core.rules)
    at(5).event()
    assert at.core.next_due_us() == START_US + 15_000_000
    at(15).tick()
    assert at.core.next_due_us() is None


def test_core_time_never_goes_back():
    """A clock set back fires nothing twice and loses nothing."""
    at = Timeline("[signal.s]\non = 't'\ndetect = { method = 'absence', for = '10s' }")
    at(0).event()
    at(20).tick()
    at(10).signal("s")
    at(3).tick()
    assert at.core.core_us == START_US + 20_000_000
    at(21).quiet()


def test_the_shipped_rules_pass_their_own_tests():
    """Every rule test that ships holds on the real core."""
    root = Path(__file__).resolve().parent.parent / "rules"
    text = "\n".join(path.read_text() for path in sorted(root.rglob("*.toml")) if not path.name.endswith(".test.toml"))
    rules = rules_of(text)
    tests, found = load_tests([root])
    assert found == []
    assert tests
    for each in tests:
        result = run_test(rules, each)
        assert result.passed, f"{each.name}\n{result.difference}"


def test_other_limits_hold_for_windows_that_there_are():
    """A lateness that was raised counts events that the old one would have left out; a lower bound of keys evicts."""
    counted = """
[signal.burst]
on     = "x"
by     = { k = "event.subject" }
detect = { method = "count", at_least = 3, within = "10s" }
"""
    second = 1_000_000

    def seen(late_us):
        core = Core(rules_of(counted), LimitsConfig(), IntakeConfig(lateness_max=0))
        core.event(event_at(0, 100 * second), 100 * second)
        core.reconfigure(LimitsConfig(keys_max=1), IntakeConfig(lateness_max=late_us), Mode.OBSERVE)
        core.event(event_at(1, 92 * second), 100 * second)
        return core, core.event(event_at(2, 93 * second), 100 * second)

    core, step = seen(60 * second)
    assert [signal.signal for signal in step.signals] == ["burst"]
    assert core.mode is Mode.OBSERVE
    core.event(event_at(3, 100 * second, subject="other"), 100 * second)
    assert core.evictions() == {"signal.burst": 1}


def event_at(number, time_us, subject="k"):
    return Event(id=f"e{number}", source="s", type="x", time_us=time_us, subject=subject)
