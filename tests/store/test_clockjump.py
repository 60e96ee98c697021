"""What is to come is moved along, what happened is not; on a real SQLite file."""

from contextlib import closing

from engine.store import audit
from engine.store.clockjump import move_along
from engine.store.connection import connect
from tests.support.stored import make_database

HOUR_US = 3_600_000_000


def column(connection, sql):
    return [value for (value,) in connection.execute(sql)]


def test_leases_holds_and_timers_are_moved_and_records_of_what_happened_are_not(tmp_path):
    """By the same distance, whatever they are."""
    path = make_database(tmp_path / "halon.db")
    with closing(connect(path)) as connection:
        connection.execute("INSERT INTO timers VALUES ('t', 5, '{}')")
        connection.execute("INSERT INTO deadlines (incident, phase, due_us, met_us) VALUES ('i', 'contain', 5, 4)")
        connection.execute("INSERT INTO deadlines (incident, phase, due_us) VALUES ('i', 'recover', 5)")
        moved = (
            "SELECT expires_us FROM leases",
            "SELECT hold_until_us FROM intents WHERE hold_until_us IS NOT NULL",
            "SELECT due_us FROM timers",
            "SELECT due_us FROM deadlines WHERE met_us IS NULL",
        )
        kept = (
            "SELECT acquired_us FROM leases",
            "SELECT updated_us FROM intents",
            "SELECT opened_us FROM incidents",
            "SELECT due_us FROM deadlines WHERE met_us IS NOT NULL",
        )
        before = [column(connection, sql) for sql in (*moved, *kept)]
        assert all(before)
        connection.execute("BEGIN")
        move_along(connection, by_us=HOUR_US, at_us=7)
        connection.execute("COMMIT")
        after = [column(connection, sql) for sql in (*moved, *kept)]
        assert after[: len(moved)] == [[each + HOUR_US for each in values] for values in before[: len(moved)]]
        assert after[len(moved) :] == before[len(moved) :]
        assert audit.verify(connection) is None
