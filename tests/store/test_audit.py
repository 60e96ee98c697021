"""The audit chain on a real SQLite file: SQL cannot change it, and whoever does so all the same is found."""

import sqlite3

import pytest

from engine.store import audit
from engine.store.audit import Anchor, Breach
from engine.store.connection import connect
from engine.store.migrate import migrate, shipped

KEY = b"a key of the operator's"


def chain(folder, *, key=None, count=6):
    """A connection with so many audit records."""
    connection = connect(folder / "halon.db", audit_key=key)
    migrate(connection, folder / "halon.db", shipped())
    for number in range(count):
        audit.append(connection, "test", 1_000 + number, {"number": number, "text": "ä"})
    return connection


def tamper(connection, *statements):
    """Change the log as someone with the file in hand would, triggers taken away."""
    for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        connection.execute(statement)


@pytest.mark.parametrize("key", [None, KEY])
def test_an_untouched_chain_is_sound(tmp_path, key):
    """Nothing is found where nothing was done; an empty chain is sound too."""
    assert audit.verify(chain(tmp_path, key=key), key=key) is None
    (tmp_path / "empty").mkdir()
    assert audit.verify(chain(tmp_path / "empty", key=key, count=0), key=key) is None


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET record = '{}' WHERE seq = 2",
        "DELETE FROM audit WHERE seq = 6",
        "DELETE FROM audit",
        "DELETE FROM audit_head",
        "UPDATE audit_head SET seq = 3",
        "INSERT OR REPLACE INTO audit (seq, record, hash) VALUES (2, '{}', '')",
        "INSERT OR REPLACE INTO audit_head (one, seq, hash) VALUES (1, 2, '')",
    ],
)
def test_the_log_is_append_only(tmp_path, statement):
    """Through the daemon's own schema no record can be changed or taken away."""
    connection = chain(tmp_path)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement)
    assert audit.verify(connection) is None


SWAP = (
    "UPDATE audit SET seq = 100 WHERE seq = 3",
    "UPDATE audit SET seq = 3 WHERE seq = 4",
    "UPDATE audit SET seq = 4 WHERE seq = 100",
)


@pytest.mark.parametrize(
    ("statements", "seq", "breach"),
    [
        (
            ["UPDATE audit SET record = replace(record, '\"number\":2', '\"number\":9') WHERE seq = 3"],
            3,
            Breach.ALTERED,
        ),
        (["UPDATE audit SET record = 'nonsense' WHERE seq = 3"], 3, Breach.ALTERED),
        (["UPDATE audit SET record = replace(record, 'sha256', 'md5') WHERE seq = 3"], 3, Breach.ALTERED),
        (["UPDATE audit SET hash = 'x' WHERE seq = 3"], 3, Breach.ALTERED),
        (["DELETE FROM audit WHERE seq = 3"], 3, Breach.MISSING),
        (["DELETE FROM audit WHERE seq = 1"], 1, Breach.MISSING),
        (SWAP, 3, Breach.REORDERED),
        (["DELETE FROM audit WHERE seq > 4"], 5, Breach.TRUNCATED),
        (["DELETE FROM audit"], 1, Breach.TRUNCATED),
        (["DELETE FROM audit_head"], 7, Breach.TRUNCATED),
        (["UPDATE audit_head SET seq = 5"], 6, Breach.ALTERED),
    ],
)
def test_the_first_problem_is_named(tmp_path, statements, seq, breach):
    """Which record, and whether it is altered, missing, out of order or cut off."""
    connection = chain(tmp_path)
    tamper(connection, *statements)
    problem = audit.verify(connection)
    assert problem is not None
    assert (problem.seq, problem.breach) == (seq, breach)


def rewritten(connection, *, upto):
    """The chain cut at `upto`, two other records put behind it, hashes and head made to match."""
    tamper(connection, f"DELETE FROM audit WHERE seq > {upto}")
    last = connection.execute("SELECT hash FROM audit WHERE seq = ?", (upto,)).fetchone()[0]
    connection.execute("UPDATE audit_head SET seq = ?, hash = ?", (upto, last))
    connection.audit_key = None
    for number in range(6 - upto):
        audit.append(connection, "forged", 2_000 + number, {})


def test_a_rewritten_tail_is_found_with_an_anchor_or_a_key(tmp_path):
    """A forger who recomputes every hash fools the chain alone, but not an anchor kept elsewhere, nor a key."""
    connection = chain(tmp_path)
    kept = audit.anchor(connection)
    rewritten(connection, upto=4)
    assert audit.verify(connection) is None
    problem = audit.verify(connection, anchor=kept)
    assert problem is not None
    assert (problem.seq, problem.breach) == (6, Breach.ALTERED)

    (tmp_path / "signed").mkdir()
    signed = chain(tmp_path / "signed", key=KEY)
    rewritten(signed, upto=4)
    problem = audit.verify(signed, key=KEY)
    assert problem is not None
    assert (problem.seq, problem.breach) == (5, Breach.ALTERED)


def test_a_tail_cut_off_with_its_head_is_found_with_an_anchor(tmp_path):
    """Cutting the chain and its head row leaves a shorter, sound chain; the anchor knows that it was longer."""
    connection = chain(tmp_path)
    kept = audit.anchor(connection)
    tamper(connection, "DELETE FROM audit WHERE seq > 3")
    connection.execute("UPDATE audit_head SET seq = 3, hash = (SELECT hash FROM audit WHERE seq = 3)")
    assert audit.verify(connection) is None
    problem = audit.verify(connection, anchor=kept)
    assert problem is not None
    assert (problem.seq, problem.breach) == (4, Breach.TRUNCATED)


def test_a_chain_without_a_signature_is_not_believed_where_a_key_is_set(tmp_path):
    """A wrong key, or a chain written anew without any, is found."""
    assert audit.verify(chain(tmp_path, key=KEY), key=b"another") is not None
    (tmp_path / "b").mkdir()
    assert audit.verify(chain(tmp_path / "b"), key=KEY) is not None


def test_a_record_is_taken_back_with_the_transaction_that_it_stands_in(tmp_path):
    """What did not happen is not in the log, and the chain goes on without a gap."""
    connection = chain(tmp_path, count=2)
    connection.execute("BEGIN")
    audit.append(connection, "lost", 5, {})
    connection.execute("ROLLBACK")
    assert audit.append(connection, "kept", 6, {}) == 3
    assert audit.verify(connection) is None
    assert [record.kind for record in audit.records(connection)] == ["test", "test", "kept"]
    assert audit.anchor(connection).seq == 3
    assert audit.anchor(connection) != Anchor(seq=3, hash="")
