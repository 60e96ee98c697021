"""What was kept of incidents, on a real SQLite file."""

from engine.model import Event, IncidentId
from engine.store.pinned import Pinned, keep, pack, pinned_of
from tests.support.acting import START_US


def kept(name, place, events):
    """What an incident keeps, some of its events left out."""
    made = Pinned(
        incident=name, at_us=START_US + place, from_us=START_US, until_us=START_US + 9, events=events, left_out=3
    )
    return pack(made)


def test_pinned_events_stay_and_give_way_to_newer_incidents(connection):
    """The oldest incident's go first, and never those that were pinned just now."""
    events = tuple(Event(f"e{n}", "/s", "t", START_US + n, data={"n": n * 7919}) for n in range(50))
    names = [IncidentId(f"inc-{number}") for number in range(4)]
    gone = []
    for place, name in enumerate(names):
        gone += keep(connection, [kept(name, place, events)], kept_bytes_max=1_500)
    assert gone
    assert gone == names[: len(gone)]
    assert pinned_of(connection, names[0]) is None
    found = pinned_of(connection, names[-1])
    assert (found.events, found.left_out) == (events, 3)


def test_a_later_choice_takes_the_place_of_an_earlier_one(connection):
    """One row for an incident."""
    name = IncidentId("inc-1")
    for number in (1, 2):
        keep(connection, [kept(name, number, (Event(f"e{number}", "/s", "t", START_US),))], kept_bytes_max=10**6)
    assert [event.id for event in pinned_of(connection, name).events] == ["e2"]
    assert connection.execute("SELECT count(*) FROM pinned").fetchone() == (1,)
