"""Events to signals: who listens, what a key is, `for`, `cooldown`, limits and faults."""

import pytest

from engine.clock import SECOND_US, Duration
from engine.config import IntakeConfig, LimitsConfig
from engine.detect import RulesIndex
from engine.model import Event, make_key
from tests.support.rules import rules_of
from tests.support.timeline import Timeline


def signal(text):
    """A rule file with one signal."""
    return f"[signal.s]\non = 't'\nby = {{ k = 'event.subject' }}\n{text}\n"


COUNT_3 = "detect = { method = 'count', at_least = 3, within = '10s' }"


@pytest.mark.parametrize(
    ("on", "heard", "unheard"),
    [
        ("'a.b'", ["a.b"], ["a", "a.b.c", "a.bc"]),
        ("'a.*'", ["a.b", "a.b.c"], ["a", "ab", "b.a.c"]),
        ("['a', 'b.*']", ["a", "b.c"], ["b", "c"]),
        ("'a.b.*'", ["a.b.c"], ["a.c", "a.b"]),
    ],
)
def test_a_signal_hears_its_types_and_what_begins_with_its_prefixes(on, heard, unheard):
    """Exact names match whole types, prefixes the types below them."""
    index = RulesIndex(rules_of(f"[signal.s]\non = {on}").signals)
    assert [len(index.candidates(Event("e", "s", each, 0))) for each in heard] == [1] * len(heard)
    assert [len(index.candidates(Event("e", "s", each, 0))) for each in unheard] == [0] * len(unheard)


def test_listeners_come_in_the_order_of_the_rule_set():
    """Exact and prefix listeners of one type are judged in the order in which they were written."""
    text = "".join(f"[signal.{name}]\non = '{on}'\n" for name, on in [("z", "a.*"), ("y", "a.b"), ("x", "a.*")])
    heard = RulesIndex(rules_of(text).signals).candidates(Event("e", "s", "a.b", 0))
    assert [each.rule.id for each in heard] == ["z", "y", "x"]


def test_a_burst_across_the_boundary_of_any_bucket_is_found():
    """Windows slide: three events within ten seconds, wherever they lie."""
    at = Timeline(signal(COUNT_3))
    at(9).event()
    at(10).event()
    at(19).event()
    at(19).signal("s", k="x")


def test_an_event_exactly_within_older_is_inside():
    """The window is closed at both ends."""
    at = Timeline(signal(COUNT_3))
    at(0).event(times=2)
    at(10).event()
    at(10).signal("s", k="x")
    at(20).event(times=2)
    at(30.000001).event()
    at(31).quiet()


def test_a_burst_gives_one_signal_for_each_threshold_reached():
    """The window of `count` starts afresh after a signal."""
    at = Timeline(signal(COUNT_3))
    at(0).event(times=10)
    assert len(at.signals) == 3


def test_late_events_count_and_too_late_ones_do_not():
    """What is late by no more than the lateness allowed finds its window; what is older changes nothing."""
    intake = IntakeConfig(lateness_max=Duration(5 * SECOND_US))
    at = Timeline(signal(COUNT_3), intake=intake)
    at(100).event()
    at(86).event()
    at(86).event()
    at(95).event()
    at(95).signal("s", k="x")
    at(84.9).event(times=3)
    at(101).quiet()


def test_keys_have_windows_of_their_own():
    """Three events of three keys are no burst."""
    at = Timeline(signal(COUNT_3))
    for subject in "xyz":
        at(1).event(subject=subject)
    at(2).quiet()


def test_a_cooldown_mutes_its_key_and_no_other():
    """A signal exactly `cooldown` later is heard, those before are not, and do not prolong it."""
    at = Timeline(signal("cooldown = '10s'"))
    at(0).event()
    at(9.9).event()
    at(9.9).event(subject="y")
    at(10).event()
    assert [(each.key[0][1], each.event.id) for each in at.signals] == [("x", "e1"), ("y", "e3"), ("x", "e4")]


def test_a_hold_gives_its_signal_when_it_has_lasted_and_not_before():
    """`for`: by a timer where nothing ends the hold, with the newest event of the hold."""
    at = Timeline(signal("where = 'event.data.hot'\nfor = '10s'"))
    at(0).event(hot=True)
    at(4).event(hot=True)
    at(9.999).quiet()
    at(10).tick()
    assert at(10).signal("s", k="x").event.id == "e2"
    at(12).event(hot=True)
    at(12).signal("s", k="x")
    at(60).quiet()


