"""Old incidents and all that hangs on them, on a real SQLite file."""

from contextlib import closing

import pytest

from engine.store import audit, prune
from engine.store.connection import connect, open_readonly
from engine.store.soundness import examine
from tests.support.stored import INCIDENT, make_database

YEAR_US = 365 * 86_400_000_000


@pytest.fixture
def connection(tmp_path):
    """The stored incident, with rows in every table that names it."""
    path = make_database(tmp_path / "halon.db")
    with closing(connect(path)) as made:
        made.execute("INSERT INTO happenings (incident, at_us, kind, who) VALUES (?, 1, 'acked', 'x')", (INCIDENT.id,))
        made.execute(
            "INSERT INTO notices (id, incident, channel, title, body, level, state, made_us, next_us) "
            "VALUES ('n', ?, '', '', '', 'info', 'sent', 1, 1)",
            (INCIDENT.id,),
        )
        made.execute("INSERT INTO pinned VALUES (?, 1, 1, 1, 0, 0, 0, x'789c030000000001')", (INCIDENT.id,))
        made.execute("DELETE FROM deadlines")
        made.execute("INSERT INTO deadlines (incident, phase, due_us) VALUES (?, 'contain', 1)", (INCIDENT.id,))
        yield made


def closed(connection, at_us=1_000, *, holds=False):
    connection.execute("UPDATE incidents SET state = 'closed', closed_us = ?", (at_us,))
    if not holds:
        connection.execute("DELETE FROM lease_holders")


def left(connection):
    """Rows that name the incident, by table."""
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    counts = {}
    for table in tables:
        columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        if table in {"incidents", "transitions", "intents"}:
            counts[table] = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        elif "incident" in columns:
            counts[table] = connection.execute(
                f"SELECT count(*) FROM {table} WHERE incident = ?", (INCIDENT.id,)
            ).fetchone()[0]
    return counts


def test_an_incident_closed_long_ago_goes_with_all_that_names_it(tmp_path, connection):
    """No table is forgotten, references hold, and the audit log says which went."""
    assert all(count for table, count in left(connection).items() if table != "watches"), left(connection)
    closed(connection)
    assert prune.prune(connection, before_us=1_001, at_us=5) == 1
    assert not any(left(connection).values()), left(connection)
    assert audit.records(connection)[-1].body == {"incidents": [INCIDENT.id]}
    with closing(open_readonly(tmp_path / "halon.db")) as reader:
        assert examine(reader) == []
    assert prune.prune(connection, before_us=YEAR_US * 99, at_us=5) == 0


@pytest.mark.parametrize(
    ("state", "at_us", "holds"), [("open", 1_000, False), ("closed", 1_001, False), ("closed", 1_000, True)]
)
def test_what_is_not_closed_or_not_old_or_still_holds_something_stays(connection, state, at_us, holds):
    """Whatever else is."""
    closed(connection, at_us, holds=holds)
    connection.execute("UPDATE incidents SET state = ?", (state,))
    before = left(connection)
    assert prune.prune(connection, before_us=1_001, at_us=5) == 0
    assert left(connection) == before
