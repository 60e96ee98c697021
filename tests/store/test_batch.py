"""What a batch changed, written in one transaction on a real SQLite file: deduplication, incidents, intents, bounds."""

import pytest

from engine.model import Fault, IncidentState, IntentState, Severity
from engine.store import audit, deadletters, faults, incidents, intents, seen, timers
from engine.store.batch import BatchChanges, BatchLimits, commit_batch
from engine.store.deadletters import DeadLetter
from engine.store.seen import SeenIds
from engine.store.timers import Timer
from tests.support.acting import START_US, incident, intent

HOUR_US = 3_600_000_000


def commit(connection, **changes):
    """Commit one batch."""
    batch = BatchChanges(**{"at_us": START_US, "matched_us": START_US, **changes})
    connection.execute("BEGIN")
    commit_batch(connection, batch, BatchLimits(deadletters_max=3))
    connection.execute("COMMIT")


def test_committing_a_batch_twice_records_each_decision_once(connection):
    """A commit whose answer was lost is tried again: incidents, intents and audit records stay single."""
    one = intent(incident())
    for _ in range(2):
        commit(connection, incidents=(incident(),), intents=(one,))
    assert [record.kind for record in audit.records(connection)] == ["incident.opened", "intent.intended"]
    assert [record.intent for record in intents.unsettled(connection)] == [one]


def test_the_core_does_not_take_back_how_far_an_incident_has_come(connection):
    """A later batch absorbs signals into an incident that was contained meanwhile: it stays contained."""
    commit(connection, incidents=(incident(),))
    incidents.move(connection, incident().id, IncidentState.CONTAINED, at_us=START_US + 5, who="halon")
    later = incident(severity=Severity.CRITICAL)
    commit(connection, incidents=(later,))
    found = incidents.get(connection, later.id)
    assert (found.state, found.contained_us, found.severity) == (
        IncidentState.CONTAINED,
        START_US + 5,
        Severity.CRITICAL,
    )


def test_an_incident_sets_its_deadlines_once(connection):
    """The seed's clock: three timers from its opening, which absorbing does not put off."""
    commit(connection, incidents=(incident(),))
    timers.drop(connection, "deadline:contain:inc-1")
    commit(connection, incidents=(incident(),))
    due = timers.due(connection, START_US + 25 * HOUR_US)
    assert [(timer.name, timer.due_us - START_US) for timer in due if timer.name.startswith(timers.DEADLINE)] == [
        ("deadline:investigate:inc-1", 2 * HOUR_US),
        ("deadline:recover:inc-1", 24 * HOUR_US),
    ]


def test_ids_committed_are_seen_after_a_restart_within_the_horizon(connection):
    """What a batch added is loaded back; what is older than the horizon is not."""
    old, new = seen.digest("s", "old"), seen.digest("s", "new")
    commit(connection, seen=(old,), at_us=START_US - 2 * HOUR_US)
    commit(connection, seen=(new,))
    ids = SeenIds(horizon_us=HOUR_US)
    ids.load(connection, START_US + 1)
    assert (new in ids, old in ids) == (True, False)
    assert not ids.add(new, START_US + 2)
    commit(connection, seen=(seen.digest("s", "more"),))
    assert connection.execute("SELECT count(*) FROM seen").fetchone() == (2,)


@pytest.mark.parametrize(
    ("first", "second"), [(("a", "bc"), ("ab", "c")), (("a", "b"), ("b", "a")), (("", "x"), ("x", ""))]
)
def test_source_and_id_are_not_mixed_up(first, second):
    """An event's identity is the pair."""
    assert seen.digest(*first) != seen.digest(*second)


def test_seen_ids_are_forgotten_after_the_horizon_and_not_before():
    """Remembered for the whole horizon, and at most a quarter longer."""
    ids = SeenIds(horizon_us=800)
    for now_us in range(0, 5_000, 10):
        assert ids.add(now_us.to_bytes(16, "big"), now_us)
        for age_us in (10, 400, 800):
            if now_us >= age_us:
                assert (now_us - age_us).to_bytes(16, "big") in ids
        if now_us >= 1_010:
            assert (now_us - 1_010).to_bytes(16, "big") not in ids
    assert ids.forgotten_early == 0


