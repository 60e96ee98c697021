"""The core against the brute-force reference, on generated rule sets and streams."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.clock import SECOND_US, Duration
from engine.config import IntakeConfig, LimitsConfig
from engine.core import Core
from engine.detect import state as windows
from engine.model import Event, IncidentState, make_key
from tests.core.reference import Reference
from tests.support.rules import rules_of

LATENESS_S = 4
AHEAD_S = 3
EVIDENCE_MAX = 4
START_S = 1_000
INTAKE = IntakeConfig(lateness_max=Duration(LATENESS_S * SECOND_US), future_max=Duration(AHEAD_S * SECOND_US))
LIMITS = LimitsConfig(signals_per_incident_max=EVIDENCE_MAX)

WITHIN = st.sampled_from(["1s", "3s", "5s", "12s"])
CONDITIONS = ["event.data.v > 1", "event.data.v < 3", "event.data.ok", "event.data.late.missing == 1 || event.data.ok"]
KEYS = ["{ k = 'event.subject' }", "{ k = 'event.subject', s = 'event.source' }"]


@st.composite
def detects(draw):
    """One `detect` table, and whether it takes a value; an empty text for none."""
    method = draw(
        st.sampled_from(
            ["", "count", "count", "distinct", "ratio", "sum", "mean", "min", "max", "quantile", "absence", "threshold"]
        )
    )
    within = draw(WITHIN)
    few = draw(st.integers(1, 4))
    side = draw(st.sampled_from(["above", "below"]))
    bound = draw(st.integers(0, 6))
    match method:
        case "":
            return "", "", True
        case "count":
            return f"detect = {{ method = 'count', at_least = {few}, within = '{within}' }}", "", False
        case "distinct":
            of = draw(st.sampled_from(["event.data.v", "event.source", "event.data.ok"]))
            return f"detect = {{ method = 'distinct', of = '{of}', at_least = {few}, within = '{within}' }}", "", False
        case "ratio":
            of = draw(st.sampled_from(["event.data.ok", "event.data.v > 2", "event.data.odd"]))
            share = draw(st.sampled_from([0.25, 0.5, 0.75, 1.0]))
            text = f"method = 'ratio', of = '{of}', at_least = {share}, within = '{within}', min_events = {few}"
            return f"detect = {{ {text} }}", "", True
        case "absence":
            return f"detect = {{ method = 'absence', for = '{within}' }}", "", False
        case "threshold":
            return "detect = { method = 'mean', above = 2, within = '1ms' }", "value = 'event.data.v'", True
        case "quantile":
            q = draw(st.sampled_from([0, 0.1, 0.5, 0.9, 1]))
            text = f"method = 'quantile', q = {q}, {side} = {bound}, within = '{within}', min_events = {few}"
            return f"detect = {{ {text} }}", "value = 'event.data.v'", True
        case _:
            text = f"method = '{method}', {side} = {bound}, within = '{within}', min_events = {few}"
            return f"detect = {{ {text} }}", "value = 'event.data.v'", True


@st.composite
def watched(draw, detect):
    """A `watched` table for a `detect` table: another value of a parameter that it has; an empty text for none."""
    few = draw(st.integers(1, 3))
    for name, value in (
        ("at_least", few),
        ("above", few),
        ("below", few),
        ("for", f"'{draw(WITHIN)}'"),
        ("within", f"'{draw(WITHIN)}'"),
    ):
        if f" {name} = " in detect and not (name == "at_least" and "'ratio'" in detect):
            return f"watched = {{ {name} = {value} }}"
    return ""


@st.composite
def closely_watched(draw):
    """One `detect` table that seldom finds anything, with a `watched` table that often does."""
    method = draw(st.sampled_from(["count", "distinct", "sum", "max", "absence"]))
    match method:
        case "count":
            return "method = 'count', at_least = 4, within = '12s'", "", "at_least = 1"
        case "distinct":
            return "method = 'distinct', of = 'event.data.v', at_least = 4, within = '12s'", "", "at_least = 2"
        case "absence":
            return "method = 'absence', for = '12s'", "", "for = '3s'"
        case _:
            return f"method = '{method}', above = 9, within = '5s'", "value = 'event.data.v'", "above = 1"


@st.composite
def watched_rule_texts(draw):
    """A rule file of two signals with `watched`, and a rule for each that decides a playbook."""
    lines = ["[playbook.p]", "contain = [ { do = 'evidence.capture', paths = ['/tmp/${incident.key.k}'] } ]"]
    for name in "ab":
        detect, value, stricter = draw(closely_watched())
        lines += [f"[signal.{name}]", f"on = 't.{name}'", f"by = {draw(st.sampled_from(KEYS))}", value]
        lines += [f"detect = {{ {detect} }}", f"watched = {{ {stricter} }}"]
        if draw(st.booleans()):
            lines.append(f"cooldown = '{draw(WITHIN)}'")
        lines += [f"[rule.r{name}]", "incident = 'fairness'", "severity = 'low'", "by = ['k']", "playbook = 'p'"]
        lines.append(f"when = {{ any = ['{name}'] }}")
    return "\n".join(lines)


@st.composite
def rule_texts(draw, *, sequences, plain=False):
    """A rule file: three signals (`plain`: each event of a type is one), up to three rules, two playbooks."""
    lines = []
    for name in "abc":
        if plain:
            lines += [f"[signal.{name}]", f"on = 't.{name}'", "by = { k = 'event.subject' }"]
            continue
        detect, value, may_hold = draw(detects())
        stricter = draw(watched(detect))
        lines += [f"[signal.{name}]", f"on = {draw(st.sampled_from([['t.a'], ['t.b'], ['t.*']]))}", detect, value]
        lines.append(f"by = {draw(st.sampled_from(KEYS))}")
        if draw(st.booleans()):
            lines.append(f'where = "{draw(st.sampled_from(CONDITIONS))}"')
        if stricter and draw(st.booleans()):
            lines.append(stricter)
        if may_hold and draw(st.integers(0, 3)) == 0:
            lines.append(f"for = '{draw(WITHIN)}'")
        if draw(st.integers(0, 3)) == 0:
            lines.append(f"cooldown = '{draw(WITHIN)}'")
    forms = ["all", "any", "any"] + (["sequence", "sequence"] if sequences else [])
    for number in range(draw(st.integers(1, 3))):
        form = draw(st.sampled_from(forms))
        names = draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=form != "sequence"))
        when = [f"{form} = {names}"]
        if form == "any":
            when.append(f"at_least = {draw(st.integers(1, len(names)))}")
        if draw(st.booleans()):
            when.append(f"within = '{draw(WITHIN)}'")
        if draw(st.integers(0, 2)) == 0:
            when.append(f"none = ['{draw(st.sampled_from('abc'))}']")
            if draw(st.booleans()):
                when.append(f"wait = '{draw(WITHIN)}'")
        if draw(st.integers(0, 3)) == 0:
            when.append("corroborate = 2")
        lines += [
            f"[rule.r{number}]",
            f"incident = '{draw(st.sampled_from(['fairness', 'availability']))}'",
            f"severity = '{draw(st.sampled_from(['low', 'high', 'critical']))}'",
            f"mode = '{draw(st.sampled_from(['enforce', 'observe']))}'",
            "by = ['k']",
            f"when = {{ {', '.join(when)} }}",
            draw(st.sampled_from(["", "playbook = 'p'", "playbook = 'q'"])),
        ]
    for name in "pq":
        lines += [f"[playbook.{name}]", "contain = [ { do = 'evidence.capture', paths = ['/tmp/${incident.key.k}'] } ]"]
    return "\n".join(lines)


@st.composite
def streams(draw, *, disorder, types=("t.a", "t.b"), lively=False):
    """Arrivals: ("event", now, time, subject, source, type, data), ("tick", now), ("close", n, for), …"""
    now, entries = START_S, []
    for _ in range(draw(st.integers(1, 40))):
        now += draw(st.sampled_from([0, 0, 1, 1, 2, 4, 9]))
        others = ["tick", "close", "close", "restart", "watch", "watch"] if lively else ["tick", "close", "restart"]
        kind = draw(st.sampled_from(["event"] * 12 + others))
        if kind == "event":
            off = draw(st.sampled_from([0, 0, 0, -1, -2, -4, -6, -20, 1, 3, 4])) if disorder else 0
            data = {"v": draw(st.integers(0, 4)), "ok": draw(st.booleans())}
            if draw(st.booleans()):
                data["odd"] = draw(st.sampled_from([True, 1, "x"]))
            subject, source = draw(st.sampled_from("xy")), draw(st.sampled_from("mn"))
            entries.append((kind, now, now + off, subject, source, draw(st.sampled_from(types)), data))
        elif kind == "close":
            entries.append((kind, draw(st.integers(0, 5)), draw(st.sampled_from([None, 0, 3, 20]))))
        elif kind == "watch":
            pairs = {"k": draw(st.sampled_from("xy"))}
            if draw(st.booleans()):
                pairs["s"] = draw(st.sampled_from("mn"))
            entries.append((kind, now + draw(st.integers(-2, 2)), draw(st.sampled_from([0, 5, 30, 100])), pairs))
        else:
            entries.append((kind, now))
    return [*entries, ("tick", now + draw(st.sampled_from([0, 5, 30])))]


def engine_log(step):
    """A step of the core in the reference's words."""
    signals = [("signal", each.signal, each.key, each.at_us, each.event and each.event.id) for each in step.signals]
    opened = [("incident", each.incident, each.rule, each.key, each.opened_us, each.severity) for each in step.opened]
    steps = [("steps", each.incident_type, each.key, each.rule, each.at_us) for each in step.intents]
    return signals, opened, steps


