"""A store to a file and back, on real SQLite files: while it is written, damaged, cut off, locked, in the way."""

import asyncio
import hashlib
import os
import threading
from contextlib import closing

import msgspec
import pytest

from engine.store import audit, portable
from engine.store.connection import connect, open_readonly
from engine.store.database import Store
from engine.store.errors import StoreLocked, StoreTooNew
from engine.store.portable import Manifest, Unsuitable
from tests.support.stored import make_database

NOW_US = 1_795_723_811_000_000


@pytest.fixture
def database(tmp_path):
    (tmp_path / "state").mkdir(mode=0o700)
    made = tmp_path / "state" / "halon.db"
    make_database(made)
    return made


def exported(database, to, **options):
    return portable.export(database, to, now_us=NOW_US, halon="1.0", **options)


def imported(path, database, **options):
    return portable.import_(path, database, now_us=NOW_US, **{"replace": False, **options})


def rows(path):
    with closing(open_readonly(path)) as connection:
        return [
            connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
            for table in ("incidents", "intents", "leases", "audit")
        ]


def test_what_was_exported_is_imported_as_it_was(tmp_path, database):
    """Into an empty place; the file says what it is, of when, and where the audit chain ended."""
    before = rows(database)
    manifest = exported(database, tmp_path / "copy.halon")
    assert (manifest.created_us, manifest.halon, manifest.unsound) == (NOW_US, "1.0", ())
    with closing(open_readonly(database)) as connection:
        head = audit.anchor(connection)
    assert (manifest.audit_records, manifest.audit_head) == (head.seq, head.hash)
    elsewhere = tmp_path / "other" / "halon.db"
    found, aside = imported(tmp_path / "copy.halon", elsewhere)
    assert (found, aside) == (manifest, None)
    assert rows(elsewhere) == before
    assert elsewhere.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "copy.halon").stat().st_mode & 0o777 == 0o600
    assert sorted(each.name for each in tmp_path.iterdir()) == ["copy.halon", "other", "state"], "nothing is left over"
    assert sorted(each.name for each in elsewhere.parent.iterdir()) == ["halon.db", "halon.db.lock"]


def test_behind_the_first_line_stands_a_plain_database(tmp_path, database):
    """So that a copy can be used where there is no Halon."""
    manifest = exported(database, tmp_path / "copy.halon")
    line, _, body = (tmp_path / "copy.halon").read_bytes().partition(b"\n")
    assert msgspec.json.decode(line, type=Manifest) == manifest
    assert body.startswith(b"SQLite format 3\0")
    assert hashlib.sha256(body).hexdigest() == manifest.sha256
    (tmp_path / "plain.db").write_bytes(body)
    assert rows(tmp_path / "plain.db") == rows(database)


def test_an_export_of_a_store_that_is_written_to_is_one_moment_of_it(tmp_path, database):
    """Whole transactions and nothing of a later one, and the writer does not wait for it."""

    def both(connection):
        number = audit.append(connection, "test.first", 1, {})
        audit.append(connection, "test.second", 1, {"after": number, "text": "x" * 2_000})

    async def write(ended):
        store = await Store.open(database)
        written = 0
        while not ended.is_set() or written < 20:
            await store.write(both)
            written += 1
        await store.close()

    ended = threading.Event()
    writer = threading.Thread(target=lambda: asyncio.run(write(ended)))
    writer.start()
    try:
        for number in range(5):
            manifest = exported(database, tmp_path / f"{number}.halon")
            with (
                portable.unpacked(tmp_path / f"{number}.halon", tmp_path) as (_, found),
                closing(open_readonly(found)) as connection,
            ):
                kinds = [record.kind for record in audit.records(connection, limit=100_000)]
                assert len(kinds) == manifest.audit_records
                assert kinds.count("test.first") == kinds.count("test.second")
    finally:
        ended.set()
        writer.join(30)


def spoilt(path, change):
    data = bytearray(path.read_bytes())
    path.write_bytes(change(data))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[:20_000] + bytes([data[20_000] ^ 1]) + data[20_001:], "SHA-256"),
        (lambda data: data[:-1], "cut off or padded"),
        (lambda data: data + b"x", "cut off or padded"),
        (lambda data: data.replace(b'"halon_state":1', b'"halon_state":9', 1), "format 9"),
        (lambda data: b"", "no export"),
        (lambda data: b"nonsense\n", "no export"),
        (lambda data: b"{" * 10_000, "no export"),
    ],
)
def test_a_file_that_is_not_as_it_was_written_changes_nothing(tmp_path, database, change, words):
    """A flipped bit, a missing end, another format, something else altogether."""
    exported(database, tmp_path / "copy.halon")
    spoilt(tmp_path / "copy.halon", change)
    before = rows(database)
    with pytest.raises(Unsuitable, match=words):
        imported(tmp_path / "copy.halon", database, replace=True)
    assert rows(database) == before
    assert sorted(each.name for each in database.parent.glob("*")) == sorted(
        each.name for each in database.parent.glob("halon.db*")
    )


def test_a_store_that_is_there_is_not_replaced_unless_that_is_said(tmp_path, database):
    """Then it is kept beside, its log with it."""
    exported(database, tmp_path / "copy.halon")
    with closing(connect(database)) as connection:
        audit.append(connection, "test.later", 1, {})
    later = rows(database)
    with pytest.raises(FileExistsError):
        imported(tmp_path / "copy.halon", database)
    assert rows(database) == later
    _, aside = imported(tmp_path / "copy.halon", database, replace=True)
    assert rows(aside) == later
    assert rows(database) != later


def test_while_the_daemon_runs_nothing_is_imported(tmp_path, database):
    """It holds the lock; its process is named."""
    exported(database, tmp_path / "copy.halon")

    async def scenario():
        store = await Store.open(database)
        try:
            with pytest.raises(StoreLocked, match=f"process {os.getpid()}"):
                imported(tmp_path / "copy.halon", database, replace=True)
        finally:
            await store.close()

    asyncio.run(scenario())


def test_an_unsound_store_is_exported_and_imported_only_where_that_is_said(tmp_path, database):
    """And then the file says what is wrong with it: a broken audit log must not keep anyone from a backup."""
    with closing(connect(database)) as connection:
        connection.execute("DROP TRIGGER audit_is_not_changed")
        connection.execute("UPDATE audit SET hash = 'x' WHERE seq = 2")
    with pytest.raises(Unsuitable, match="altered at record 2"):
        exported(database, tmp_path / "copy.halon")
    assert not (tmp_path / "copy.halon").exists()
    [wrong] = exported(database, tmp_path / "copy.halon", unsound=True).unsound
    assert "altered at record 2" in wrong
    with pytest.raises(Unsuitable, match="altered at record 2"):
        imported(tmp_path / "copy.halon", database, replace=True)
    assert imported(tmp_path / "copy.halon", database, replace=True, unsound=True)[0].unsound == (wrong,)


def test_a_store_of_a_newer_halon_is_refused(tmp_path, database):
    """It would not start with it."""
    with closing(connect(database)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreTooNew, match="schema is 99"):
        exported(database, tmp_path / "copy.halon", unsound=True)
