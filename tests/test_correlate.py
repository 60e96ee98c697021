"""Signals to incidents: joins, `none` and `wait`, corroboration, and the one open incident of a type and key."""

import pytest

from engine.config import LimitsConfig
from engine.correlate import state
from engine.model import Mode, Severity
from tests.support.rules import RULES_OF_ONE, rules_of
from tests.support.timeline import Timeline

SIGNALS = "".join(
    f"[signal.{name}]\non = '{name}'\nby = {{ k = 'event.subject', s = 'event.source' }}\n" for name in "abc"
)


def rule(when, name="r", incident="fairness", severity="high", extra=""):
    """A rule joined by `k`."""
    return (
        f"[rule.{name}]\nincident = '{incident}'\nseverity = '{severity}'\nby = ['k']\nwhen = {{ {when} }}\n{extra}\n"
    )


def timeline(*rules, **core):
    return Timeline(SIGNALS + "".join(rules), **core)


JOINS = [
    ("all = ['a', 'b'], within = '10s'", "a0 b10", 10),
    ("all = ['a', 'b'], within = '10s'", "b0 a10", 10),
    ("all = ['a', 'b'], within = '10s'", "a0 b10.1", None),
    ("all = ['a', 'b'], within = '10s'", "a0 a5 b12", 12),
    ("all = ['a', 'b', 'c'], within = '10s'", "a0 b9 c11", None),
    ("all = ['a', 'b', 'c'], within = '10s'", "a0 b9 c11 a12", 12),
    ("all = ['a', 'b']", "a0 b9999", 9999),
    ("all = ['a', 'b'], within = '10s'", "b20 a12", 20),
    ("any = ['a', 'b']", "b3", 3),
    ("any = ['a', 'b', 'c'], at_least = 2, within = '10s'", "a0 a1 c9", 9),
    ("any = ['a', 'b', 'c'], at_least = 2, within = '10s'", "a0 a1 a2", None),
    ("sequence = ['a', 'b'], within = '10s'", "a0 b10", 10),
    ("sequence = ['a', 'b'], within = '10s'", "b0 a10", None),
    ("sequence = ['a', 'b'], within = '10s'", "a0 b10.1", None),
    ("sequence = ['a', 'b']", "a5 b5", 5),
    ("sequence = ['a', 'b']", "b5 a5", None),
    ("sequence = ['a', 'b', 'c'], within = '10s'", "a0 b1 a2 a3 c4", 4),
    ("sequence = ['a', 'a', 'b']", "a0 b1", None),
    ("sequence = ['a', 'a', 'b']", "a0 a1 b1", 1),
    ("sequence = ['a', 'b'], within = '10s'", "b5 a4", 5),
    ("sequence = ['a', 'b', 'c'], within = '10s'", "a1 c5 b4", 5),
    ("all = ['a', 'b'], none = ['c'], within = '10s'", "c0 a9 b11", 11),
    ("all = ['a', 'b'], none = ['c'], within = '10s'", "c1 a9 b11", None),
    ("any = ['a'], none = ['c']", "c0 a9999", None),
    ("any = ['a'], none = ['c'], wait = '5s'", "a1", 6),
    ("any = ['a'], none = ['c'], wait = '5s'", "a1 c6", None),
    ("any = ['a'], none = ['c'], wait = '5s'", "a1 c6.1", 6),
    ("any = ['a'], none = ['c'], wait = '5s'", "a1 a3", 6),
]


@pytest.mark.parametrize(("when", "story", "fires"), JOINS)
def test_a_join_fires_when_the_text_says_so(when, story, fires):
    """Signals at their seconds, in this order of arrival; the rule fires at that second, or never."""
    at = timeline(rule(when))
    for each in story.split():
        at(float(each[1:])).event(each[0])
    at(20_000).tick()
    if fires is not None:
        at(fires).incident("fairness", k="x")
    at(20_001).nothing()


def test_keys_join_by_the_names_of_the_rule_alone():
    """Signals of different sources join by `k`; those of another `k` do not."""
    at = timeline(rule("all = ['a', 'b']"))
    at(0).event("a", source="m")
    at(1).event("b", subject="y", source="m")
    at(1).nothing()
    at(2).event("b", source="n")
    at(2).incident("fairness", k="x")


def test_one_event_that_speaks_for_and_against_makes_no_match():
    """Signals of `none` are remembered before the others of the same event are judged."""
    at = Timeline(
        "[signal.a]\non = 't'\n[signal.c]\non = 't'\n[rule.r]\nincident = 'fairness'\nseverity = 'low'\n"
        "when = { any = ['a'], none = ['c'], within = '5s' }\n"
    )
    at(0).event("t")
    at(1).nothing()


