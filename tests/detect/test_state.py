"""Windows that wait as bytes: what is touched, timed, evicted, reloaded or unreadable among them."""

import msgspec
import pytest

from engine.clock import SECOND_US
from engine.config import LimitsConfig
from engine.detect import state as windows
from engine.detectors.absence import Absence
from engine.detectors.count import Count
from tests.support.timeline import START_US, Timeline

COUNT = (
    "[signal.s]\non = 't'\nby = { k = 'event.subject' }\ndetect = { method = 'count', at_least = 2, within = '1h' }\n"
)
SILENCE = "[signal.s]\non = 't'\nby = { k = 'event.subject' }\ndetect = { method = 'absence', for = '1h' }\n"


def packed(at):
    """The keys that wait as bytes."""
    return {
        dict(key)["k"]
        for table in at.core._windows._tables.values()
        for key, kept in table.items()
        if isinstance(kept, bytes)
    }


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(windows, "WARM_MAX", 10)


def filled(rules, keys=30, **core):
    """A core in which as many keys have one event each, written down every five."""
    at = Timeline(rules, **core)
    for number in range(keys):
        at(number).event(subject=f"k{number}")
        if number % 5 == 4:
            at.core.drain_changes()
    return at


def test_keys_that_were_quiet_for_long_become_bytes_and_the_others_stay_objects():
    """The objects are those touched lately, about twice WARM_MAX at most."""
    at = filled(COUNT)
    assert {f"k{number}" for number in range(10)} <= packed(at)
    assert not packed(at) & {f"k{number}" for number in range(20, 30)}


def test_a_key_goes_on_where_it_was_when_it_became_bytes():
    """Its second event completes the count."""
    at = filled(COUNT)
    at(40).event(subject="k3")
    at(40).signal("s", k="k3")
    assert "k3" not in packed(at)


def test_a_timer_finds_keys_that_are_bytes_in_their_order():
    """No timer is lost or late by it."""
    at = filled(SILENCE)
    assert at.core.next_due_us() == START_US + 3_600 * SECOND_US
    at(3_700).tick()
    assert [each.at_us for each in at.signals] == [START_US + (3_600 + number) * SECOND_US for number in range(30)]


def test_a_timer_that_moved_before_the_key_became_bytes_is_not_lost():
    """The queue holds the earlier time then; the key is looked at there, and again when it is really due."""
    at = Timeline(SILENCE)
    at(0).event(subject="early").event(subject="other")
    at(1_800).event(subject="early")
    for number in range(25):
        at(1_801).event(subject=f"k{number}")
        at.core.drain_changes()
    assert {"early", "other"} <= packed(at)
    at(3_600).tick()
    at(3_600).signal("s", k="other")
    at(5_399).quiet()
    at(5_400).tick()
    at(5_400).signal("s", k="early")


def test_the_key_touched_longest_ago_goes_first_after_a_restart_too():
    """The order of touching is written down."""
    everything = Timeline(COUNT, limits=LimitsConfig(keys_max=30))
    source = filled(COUNT)
    source(50).event(subject="k0")
    rows = written(source)
    assert everything.core.restore(rows) == []
    everything(60).event(subject="new")
    gone = [dict(each.key)["k"] for each in everything.core.drain_changes() if each.state is None]
    assert gone == ["k1"], "k0 was touched again"


def written(at):
    """All rows as the store has them, in no order of use."""
    core = at.core._windows
    for table in core._tables.values():
        for key in table:
            core._mark(core.peek("s", key))
    return at.core.drain_changes()


def test_a_restart_opens_nothing_before_it_is_touched():
    """All keys come as bytes; one event makes one object."""
    again = Timeline(COUNT)
    assert again.core.restore(written(filled(COUNT))) == []
    assert len(packed(again)) == 30
    again(40).event(subject="k7").signal("s", k="k7")
    assert len(packed(again)) == 29


def test_bytes_that_can_not_be_read_are_a_fault_of_their_signal_and_the_key_begins_anew():
    """The event counts; the next restart finds a good row."""
    rows = [msgspec.structs.replace(each, state=spoilt(each.state)) for each in written(filled(COUNT, keys=2))]
    again = Timeline(COUNT)
    assert again.core.restore(rows) == []
    again(40).event(subject="k1").event(subject="k1")
    [fault] = again.faults
    assert (fault.owner, fault.field) == ("s", "detect")
    assert "k=k1" in fault.reason
    again(40).signal("s", k="k1")
    assert [dict(each.key)["k"] for each in again.core.drain_changes()] == ["k1"]


def spoilt(blob):
    """A dump whose beginning can be read and whose detector cannot."""
    fields = msgspec.msgpack.decode(blob)
    return msgspec.msgpack.encode([*fields[:-2], b"\xc1", fields[-1]])


def test_rows_of_an_unknown_version_are_begun_anew_with_one_notice_for_the_signal():
    """However many keys it has; the rows are deleted."""
    rows = [msgspec.structs.replace(each, version=each.version + 1) for each in written(filled(COUNT))]
    again = Timeline(COUNT)
    [notice] = again.core.restore(rows)
    assert "signal s" in notice
    assert "30 keys" in notice
    assert "unknown version" in notice
    assert len([each for each in again.core.drain_changes() if each.state is None]) == 30


def test_a_detector_that_throws_is_a_fault_alone_and_its_key_begins_anew(monkeypatch):
    """The event is named, other keys and signals go on, and the key counts again from nothing."""
    observe = Count.observe

    def thrown(self, event, *rest):
        if event.id == "e2":
            raise ZeroDivisionError("by zero")
        return observe(self, event, *rest)

    monkeypatch.setattr(Count, "observe", thrown)
    at = Timeline(COUNT + COUNT.replace("signal.s", "signal.other").replace("at_least = 2", "at_least = 3"))
    at(0).event(subject="a").event(subject="b").event(subject="b")
    assert [(each.owner, each.event_id) for each in at.faults] == [("s", "e2"), ("other", "e2")]
    assert "`count` failed (ZeroDivisionError: by zero); what it remembered for k=b begins anew" in at.faults[0].reason
    at(1).event(subject="b").event(subject="a")
    assert [(each.signal, dict(each.key)["k"]) for each in at.signals] == [("s", "b"), ("s", "a")]


def test_a_detector_that_throws_at_its_timer_is_a_fault_and_stops_no_other_timer(monkeypatch):
    """It is told with the next event; the key is silent until it is seen again."""
    tick = Absence.tick

    def thrown(self, now_us):
        if self._state.event_id == "e1":
            raise ValueError("no")
        return tick(self, now_us)

    monkeypatch.setattr(Absence, "tick", thrown)
    at = Timeline(SILENCE)
    at(0).event(subject="bad").event(subject="good")
    at(4_000).tick()
    at(3_600).signal("s", k="good")
    assert at.core.next_due_us() is None
    at(4_001).event(subject="x")
    [fault] = at.faults
    assert (fault.owner, fault.field) == ("s", "detect")
    assert "k=bad" in fault.reason
