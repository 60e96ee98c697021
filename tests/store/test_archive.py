"""The oldest audit records to files and back, on a real SQLite file: one chain over both."""

import gzip
import sqlite3
from contextlib import closing

import pytest

from engine.store import archive, audit
from engine.store.archive import ArchiveError
from engine.store.audit import Anchor, Breach
from engine.store.connection import connect
from engine.store.migrate import migrate, shipped

KEY = b"key"


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(archive, "RECORDS_MAX", 20)
    monkeypatch.setattr(archive, "RECORDS_MIN", 5)


@pytest.fixture
def connection(tmp_path):
    """A chain of 50 signed records, one a microsecond."""
    with closing(connect(tmp_path / "halon.db", audit_key=KEY)) as made:
        migrate(made, tmp_path / "halon.db", shipped())
        for number in range(1, 51):
            audit.append(made, "test", number, {"number": number})
        yield made


def move(connection, folder, *, before_us=1_000):
    """One step of retention; the records of the file."""
    rows = archive.due(connection, before_us=before_us)
    if not rows:
        return 0
    part, sha256 = archive.write(folder, rows)
    connection.execute("BEGIN")
    archive.take_away(connection, part, sha256, at_us=before_us)
    connection.execute("COMMIT")
    return len(rows)


def moved(connection, folder):
    while move(connection, folder):
        pass
    return audit.base(connection)


def verify(connection, folder=None, **options):
    rows = None if folder is None else archive.records(folder, upto=audit.base(connection).seq)
    return audit.verify(connection, key=KEY, archive=rows, **options)


def test_files_are_as_large_as_they_may_and_small_ones_wait(tmp_path, connection):
    """What is younger stays, and so do fewer than are worth a file."""
    sizes = [move(connection, tmp_path / "a", before_us=33) for _ in range(4)]
    assert sizes == [20, 5, 5, 0]
    names = [each.path.name for each in archive.parts(tmp_path / "a")]
    assert names[0] == "audit-000000000001-000000000020.jsonl.gz"
    assert len(names) == 3
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700


def test_the_chain_holds_with_the_files_and_without(tmp_path, connection):
    """And goes on: records that come later follow."""
    before = connection.execute("SELECT seq, record, hash FROM audit WHERE seq <= 50").fetchall()
    begin = moved(connection, tmp_path / "a")
    assert begin.seq == 50
    audit.append(connection, "later", 2_000, {})
    assert verify(connection) is None
    assert verify(connection, tmp_path / "a") is None
    assert list(archive.records(tmp_path / "a", upto=50)) == before


def test_heads_noted_before_still_do(tmp_path, connection):
    """One that lies in the files is found there; a wrong one is told."""
    [(digest,)] = connection.execute("SELECT hash FROM audit WHERE seq = 7").fetchall()
    begin = moved(connection, tmp_path / "a")
    assert verify(connection, tmp_path / "a", anchor=Anchor(seq=7, hash=digest)) is None
    problem = verify(connection, tmp_path / "a", anchor=Anchor(seq=7, hash="0" * 64))
    assert (problem.seq, problem.breach) == (7, Breach.ALTERED)
    assert verify(connection, anchor=begin) is None
    assert verify(connection, anchor=Anchor(seq=begin.seq, hash="0" * 64)).seq == begin.seq


def tamper(connection, *statements):
    for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        connection.execute(statement)


def test_records_that_are_cut_from_the_front_are_missed(tmp_path, connection):
    """The base is believed only where a record of the chain names it."""
    tamper(
        connection,
        "UPDATE audit_base SET seq = 30, hash = (SELECT hash FROM audit WHERE seq = 30)",
        "DELETE FROM audit WHERE seq <= 30",
    )
    problem = verify(connection)
    assert (problem.seq, problem.breach) == (30, Breach.TRUNCATED)
    assert "no record says that they were archived" in problem.detail


def test_more_cut_than_was_archived_is_missed(tmp_path, connection):
    """The record that says so names the right place."""
    moved(connection, tmp_path / "a")
    tamper(connection, "DELETE FROM audit WHERE seq = 51")
    assert (verify(connection).seq, verify(connection).breach) == (51, Breach.MISSING)


def test_what_is_changed_in_a_file_is_found(tmp_path, connection):
    """A record that was altered, one that was taken out, and a file that is cut off or gone."""
    moved(connection, tmp_path / "a")
    first = archive.parts(tmp_path / "a")[0].path
    whole = first.read_bytes()
    lines = gzip.decompress(whole).splitlines(keepends=True)

    def put(*kept):
        first.write_bytes(gzip.compress(b"".join(kept)))

    put(*lines[:6], lines[6].replace(b'\\"number\\":7', b'\\"number\\":8'), *lines[7:])
    assert (verify(connection, tmp_path / "a").seq, verify(connection, tmp_path / "a").breach) == (7, Breach.ALTERED)
    put(*lines[:6], *lines[7:])
    assert verify(connection, tmp_path / "a").breach is Breach.REORDERED
    put(*lines[:-1])
    assert (verify(connection, tmp_path / "a").seq, verify(connection, tmp_path / "a").breach) == (20, Breach.MISSING)
    first.write_bytes(whole[:-20])
    with pytest.raises(ArchiveError, match="can't be read"):
        verify(connection, tmp_path / "a")
    first.unlink()
    with pytest.raises(ArchiveError, match="the file with record 1 is not in"):
        verify(connection, tmp_path / "a")


def test_a_crash_between_the_file_and_the_transaction_leaves_all_in_the_database(tmp_path, connection):
    """The next time the same file is written again; until then it is not looked at."""
    part, _ = archive.write(tmp_path / "a", archive.due(connection, before_us=1_000))
    before = part.path.read_bytes()
    assert verify(connection, tmp_path / "a") is None
    assert moved(connection, tmp_path / "a").seq == 50
    assert part.path.read_bytes() == before


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM audit WHERE seq = 30",
        "UPDATE audit_base SET seq = 30, hash = 'x'",
        "UPDATE audit_base SET seq = 3, hash = (SELECT hash FROM audit WHERE seq = 3)",
        "DELETE FROM audit_base",
        "INSERT OR REPLACE INTO audit_base VALUES (1, 40, 'x')",
    ],
)
def test_the_log_stays_append_only(tmp_path, connection, statement):
    """What was not archived can't be deleted, and the base moves to a record of the chain alone."""
    move(connection, tmp_path / "a")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement)