def test_seen_ids_are_bounded_and_count_what_went_early():
    """Past the bound the oldest go before their time, which is counted."""
    ids = SeenIds(horizon_us=HOUR_US, ids_max=80)
    for number in range(1_000):
        ids.add(number.to_bytes(16, "big"), number)
    assert len(ids) <= 80
    assert ids.forgotten_early + len(ids) == 1_000
    assert 900 < ids.floor_us < 999, "what arrived since then is known"
    assert (999).to_bytes(16, "big") in ids


def test_dead_letters_are_bounded_and_can_be_dropped(connection):
    """The oldest goes first; long payloads are cut, their length is kept."""
    letters = tuple(
        DeadLetter(at_us=number, source="local", topic=f"t{number}", reason="not JSON", payload=b"x" * 70_000)
        for number in range(5)
    )
    commit(connection, deadletters=letters)
    found = deadletters.find(connection)
    assert [letter.topic for letter in found] == ["t4", "t3", "t2"]
    assert (len(found[0].payload), found[0].payload_bytes) == (65_536, 70_000)
    assert deadletters.get(connection, found[0].id) == found[0]
    assert (deadletters.drop(connection, found[0].id), deadletters.drop(connection)) == (1, 2)
    assert deadletters.count(connection) == 0


def test_faults_are_counted_by_owner_field_and_class(connection):
    """The same fault on many events is one row with a count and the last event."""
    found = tuple(
        Fault(owner="signal.x", field="where", reason=f"no such key: k{number}", at_us=number, event_id=f"e{number}")
        for number in range(5)
    )
    commit(connection, faults=found)
    commit(connection, faults=found[:2])
    (row,) = faults.find(connection)
    assert (row.kind, row.count, row.first_us, row.last_event) == ("no such key", 7, 0, "e1")
    assert faults.total(connection) == 7


def test_kinds_of_faults_are_bounded(connection):
    """A fault whose text differs on each event does not fill the store."""
    commit(
        connection,
        faults=tuple(Fault(owner="o", field="f", reason=f"reason {number}", at_us=number) for number in range(100)),
    )
    assert len(faults.find(connection)) <= faults.CLASSES_MAX + 1
    assert faults.total(connection) == 100


def test_a_timer_takes_the_place_of_one_with_its_name(connection):
    """Timers come up in the order of their times."""
    commit(connection, timers=(Timer(name="b", due_us=20), Timer(name="a", due_us=30), Timer(name="b", due_us=40)))
    assert timers.next_due_us(connection) == 30
    assert [timer.name for timer in timers.due(connection, 35)] == ["a"]
    assert [timer.name for timer in timers.due(connection, 45)] == ["a", "b"]


def test_a_move_from_a_state_that_it_is_not_in_is_a_programmers_error(connection):
    """The state machine cannot be left by mistake."""
    one = intent(incident())
    commit(connection, incidents=(incident(),), intents=(one,))
    with pytest.raises(AssertionError, match="is intended, not"):
        intents.move(
            connection,
            one.id,
            expected=(IntentState.APPLIED,),
            change=intents.Move(to=IntentState.VERIFIED, at_us=START_US),
        )


def test_another_horizon_forgets_nothing_that_it_still_reaches():
    """Ids of a slice that was begun under a longer horizon stay as long as the new one asks."""
    ids = SeenIds(horizon_us=8_000)
    assert ids.add(b"a", 0)
    assert ids.add(b"b", 900)
    ids.reconfigure(horizon_us=800)
    assert not ids.add(b"b", 1_600), "seen 700 us ago"
    assert ids.add(b"c", 2_000)
    assert ids.add(b"b", 2_000), "seen longer ago than the horizon"
    ids.reconfigure(horizon_us=8_000)
    assert not ids.add(b"c", 9_000)