def test_corroboration_asks_for_different_sources():
    """Two signals of one source are one witness; a witness too old does not count."""
    at = timeline(rule("any = ['a', 'b'], corroborate = 2, within = '10s'"))
    at(0).event("a", source="m")
    at(1).event("b", source="m")
    at(11.5).event("a", source="n")
    at(12).nothing()
    at(13).event("b", source="m")
    at(13).incident("fairness", k="x")


def test_further_signals_are_absorbed_and_the_evidence_is_bounded():
    """One incident per type and key: all are counted, the first ones kept."""
    at = timeline(rule("any = ['a', 'b']"), limits=LimitsConfig(signals_per_incident_max=3))
    at(0).event("a")
    at(0).incident("fairness", k="x")
    for second in range(1, 10):
        at(second).event("b")
    at(10).nothing()
    (opened,) = at.core.open_incidents()
    assert (opened.absorbed, [each.event.id for each in opened.signals]) == (10, ["e1", "e2", "e3"])


def test_signals_of_another_rule_of_the_type_are_absorbed_too():
    """Whichever rule they came by, and before that rule fires."""
    at = timeline(rule("any = ['a']"), rule("all = ['b', 'c']", name="q"))
    at(0).event("a")
    at(1).event("b")
    (opened,) = at.core.open_incidents()
    assert [each.signal for each in opened.signals] == ["a", "b"]


def test_the_worst_rule_that_fires_sets_the_severity():
    """Severity rises and never falls; a rule that enforces takes an incident out of observe."""
    observe = rule("any = ['a']", severity="low", extra="mode = 'observe'")
    at = timeline(observe, rule("all = ['a', 'b']", name="q", severity="critical"))
    at(0).event("a")
    assert [(each.severity, each.mode) for each in at.core.open_incidents()] == [(Severity.LOW, Mode.OBSERVE)]
    at(1).event("b")
    at(2).event("a")
    assert [(each.severity, each.mode) for each in at.core.open_incidents()] == [(Severity.CRITICAL, Mode.ENFORCE)]


def test_a_rule_that_fires_later_has_its_own_steps_decided_once():
    """Which rule opened the incident does not keep the other's steps from being decided; no two share an id."""
    playbooks = "".join(
        f"[playbook.{name}]\ncontain = [ {{ do = 'evidence.capture', paths = ['/{name}'] }} ]\n" for name in "pq"
    )
    at = timeline(
        rule("any = ['a']", extra="playbook = 'p'\nmode = 'observe'"),
        rule("any = ['b']", name="q", extra="playbook = 'q'"),
        rule("any = ['c']", name="w", extra="playbook = 'p'"),
        playbooks,
    )
    for second, kind in enumerate("abcabc"):
        at(second).event(kind)
    assert [(each.rule, each.params["paths"], each.verdict) for each in at.intents] == [
        ("r", ["/p"], "observe"),
        ("q", ["/q"], "enforce"),
        ("w", ["/p"], "enforce"),
    ]
    assert len({each.id for each in at.intents}) == 3


def test_closing_lets_a_new_incident_open_on_new_evidence_only():
    """What came before the closing does not complete a match after it."""
    at = timeline(rule("all = ['a', 'b']"))
    at(0).event("a")
    at(1).event("b")
    first = at(1).incident("fairness", k="x").incident
    at(2).event("a")
    assert at.core.close(first.id)
    assert not at.core.close(first.id)
    at(3).event("b")
    at(3).nothing()
    at(4).event("a")
    assert at(4).incident("fairness", k="x").incident.id != first.id


def closed_at(at, seconds, within):
    """Close what is open, to be reopened for so many seconds."""
    [opened] = at.core.open_incidents()
    assert at.core.close(opened.id, reopen_until_us=at(seconds + within).time_us)
    return opened


def test_what_comes_again_soon_after_closing_reopens_the_incident():
    """It keeps its id, its evidence and its opening; the playbook is decided again, as new steps."""
    playbook = "[playbook.p]\ncontain = [ { do = 'evidence.capture', paths = ['/p'] } ]\n"
    at = timeline(rule("any = ['a']", extra="playbook = 'p'"), playbook)
    at(0).event("a")
    first = closed_at(at, 10, 60)
    at(70).event("a")
    [again] = at.core.open_incidents()
    assert (again.id, again.opened_us, again.reopened, again.steps_from) == (first.id, first.opened_us, 1, (1, 0, 0))
    assert [each.at_us for each in again.signals] == [at(0).time_us, at(70).time_us]
    assert [each.step for each in at.intents] == [0, 1]
    assert len({each.id for each in at.intents}) == 2


def test_what_comes_again_later_than_that_is_a_new_incident():
    """And the old one is not asked for any more."""
    at = timeline(rule("any = ['a']"))
    at(0).event("a")
    first = closed_at(at, 10, 60)
    at(70.000001).event("a")
    [new] = at.core.open_incidents()
    assert (new.id != first.id, new.reopened) == (True, 0)