def shown_open(incidents):
    """Open incidents in a form that compares, with every piece of evidence."""
    shown = []
    for each in incidents:
        evidence = [(signal.signal, signal.at_us, signal.event and signal.event.id) for signal in each.signals]
        numbers = (each.absorbed, len(each.signals), each.reopened, each.steps_from)
        shown.append((each.incident, each.key, each.rule, each.severity, each.mode, numbers, evidence))
    return sorted(shown)


def shown_reference(incidents):
    """The same of the reference's."""
    shown = []
    for each in incidents.values():
        evidence = [(signal.name, signal.at, signal.event and signal.event.id) for signal in each.evidence]
        numbers = (each.count, len(each.evidence), each.reopened, (each.steps_from, 0, 0))
        shown.append((each.incident, each.key, each.rule, each.severity, each.mode, numbers, evidence))
    return sorted(shown)


@pytest.fixture(autouse=True)
def _packed_soon(monkeypatch):
    """Windows become bytes whenever they are written down, not only when there are thousands of them."""
    monkeypatch.setattr(windows, "WARM_MAX", 0)


def write_down(core, store):
    """What the store does at a commit."""
    for change in core.drain_changes():
        place = (change.space, change.owner, change.key)
        if change.state is None:
            store.pop(place, None)
        else:
            store[place] = change


