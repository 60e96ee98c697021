"""Evidence in parts, on a real SQLite file."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from engine.model import Event, Finding, Signal, SignalId
from engine.store import evidence, incidents
from engine.store.migrate import shipped
from engine.store.rows import encode
from tests.support.acting import START_US, incident
from tests.support.databases import opened

ONE = incident()


def grown(count, *, life=0, of="e"):
    """The incident with so many signals."""
    signals = tuple(
        Signal(SignalId("s"), (), START_US + n, Finding("seen"), Event(f"{of}{n}", "/s", "t", START_US + n))
        for n in range(count)
    )
    return msgspec.structs.replace(ONE, signals=signals, absorbed=count, reopened=life)


@given(st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=8))
def test_what_was_put_is_read_back(tmp_path_factory, steps):
    """However much is added at a time, also when the incident was opened again in between."""
    connection = opened(tmp_path_factory.mktemp("store") / "halon.db")
    count = life = 0
    for more, again in steps:
        if again:
            life, count = life + 1, count // 2
        count += more
        now = grown(count, life=life, of=f"{life}-")
        for _ in "twice":
            incidents.put(connection, now, at_us=START_US)
            assert incidents.get(connection, ONE.id).signals == now.signals
    connection.close()


def test_only_the_last_part_is_written_anew(connection):
    """What a signal costs does not grow with the evidence, and none is written where none came."""
    incidents.put(connection, grown(95), at_us=START_US)
    for count, rows in ((95, 1), (97, 2), (100, 2), (103, 2), (103, 1)):
        before = connection.total_changes
        incidents.put(connection, grown(count), at_us=START_US)
        assert connection.total_changes - before == rows, "one of them is the incident's own"


def test_evidence_that_is_there_is_not_shortened(connection):
    """A core that lost some of its state knows less of an incident than the store does."""
    incidents.put(connection, grown(30), at_us=START_US)
    incidents.put(connection, grown(5), at_us=START_US)
    assert len(incidents.get(connection, ONE.id).signals) == 30


def test_it_goes_with_its_incident(connection):
    """By the database itself."""
    incidents.put(connection, grown(30), at_us=START_US)
    connection.execute("DELETE FROM happenings")
    connection.execute("DELETE FROM incidents")
    assert evidence.of_incident(connection, ONE.id) == ()


def test_evidence_of_an_earlier_schema_is_brought_over(tmp_path):
    """Whole, and what comes then is put behind it."""
    path = tmp_path / "halon.db"
    old = opened(path, shipped()[:7])
    body = encode(msgspec.structs.replace(ONE, signals=()))
    row = (ONE.id, ONE.incident, encode(ONE.key), "open", "low", START_US, START_US, body)
    old.execute(
        "INSERT INTO incidents (id, incident, key, state, severity, opened_us, updated_us, body) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        row,
    )
    old.execute("INSERT INTO evidence (incident, signals) VALUES (?, ?)", (ONE.id, encode(grown(37).signals)))
    old.close()
    connection = opened(path)
    assert incidents.get(connection, ONE.id).signals == grown(37).signals
    incidents.put(connection, grown(45), at_us=START_US)
    assert incidents.get(connection, ONE.id).signals == grown(45).signals
    connection.close()