def test_one_signal_of_a_match_does_not_reopen():
    """It takes what it takes to open one."""
    at = timeline(rule("all = ['a', 'b']"))
    at(0).event("a").event("b")
    first = closed_at(at, 10, 60)
    at(11).event("a")
    assert at.core.open_incidents() == []
    at(12).event("b")
    assert [each.id for each in at.core.open_incidents()] == [first.id]


def test_that_an_incident_may_be_reopened_survives_a_restart():
    """It is durable with the rest of what the core remembers."""
    text = rule("any = ['a']")
    at = timeline(text)
    at(0).event("a")
    first = closed_at(at, 10, 60)
    after = timeline(text)
    assert after.core.restore(at.core.drain_changes(), at.core.core_us) == []
    assert after.core.open_incidents() == []
    after(30).event("a")
    assert [each.id for each in after.core.open_incidents()] == [first.id]


def test_a_person_reopens_an_incident_that_the_core_has_forgotten():
    """Unless another of its type and key is open; nothing is decided until a rule fires."""
    at = timeline(rule("any = ['a']"))
    at(0).event("a")
    [first] = at.core.open_incidents()
    at.core.close(first.id)
    again = at.core.reopen(first, (2, 1, 0))
    assert (again.reopened, again.steps_from) == (1, (2, 1, 0))
    assert at.core.reopen(first, (2, 1, 0)) is None


def test_closed_incidents_are_kept_in_a_bounded_number(monkeypatch):
    """Past it the one that was closed first is a new incident when it comes again."""
    monkeypatch.setattr(state, "CLOSED_MAX", 1)
    at = timeline(rule("any = ['a']"))
    for subject in "xy":
        at(0).event("a", subject=subject)
        closed_at(at, 1, 60)
    at(2).event("a", subject="x").event("a", subject="y")
    assert [each.reopened for each in sorted(at.core.open_incidents(), key=lambda each: each.key)] == [0, 1]


def test_past_the_limit_the_longest_quiet_key_is_forgotten_and_counted():
    """Partial matches are bounded per rule."""
    at = timeline(rule("all = ['a', 'b']"), limits=LimitsConfig(matches_per_rule_max=1))
    at(0).event("a")
    at(1).event("a", subject="y")
    at(2).event("b")
    at(3).nothing()
    assert at.core.evictions() == {"rule.r": 2}
    assert at.core.sizes()[1] == 1


def test_a_wait_survives_a_restart():
    """A match that waits is durable with the rest, and fires at its time."""
    text = rule("any = ['a'], none = ['c'], wait = '60s'")
    at = timeline(text)
    at(0).event("a")
    rows = at.core.drain_changes()
    after = timeline(text)
    assert after.core.restore(rows, at.core.core_us) == []
    after(59.9).nothing()
    after(60).tick()
    after(60).incident("fairness", k="x")


def test_an_incident_has_the_same_id_live_and_replayed():
    """Its id follows from type, key and the event that completed it."""
    first, second = timeline(rule("any = ['a']")), timeline(rule("any = ['a']"))
    first(0).event("a")
    second(0).event("a")
    assert first.incidents[0].id == second.incidents[0].id


def test_matches_of_unchanged_rules_survive_new_rules_and_incidents_stay_open():
    """A reload drops what belongs to changed rules only."""
    kept, old, new = (
        rule("all = ['a', 'b']"),
        rule("all = ['a', 'c']", name="q"),
        rule("all = ['a', 'c'], within = '1h'", name="q"),
    )
    at = timeline(kept, old, rule("any = ['b']", name="w", incident="availability"))
    at(0).event("b", subject="z")
    at(0).incident("availability", k="z")
    at(1).event("a")
    at.core.swap_rules(rules_of(SIGNALS + kept + new))
    at(2).event("c")
    at(3).nothing()
    at(4).event("b")
    at(4).incident("fairness", k="x")
    assert {each.incident for each in at.core.open_incidents()} == {"fairness", "availability"}


def test_of_timers_due_at_one_time_signals_come_before_rules():
    """A silence that is told at the very end of a wait still voids the match."""
    text = "[signal.a]\non = 't'\n[signal.c]\non = 't'\ndetect = { method = 'absence', for = '10s' }\n"
    at = Timeline(
        text + "[rule.r]\nincident = 'fairness'\nseverity = 'low'\nwhen = { any = ['a'], none = ['c'], wait = '10s' }\n"
    )
    at(0).event()
    at(10).tick()
    at(10).signal("c")
    at(11).nothing()


def test_an_incident_that_was_never_written_down_leaves_no_row_to_delete():
    """Opened and closed between two drains it was never there; one that was drained is taken away."""
    at = Timeline(RULES_OF_ONE)
    at(0).event()
    at.core.close(at.core.open_incidents()[0].id)
    assert at.core.drain_changes() == []
    at(1).event()
    at.core.drain_changes()
    at.core.close(at.core.open_incidents()[0].id)
    assert [(each.owner, each.state) for each in at.core.drain_changes()] == [("incident:fairness", None)]