def restarted(core, rules, store):
    """A new core with what the old one wrote down: as after a crash."""
    write_down(core, store)
    fresh = Core(rules, LIMITS, INTAKE)
    assert fresh.restore(store.values(), core.core_us) == []
    assert fresh.drain_changes() == []
    return fresh


def play(text, stream):
    """The stream through both; fails at the first difference."""
    rules, store = rules_of(text), {}
    core = Core(rules, LIMITS, INTAKE)
    ahead, late = AHEAD_S * SECOND_US, LATENESS_S * SECOND_US
    reference = Reference(rules, lateness=late, ahead=ahead, evidence_max=EVIDENCE_MAX)
    for number, entry in enumerate(stream):
        reference.log.clear()
        if number % 3 == 0:
            write_down(core, store)
        if entry[0] == "restart":
            core = restarted(core, rules, store)
            for key, since, until in reference.watched:
                core.watch(key, since_us=since, until_us=until)
            continue
        if entry[0] == "close":
            opened = core.open_incidents()
            if opened:
                chosen = opened[entry[1] % len(opened)]
                assert chosen.state is IncidentState.OPEN
                until = None if entry[2] is None else core.core_us + entry[2] * SECOND_US
                assert core.close(chosen.id, reopen_until_us=until)
                reference.close((chosen.incident, chosen.key), until)
            continue
        if entry[0] == "watch":
            key, since, until = make_key(entry[3]), entry[1] * SECOND_US, (entry[1] + entry[2]) * SECOND_US
            core.watch(key, since_us=since, until_us=until)
            reference.watched = [each for each in reference.watched if each[0] != key] + [(key, since, until)]
            continue
        if entry[0] == "tick":
            step = core.tick(entry[1] * SECOND_US)
            reference.tick(entry[1] * SECOND_US)
        else:
            _, now, time, subject, source, kind, data = entry
            event = Event(f"e{number}", source, kind, time * SECOND_US, subject, data)
            step = core.event(event, now * SECOND_US)
            reference.event(event, now * SECOND_US)
        signals, opened, steps = engine_log(step)
        assert signals == [each for each in reference.log if each[0] == "signal"], (number, entry)
        assert opened == [each for each in reference.log if each[0] == "incident"], (number, entry)
        again = [(each.incident, each.key) for each in step.reopened]
        assert again == [each[1:3] for each in reference.log if each[0] == "reopened"], (number, entry)
        assert len(steps) == sum(1 for each in reference.log if each[0] == "steps"), (number, entry)
        assert [each.at_us for each in step.intents] == [each[5] for each in reference.log if each[0] == "steps"]
        assert shown_open(core.open_incidents()) == shown_reference(reference.open), (number, entry)


SETTINGS = settings(max_examples=70, suppress_health_check=[HealthCheck.too_slow])


@SETTINGS
@given(rule_texts(sequences=False), streams(disorder=True))
def test_the_core_equals_the_reference_whatever_the_order_of_arrival(text, stream):
    """Late, early, equal and future times, ticks, closings and restarts: signals, incidents and steps are the same."""
    play(text, stream)


@SETTINGS
@given(rule_texts(sequences=True), streams(disorder=False))
def test_the_core_equals_the_reference_on_streams_in_order(text, stream):
    """Sequences too: every match that exists in the history is found, and no other."""
    play(text, stream)


@SETTINGS
@given(rule_texts(sequences=False, plain=True), streams(disorder=True, types=("t.a", "t.b", "t.c")))
def test_joins_equal_the_reference_whatever_the_order_of_arrival(text, stream):
    """Where every event is a signal, joins fire as the history says."""
    play(text, stream)


@SETTINGS
@given(rule_texts(sequences=True, plain=True), streams(disorder=False, types=("t.a", "t.b", "t.c")))
def test_joins_equal_the_reference_on_streams_in_order(text, stream):
    """Where every event is a signal, sequences fire as the history says."""
    play(text, stream)


@SETTINGS
@given(watched_rule_texts(), streams(disorder=True, lively=True))
def test_watched_keys_and_reopened_incidents_equal_the_reference(text, stream):
    """Keys come on the watch list and leave it, incidents are closed and come again, whatever the order of arrival."""
    play(text, stream)
