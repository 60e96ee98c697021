"""Open incidents to rows and back: what is written when evidence grows, and that nothing of it is lost."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import LimitsConfig
from engine.correlate.opened import EVIDENCE_OWNER, PART_LEN, part_key, read_row
from tests.support.rules import RULES_OF_ONE
from tests.support.timeline import START_US, Timeline

LIMITS = LimitsConfig(signals_per_incident_max=25)


class Rows:
    """What a store keeps of the core's state, with how many bytes it was last given."""

    def __init__(self):
        self.kept = {}
        self.bytes = 0

    def take(self, core):
        changes = core.drain_changes()
        assert len({(each.owner, each.key) for each in changes}) == len(changes), "each once"
        self.bytes = sum(len(each.state or b"") for each in changes)
        for each in changes:
            if each.state is None:
                assert self.kept.pop((each.owner, each.key), None) is not None, "only what is there is taken away"
            else:
                self.kept[each.owner, each.key] = each
        rows = [read_row(each.state) for each in self.kept.values() if each.owner.startswith("incident:")]
        belong = {part_key(row.incident.id, part) for row in rows for part in range(row.parts)}
        assert {key for owner, key in self.kept if owner == EVIDENCE_OWNER} == belong


STEPS = st.one_of(
    st.tuples(st.just("events"), st.integers(1, 15)),
    st.tuples(st.just("drain"), st.just(0)),
    st.tuples(st.just("restart"), st.just(0)),
    st.tuples(st.just("close"), st.sampled_from([0, 50])),
    st.tuples(st.just("wait"), st.just(100)),
)


@given(steps=st.lists(STEPS, max_size=25))
def test_evidence_survives_restarts_closing_and_reopening(steps):
    """A core that is made anew from its rows has the incidents of one that never was, and no row is left over."""
    whole, often, rows = Timeline(RULES_OF_ONE, limits=LIMITS), Timeline(RULES_OF_ONE, limits=LIMITS), Rows()
    now = 0
    for kind, number in steps:
        match kind:
            case "events":
                for _ in range(number):
                    now += 1
                    for line in (whole, often):
                        line(now).event()
            case "drain":
                rows.take(often.core)
            case "restart":
                rows.take(often.core)
                made = Timeline(often.core.rules, limits=LIMITS)
                assert made.core.restore(list(rows.kept.values()), often.core.core_us) == []
                made.count, often = often.count, made
            case "close":
                for line in (whole, often):
                    for each in line.core.open_incidents():
                        until_us = START_US + (now + number) * 1_000_000 if number else None
                        line.core.close(each.id, reopen_until_us=until_us)
            case "wait":
                now += number
        assert often.core.open_incidents() == whole.core.open_incidents()
    rows.take(often.core)


def test_a_part_is_written_once():
    """So that what a signal costs does not grow with the evidence that there is already."""
    at, rows = Timeline(RULES_OF_ONE), Rows()
    written = []
    for second in range(10 * PART_LEN):
        at(second).event()
        rows.take(at.core)
        written.append(rows.bytes)
    assert max(written[-PART_LEN:]) <= 1.1 * max(written[PART_LEN : 2 * PART_LEN])
    at(1_000).event(times=3)
    rows.take(at.core)
    assert rows.bytes < 1_000, "full: only how many there were"


def test_a_row_with_all_of_its_evidence_is_taken_too():
    """As it was written before there were parts; it is written in parts from then on."""
    at, rows = Timeline(RULES_OF_ONE), Rows()
    at(0).event(times=3)
    rows.take(at.core)
    [(place, row)] = rows.kept.items()
    body = msgspec.json.decode(row.state)
    body["incident"]["signals"] *= 7
    rows.kept[place] = msgspec.structs.replace(row, state=msgspec.json.encode(body))
    fresh = Timeline(RULES_OF_ONE)
    assert fresh.core.restore(list(rows.kept.values())) == []
    fresh(1).event()
    rows.take(fresh.core)
    assert len(rows.kept) == 3
    again = Timeline(RULES_OF_ONE)
    assert again.core.restore(list(rows.kept.values())) == []
    assert len(again.core.open_incidents()[0].signals) == 22


def full():
    """The rows of an incident with two parts of evidence and three signals more."""
    at, rows = Timeline(RULES_OF_ONE), Rows()
    for second in range(2 * PART_LEN + 3):
        at(second).event()
    rows.take(at.core)
    return rows, at.core.open_incidents()[0]


def test_a_part_that_is_missing_is_said():
    """The incident goes on with what there is."""
    rows, incident = full()
    del rows.kept[EVIDENCE_OWNER, part_key(incident.id, 0)]
    fresh = Timeline(RULES_OF_ONE)
    assert fresh.core.restore(list(rows.kept.values())) == [
        f"{PART_LEN} signals of the evidence of {incident.id} are missing"
    ]
    [kept] = fresh.core.open_incidents()
    assert kept.signals == incident.signals[PART_LEN:]
    rows.take(fresh.core)
    assert Timeline(RULES_OF_ONE).core.restore(list(rows.kept.values())) == []


@pytest.mark.parametrize("damage", [{"state": b"?"}, {"key": (("part", "x"),)}])
def test_a_part_that_can_not_be_read_is_thrown_away(damage):
    """With a sentence for it and one for what the incident lacks."""
    rows, incident = full()
    place = (EVIDENCE_OWNER, part_key(incident.id, 1))
    changed = msgspec.structs.replace(rows.kept.pop(place), **damage)
    rows.kept[changed.owner, changed.key] = changed
    fresh = Timeline(RULES_OF_ONE)
    faults = fresh.core.restore(list(rows.kept.values()))
    assert ["unreadable" in each for each in faults] == [True, False]
    rows.take(fresh.core)
    again = Timeline(RULES_OF_ONE)
    assert again.core.restore(list(rows.kept.values())) == []
    assert again.core.open_incidents() == fresh.core.open_incidents()


def test_parts_of_no_incident_are_taken_away():
    """As where a version between wrote the row of an incident without them."""
    rows, incident = full()
    del rows.kept["incident:fairness", incident.key]
    fresh = Timeline(RULES_OF_ONE)
    assert fresh.core.restore(list(rows.kept.values())) == []
    rows.take(fresh.core)
    assert rows.kept == {}