def test_what_does_not_match_ends_a_hold():
    """An event of the key that is no finding starts the clock anew."""
    at = Timeline(signal("where = 'event.data.hot'\nfor = '10s'"))
    at(0).event(hot=True)
    at(9).event(hot=False)
    at(9.5).event(hot=True)
    at(19).quiet()
    at(19.5).tick()
    at(19.5).signal("s", k="x")


def test_an_event_of_another_key_does_not_end_a_hold():
    """Holds belong to their keys."""
    at = Timeline(signal("where = 'event.data.hot'\nfor = '10s'"))
    at(0).event(hot=True)
    at(5).event(subject="y", hot=False)
    at(10).tick()
    at(10).signal("s", k="x")


def test_silence_is_told_once_and_again_after_new_life():
    """`absence`: at the newest observation plus `for`; an event exactly then breaks it."""
    at = Timeline(signal("detect = { method = 'absence', for = '10s' }"))
    at(0).event()
    at(10).event()
    at(20).tick()
    assert at(20).signal("s", k="x").event is None
    at(100).quiet()
    at(100).event()
    at(110).tick()
    at(110).signal("s", k="x")


def test_events_that_come_later_show_the_silence_before_them():
    """Without ticks, as in a replay, the events themselves move the time."""
    at = Timeline(signal("detect = { method = 'absence', for = '10s' }"))
    at(0).event()
    at(50).event(subject="y")
    at(10).signal("s", k="x")


FAULTS = [
    ("where = 'event.data.no > 1'", "where"),
    ("by = { k = 'event.data.no' }", "by.k"),
    ("by = { k = 'event.data.long' }", "by.k"),
    ("value = 'event.data.no'\ndetect = { method = 'sum', above = 1, within = '1s' }", "value"),
    ("detect = { method = 'distinct', of = 'event.data.no', at_least = 2, within = '1s' }", "detect.of"),
    ("detect = { method = 'ratio', of = 'event.data.n', at_least = 0.5, within = '1s' }", "detect.of"),
]


@pytest.mark.parametrize(("text", "field"), FAULTS)
def test_what_cannot_be_evaluated_is_a_fault_and_no_signal(text, field):
    """A fault names the signal, the field and the event, and is never a silent false."""
    at = Timeline(f"[signal.s]\non = 't'\n{text}\n[signal.sound]\non = 't'\n")
    at(0).event(n=1, long="k" * 257)
    assert [(each.owner, each.field, each.event_id) for each in at.faults] == [("s", field, "e1")]
    assert at.faults[0].reason
    assert [each.signal for each in at.signals] == ["sound"]


def test_past_the_limit_the_longest_quiet_key_is_forgotten_and_counted():
    """Keys that are touched stay."""
    at = Timeline(signal(COUNT_3), limits=LimitsConfig(keys_max=2))
    at(0).event(subject="a", times=2)
    at(1).event(subject="b", times=2)
    at(2).event(subject="a")
    at(2).signal("s", k="a")
    at(3).event(subject="c")
    at(4).event(subject="b")
    at(5).quiet()
    assert at.core.evictions() == {"signal.s": 2}
    assert at.core.sizes()[0] == 2


def test_a_future_time_is_taken_for_the_time_of_arrival():
    """An event from far ahead neither counts there nor makes honest events of its key too late."""
    at = Timeline(signal(COUNT_3))
    at(86_400).event(arrived=0)
    at(1).event(arrived=1)
    at(2).event(arrived=2)
    at(2).signal("s", k="x")


def test_the_finding_names_the_events_and_the_threshold():
    """What an operator is told: how many, within what, and by which events."""
    at = Timeline(signal(COUNT_3))
    at(0).event(times=3)
    finding = at(0).signal("s", k="x").finding
    assert finding.detail == "3 events within 10s"
    assert (finding.value, finding.threshold, finding.event_ids) == (3.0, 3.0, ("e1", "e2", "e3"))


