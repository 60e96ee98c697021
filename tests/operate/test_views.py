"""Views over a real database that was filled by the store's own functions."""

import pytest

from engine.config import BudgetConfig
from engine.model import IncidentState, IntentId, LeaseState, Severity
from engine.operate import views
from engine.operate.contract import NotFound
from engine.store import deadletters, leases
from engine.store.connection import connect, open_readonly
from engine.store.deadletters import DeadLetter
from tests.support.stored import FREEZE, INCIDENT, LEASE, RESTORE, ROTATE, START_US, make_database


@pytest.fixture
def db(tmp_path):
    """A read-only connection to the filled database."""
    connection = open_readonly(make_database(tmp_path / "halon.db"))
    yield connection
    connection.close()


def test_status_counts_what_is_there(db):
    """Incidents and leases by state, steps held, faults with their reason, and how much of a budget is used."""
    budgets = {"training": BudgetConfig(held_max=2, per_hour_max=5), "endpoint": BudgetConfig()}
    found = views.stored(db, now_us=START_US + 60_000_000, budgets=budgets)
    assert found.incidents == {IncidentState.CONTAINED: 1}
    assert found.leases == {LeaseState.IN_FORCE: 1}
    assert (found.steps_held, found.steps_under_way, found.deadletters, found.paused) == (1, 0, 1, None)
    assert [(each.owner, each.count, each.reason) for each in found.faults] == [
        ("signal.loss-spike", 4, "no such key: loss")
    ]
    assert [(each.kind, each.held, each.held_max, each.last_hour) for each in found.budgets] == [
        ("endpoint", 0, 0, 0),
        ("training", 1, 2, 1),
    ]
    later = views.stored(db, now_us=START_US + 3_700_000_000, budgets=budgets)
    assert [each.last_hour for each in later.budgets] == [0, 0]


def test_what_was_put_back_counts_within_the_hour_as_the_guard_counts_it(tmp_path):
    """A step and a containment that was put in place again: two."""
    connection = connect(make_database(tmp_path / "halon.db"))
    connection.execute("INSERT INTO reapplied VALUES (?, ?, 'training')", (START_US + 30_000_000, LEASE.id))
    (row,) = views.stored(connection, now_us=START_US + 60_000_000, budgets={"training": BudgetConfig()}).budgets
    assert row.last_hour == 2
    connection.close()


def test_an_incident_says_why_it_fired(db):
    """Evidence carries values, thresholds and events; every signal that was absorbed is counted."""
    detail = views.incident(db, INCIDENT.id)
    assert detail.incident.signals == 3
    assert detail.incident.severity is Severity.CRITICAL
    assert detail.incident.contained is not None
    spike, flips = detail.evidence
    assert (spike.value, spike.threshold, spike.event_ids) == (90.0, 8.0, ("evt-301",))
    assert flips.event.data == {"flipped": 3, "job_id": "17"}
    assert [each.id for each in detail.leases] == [LEASE.id]
    assert views.incident(db, "inc-none") is None


def test_each_step_says_what_became_of_it_and_why(db):
    """Verified, refused and held steps each show state, reason and the stations they passed."""
    freeze, rotate, restore = views.incident(db, INCIDENT.id).steps
    assert (freeze.place, freeze.state.value, freeze.lease) == ("contain.0", "verified", LEASE.id)
    assert freeze.target == "training:pid 4242 started 918273"
    assert [(each.name, each.after_ms) for each in freeze.stations] == [
        ("event", 0.0),
        ("received", 0.5),
        ("matched", 1.0),
        ("durable", 4.0),
        ("applying", 8.0),
        ("applied", 12.0),
        ("verified", 16.5),
    ]
    assert [each.state.value for each in freeze.transitions] == ["intended", "applying", "applied", "verified"]
    assert (rotate.state.value, rotate.reason, rotate.lease) == ("refused", "protected: owner is `core`", None)
    assert "verified" not in [each.name for each in rotate.stations]
    assert (restore.state.value, restore.waits_for) == ("held", "approval")
    assert restore.waits_until is not None


@pytest.mark.parametrize(
    ("step", "found"),
    [
        ("contain.0", FREEZE.id),
        ("contain[1]", ROTATE.id),
        ("file.rotate-token", ROTATE.id),
        (RESTORE.id, RESTORE.id),
        ("contain.9", "it has `contain.0` (process.freeze), `contain.1` (file.rotate-token)"),
    ],
)
def test_a_step_is_found_by_place_action_or_id(db, step, found):
    """People name a step as they see it; a name that fits none is answered with those there are."""
    answer = views.find_step(db, INCIDENT.id, step)
    assert found in (answer.reason if isinstance(answer, NotFound) else IntentId(answer))


@pytest.mark.parametrize(
    ("state", "count"), [("open", 1), ("all", 1), ("contained", 1), ("investigating", 0), ("closed", 0)]
)
def test_incidents_are_listed_by_state(db, state, count):
    """`open` means everything that is not closed."""
    assert len(views.incidents(db, state=state, limit=10)) == count


def test_ended_leases_are_listed_only_when_asked_for(tmp_path):
    """What was let go is history, not containment."""
    writer = connect(make_database(tmp_path / "halon.db"))
    leases.change(writer, LEASE.id, at_us=START_US, kind="released", who="root", state=LeaseState.RELEASED)
    assert views.leases(writer, ended=False, limit=10) == ()
    assert [each.state for each in views.leases(writer, ended=True, limit=10)] == [LeaseState.RELEASED]
    writer.close()


@pytest.mark.parametrize(
    ("payload", "shown", "encoding", "cut"),
    [
        (b'{"a": 1', '{"a": 1', "utf-8", False),
        (b"\xff\xfe", "fffe", "hex", False),
        (b"a" * 9_000, "a" * 8_192, "utf-8", True),
        (b"a" * 8_191 + "é".encode() + b"b", "a" * 8_191, "utf-8", True),
        (b"", "", "utf-8", False),
    ],
)
def test_the_head_of_a_dead_letter_is_text_where_it_can_be(tmp_path, payload, shown, encoding, cut):
    """UTF-8 is shown as text, anything else as hexadecimal digits; a character cut in two is left out."""
    writer = connect(make_database(tmp_path / "halon.db"))
    deadletters.put(writer, DeadLetter(at_us=1, source="s", topic="t", reason="r", payload=payload), kept_max=10)
    detail = views.deadletter(writer, 2)
    assert (detail.payload, detail.encoding, detail.cut) == (shown, encoding, cut)
    assert detail.row.payload_bytes == len(payload)
    assert views.deadletter(writer, 99) is None
    writer.close()


def test_the_audit_report_finds_what_was_altered(tmp_path):
    """A sound chain is reported with its head; one changed record breaks it."""
    path = make_database(tmp_path / "halon.db")
    writer = connect(path)
    report = views.audit_report(writer)
    assert report.ok
    assert report.records > 5
    assert report.head
    writer.execute("DROP TRIGGER audit_is_not_changed")
    writer.execute("UPDATE audit SET record = replace(record, 'critical', 'low') WHERE seq = 1")
    broken = views.audit_report(writer)
    assert not broken.ok
    assert "altered at record 1" in broken.problem
    writer.close()
