"""A database on a real file, spoilt in each way that there is: each is named."""

import sqlite3
from contextlib import closing

import pytest

from engine.store.connection import connect, open_readonly
from engine.store.soundness import DECODED, examine
from tests.support.stored import make_database


@pytest.fixture
def path(tmp_path):
    made = tmp_path / "halon.db"
    make_database(made)
    return made


def found(path, *statements):
    """What is said after these statements; references are not enforced, triggers are gone."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
    with closing(open_readonly(path)) as connection:
        return [(each.what, each.detail) for each in examine(connection)]


def test_a_sound_database_has_nothing_wrong(path):
    """With incidents, intents, leases and an audit log in it."""
    assert found(path) == []


@pytest.mark.parametrize(
    ("statement", "what", "words"),
    [
        ("PRAGMA user_version = 99", "schema", "it is of schema 99"),
        ("PRAGMA user_version = 0", "schema", "it is of schema 0"),
        ("DELETE FROM incidents", "reference", "rows of intents refer to incidents"),
        ("DELETE FROM audit WHERE seq = 3", "audit", "missing at record 3"),
        ("UPDATE audit SET hash = 'x' WHERE seq = 2", "audit", "altered at record 2"),
        ("UPDATE incidents SET body = '{}'", "rows", "1 of incidents can't be read in `body`"),
        ("UPDATE evidence SET signals = 'x'", "rows", "1 of evidence can't be read in `signals`"),
        ("UPDATE leases SET receipt = '[]'", "rows", "of leases can't be read in `receipt`"),
        ("INSERT INTO timers VALUES ('t', 1, 'no')", "rows", "1 of timers can't be read in `body`, the first is t"),
        ("INSERT INTO windows VALUES ('s', 'no', '', 1, x'')", "rows", "1 of windows can't be read in `key`"),
        ("INSERT INTO pinned VALUES ('i', 1, 1, 1, 1, 0, 1, x'00')", "rows", "1 of pinned can't be read in `body`"),
        ("INSERT OR REPLACE INTO facts VALUES ('paused', x'00')", "rows", "1 of facts can't be read in `paused`"),
    ],
)
def test_each_thing_that_is_wrong_is_named(path, statement, what, words):
    """By what it is about, how often, and the first place."""
    said = found(path, statement)
    assert any(kind == what and words in detail for kind, detail in said), said


def test_a_broken_page_is_all_that_is_told(path):
    """What stands on broken pages is not asked further."""
    with path.open("r+b") as file:
        for page in range(4, 12):
            file.seek(page * 4_096)
            file.write(b"\xff" * 4_096)
    with closing(open_readonly(path)) as connection:
        said = examine(connection)
    assert said
    assert {each.what for each in said} == {"structure"}


def test_an_older_schema_is_not_read_as_if_it_were_the_newest(path):
    """The next start brings it up to date; its references are looked at."""
    with closing(connect(path)) as connection:
        connection.execute("PRAGMA user_version = 1")
        assert examine(connection) == []


def test_every_column_of_json_is_decoded(path):
    """A table that comes later is not forgotten: what holds a body, key or the like stands in DECODED."""
    names = {"body", "signals", "plan", "receipt", "outcome", "labels", "params", "key"}
    known = {(table, column) for table, (_, columns) in DECODED.items() for column in columns}
    elsewhere = {("facts", "body"), ("recorded", "body"), ("notices", "body")}
    with closing(open_readonly(path)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        columns = {(table, row[1]) for table in tables for row in connection.execute(f"PRAGMA table_info({table})")}
    assert {each for each in columns if each[1] in names} - elsewhere - known == set()