def test_state_of_unchanged_signals_survives_new_rules():
    """A reload keeps the windows of signals whose digest is the same, and drops the others."""
    old = signal(COUNT_3) + "[signal.other]\non = 't'\ndetect = { method = 'count', at_least = 3, within = '9s' }\n"
    new = signal(COUNT_3) + "[signal.other]\non = 't'\ndetect = { method = 'count', at_least = 3, within = '8s' }\n"
    at = Timeline(old)
    at(0).event(times=2)
    at.core.drain_changes()
    at.core.swap_rules(rules_of(new))
    gone = at.core.drain_changes()
    assert [(each.owner, each.state) for each in gone] == [("other", None)]
    at(1).event()
    at(1).signal("s", k="x")
    at(2).quiet()


def test_rows_of_other_rules_are_thrown_away_with_a_sentence():
    """A restart with changed rules begins those windows anew and says so; the rows are deleted."""
    at = Timeline(signal(COUNT_3))
    at(0).event(times=2)
    rows = at.core.drain_changes()
    other = Timeline(signal("detect = { method = 'count', at_least = 4, within = '10s' }"))
    said = other.core.restore(rows)
    assert len(said) == 1
    assert "signal s" in said[0]
    assert [(each.owner, each.state) for each in other.core.drain_changes()] == [("s", None)]


def test_an_old_event_does_not_make_a_silence_told_again():
    """Only a newer observation is new life; one from the time of the last, come late, is not."""
    at = Timeline(signal("detect = { method = 'absence', for = '10s' }"))
    at(0).event()
    at(10).tick()
    at(10).signal("s", k="x")
    at(0).event(arrived=11)
    at(60).quiet()


STRICTER = "detect = { method = 'count', at_least = 3, within = '10s' }\nwatched = { at_least = 2 }"


def watch(at, seconds, until, **key):
    """Put a key on the watch list, from one time to another."""
    start_us = at(0).time_us
    at.core.watch(make_key(key), since_us=start_us + seconds * SECOND_US, until_us=start_us + until * SECOND_US)


def test_for_a_watched_key_the_stricter_parameters_find_too():
    """Two events are enough for it, three are needed for others; the finding says that it was watched."""
    at = Timeline(signal(STRICTER))
    watch(at, 0, 100, k="x")
    at(1).event().event(subject="y")
    at(2).event().event(subject="y")
    assert at(2).signal("s", k="x").finding.detail.endswith("(watched)")
    at(3).event().event(subject="y")
    at(3).signal("s", k="x")
    assert "(watched)" not in at(3).signal("s", k="y").finding.detail
    at(3).nothing()


def test_a_key_is_watched_from_the_first_moment_up_to_and_without_the_last():
    """By the time of the event; the second window counts all along."""
    at = Timeline(signal(STRICTER.replace("= 3", "= 9").replace("= 2", "= 1")))
    watch(at, 5, 8, k="x")
    for second in (4, 5, 7, 8):
        at(second).event()
    at(5).signal("s", k="x")
    at(7).signal("s", k="x")
    at(8).nothing()


def test_taken_off_the_list_a_key_is_as_any_other():
    """The entry of that very key, and no other."""
    at = Timeline(signal(STRICTER.replace("= 2", "= 1")))
    watch(at, 0, 100, k="x")
    assert at.core.unwatch(make_key({"k": "x"}))
    assert not at.core.unwatch(make_key({"k": "x"}))
    at(1).event()
    at(1).nothing()


def test_a_watched_silence_is_told_sooner():
    """Both windows have timers; what was told for the stricter one is told again when the other's time has come."""
    at = Timeline(signal("detect = { method = 'absence', for = '10s' }\nwatched = { for = '4s' }"))
    watch(at, 0, 100, k="x")
    at(0).event().event(subject="y")
    at(9).tick()
    at(4).signal("s", k="x")
    at(10).tick()
    at(10).signal("s", k="x")
    at(10).signal("s", k="y")
    at(10).nothing()


def test_the_stricter_window_survives_a_restart():
    """What it had counted is not counted anew."""
    text = signal("detect = { method = 'count', at_least = 9, within = '10s' }\nwatched = { at_least = 2 }")
    at = Timeline(text)
    at(1).event()
    after = Timeline(text)
    assert after.core.restore(at.core.drain_changes(), at.core.core_us) == []
    watch(after, 0, 100, k="x")
    after(2).event()
    after(2).signal("s", k="x")
