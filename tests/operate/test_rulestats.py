"""What each rule has come to, from a real database."""

from engine.operate.rulestats import rule_stats
from engine.store.connection import open_readonly
from tests.support.reviewed import close, reviewed
from tests.support.stored import INCIDENT, START_US, make_database


def stats(path):
    connection = open_readonly(path)
    try:
        return rule_stats(connection)
    finally:
        connection.close()


def test_a_rule_that_contained_says_how_soon(tmp_path):
    """One incident, open, contained 16.5 ms after its event."""
    (found,) = stats(make_database(tmp_path / "halon.db"))
    assert (found.rule, found.fired, found.open, found.contained, found.false_positives) == (INCIDENT.rule, 1, 1, 1, 0)
    assert found.contained_s == 0.0165
    assert found.last_fired.timestamp() * 1_000_000 == START_US


def test_a_false_positive_counts_as_one(tmp_path):
    """Closed, nothing contained, wrong."""
    reviewed(tmp_path, move=close("false-positive"))
    (found,) = stats(tmp_path / "halon.db")
    assert (found.fired, found.open, found.contained, found.false_positives) == (1, 0, 0, 1)
    assert found.contained_s is None
