"""The store on real SQLite files: group commit, failures that stay alone, locks, damage, a full disk."""

import asyncio
import sqlite3
import threading

import pytest

from engine.store.connection import connect, open_readonly
from engine.store.damage import move_aside
from engine.store.database import Store
from engine.store.errors import StoreBusyOrFull, StoreClosed, StoreCorrupt, StoreLocked, StoreTooNew
from engine.store.migrate import Migration, migrate, shipped, version

FIRST = Migration(number=1, name="0001_first.sql", sql="CREATE TABLE t (n INTEGER PRIMARY KEY);\n")


def put(number):
    """A write of one row."""
    return lambda connection: connection.execute("INSERT INTO t (n) VALUES (?)", (number,)).rowcount


def rows(connection):
    """All rows."""
    return [n for (n,) in connection.execute("SELECT n FROM t ORDER BY n")]


def with_store(folder, scenario, **options):
    """Run a scenario on a fresh store."""

    async def all_of_it():
        store = await Store.open(folder / "halon.db", migrations=[FIRST], **options)
        try:
            await scenario(store)
        finally:
            await store.close()

    asyncio.run(all_of_it())


def test_writes_are_read_back_and_outlive_the_store(tmp_path):
    """What `write` returned for is there for readers and after reopening."""

    async def first(store):
        assert await store.write(put(1)) == 1
        assert await store.read(rows) == [1]

    async def second(store):
        assert await store.read(rows) == [1]

    with_store(tmp_path, first)
    with_store(tmp_path, second)


def test_many_writes_share_few_transactions(tmp_path):
    """While one commit is under way the next writes gather, and go to the disk together."""

    async def scenario(store):
        open_gate, transactions = threading.Event(), []

        def hold(connection):
            connection.set_trace_callback(lambda sql: transactions.append(sql) if sql == "COMMIT" else None)
            assert open_gate.wait(10)

        writes = [asyncio.ensure_future(store.write(hold))]
        writes += [asyncio.ensure_future(store.write(put(number))) for number in range(100)]
        await asyncio.sleep(0)
        open_gate.set()
        await asyncio.gather(*writes)
        assert len(transactions) <= 4
        assert len(await store.read(rows)) == 100

    with_store(tmp_path, scenario)


def test_a_function_that_fails_fails_alone(tmp_path):
    """Its own changes are undone and its error comes out at its caller; the others of the transaction are kept."""

    def half_then_fail(connection):
        connection.execute("INSERT INTO t (n) VALUES (50)")
        raise ValueError("no")

    async def scenario(store):
        found = await asyncio.gather(
            store.write(put(1)),
            store.write(half_then_fail),
            store.write(put(1)),
            store.write(put(2)),
            return_exceptions=True,
        )
        assert found[0] == found[3] == 1
        assert isinstance(found[1], ValueError)
        assert isinstance(found[2], sqlite3.IntegrityError)
        assert await store.read(rows) == [1, 2]

    with_store(tmp_path, scenario)


def test_a_reader_cannot_write(tmp_path):
    """`read` gets a connection on which SQLite itself refuses changes."""

    async def scenario(store):
        with pytest.raises(StoreBusyOrFull, match="cannot be written"):
            await store.read(put(1))

    with_store(tmp_path, scenario)


def test_a_caller_that_is_cancelled_does_not_take_its_write_back(tmp_path):
    """Once queued, a write happens; a shutdown must not tear a batch apart."""

    async def scenario(store):
        writing = asyncio.ensure_future(store.write(put(7)))
        await asyncio.sleep(0)
        writing.cancel()
        await store.write(put(8))
        assert await store.read(rows) == [7, 8]

    with_store(tmp_path, scenario)


def test_a_full_disk_loses_nothing_but_what_it_says_and_recovers(tmp_path):
    """Past `max_page_count` SQLite reports a full disk: StoreBusyOrFull, nothing half done, and it goes on after."""

    def big(connection):
        connection.execute("CREATE TABLE IF NOT EXISTS big (b BLOB)")
        connection.execute("INSERT INTO big VALUES (zeroblob(10000000))")

    def pages(count):
        return lambda connection: connection.execute(f"PRAGMA max_page_count = {count}").fetchone()

    async def scenario(store):
        await store.write(put(1))
        await store.write(pages(20))
        with pytest.raises(StoreBusyOrFull, match="the disk is full"):
            await store.write(big)
        assert await store.read(rows) == [1]
        await store.write(pages(100_000))
        await store.write(big)

    with_store(tmp_path, scenario)


def test_a_store_locked_by_another_process_is_busy_and_recovers(tmp_path, monkeypatch):
    """Another connection holds the write lock: StoreBusyOrFull, and the same write works once it lets go."""
    monkeypatch.setattr("engine.store.connection.BUSY_TIMEOUT_MS", 50)

    async def scenario(store):
        other = connect(store.path)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusyOrFull, match="locked by another process"):
            await store.write(put(1))
        other.execute("ROLLBACK")
        other.close()
        assert await store.write(put(1)) == 1

    with_store(tmp_path, scenario)


def test_nothing_is_committed_into_a_file_that_was_moved_away_or_replaced(tmp_path):
    """SQLite would write on into a file without a name: StoreBusyOrFull, and all is well once it is back."""

    async def scenario(store):
        away = tmp_path / "away.db"
        store.path.rename(away)
        with pytest.raises(StoreBusyOrFull, match="not there any more"):
            await store.write(put(1))
        store.path.write_bytes(away.read_bytes())
        with pytest.raises(StoreBusyOrFull, match="another file"):
            await store.write(put(1))
        away.rename(store.path)
        assert await store.write(put(1)) == 1

    with_store(tmp_path, scenario)


def test_two_daemons_do_not_start_on_one_state_directory(tmp_path):
    """The second opening names the process that holds the first; after closing, the next one opens."""

    async def scenario(store):
        with pytest.raises(StoreLocked, match=r"another daemon \(process \d+\)"):
            await Store.open(store.path)

    with_store(tmp_path, scenario)
    with_store(tmp_path, lambda store: store.write(put(1)))


def test_commands_read_while_the_daemon_writes(tmp_path):
    """`open_readonly` sees what is committed, and cannot write."""

    async def scenario(store):
        await store.write(put(1))
        reader = open_readonly(store.path)
        assert rows(reader) == [1]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("DELETE FROM t")
        await store.write(put(2))
        assert rows(reader) == [1, 2]
        reader.close()

    with_store(tmp_path, scenario)


@pytest.mark.parametrize("where", [0, 4096])
def test_a_damaged_file_is_said_to_be_and_can_be_moved_aside(tmp_path, where):
    """A wrecked header or page is StoreCorrupt at opening; moved aside it is kept, and a fresh store opens."""

    async def fill(store):
        for number in range(50):
            await store.write(put(number))

    with_store(tmp_path, fill)
    path = tmp_path / "halon.db"
    data = bytearray(path.read_bytes())
    data[where : where + 600] = b"\xff" * 600
    path.write_bytes(data)
    with pytest.raises(StoreCorrupt, match="damaged"):
        asyncio.run(Store.open(path, migrations=[FIRST]))
    aside = move_aside(path, 17)
    assert aside.read_bytes() == bytes(data)

    async def empty(store):
        assert await store.read(rows) == []

    with_store(tmp_path, empty)


def test_damage_under_an_open_store_is_told_and_ends_all_writing(tmp_path):
    """Whoever reads or writes into it first: it is told once, the rest of the transaction is not committed either."""

    def bad(connection):
        connection.execute("PRAGMA cache_size = 0")
        connection.execute("SELECT sum(length(b)) FROM big").fetchone()

    async def scenario(store):
        await store.write(lambda connection: connection.execute("CREATE TABLE big AS SELECT zeroblob(40000) AS b"))
        await store.write(lambda connection: connection.execute("INSERT INTO big SELECT b FROM big"))
        other = sqlite3.connect(store.path)
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        other.close()
        with store.path.open("r+b") as file:
            file.seek(8_192)
            file.write(b"\xff" * (store.path.stat().st_size - 8_192))
        waiting = asyncio.ensure_future(store.damage())
        found = await asyncio.gather(
            store.write(lambda connection: connection.execute("CREATE TABLE other (n)")),
            store.write(bad),
            return_exceptions=True,
        )
        assert [type(each) for each in found] == [StoreCorrupt, StoreCorrupt]
        assert await waiting is await store.damage()
        with pytest.raises(StoreCorrupt):
            await store.write(lambda connection: connection.execute("SELECT 1"))

    with_store(tmp_path, scenario)
    assert "other" not in tmp_path.joinpath("halon.db").read_bytes().decode("latin-1")


def test_a_damaged_log_is_not_folded_in_at_the_end(tmp_path):
    """What is sound before the damage is for the next start to tell. No page can be read, so none opens it anew."""

    async def scenario(store):
        await store.write(put(1))
        log = store.path.with_name("halon.db-wal")
        with log.open("r+b") as file:
            for at in range(32 + 24, log.stat().st_size, 24 + 4_096):
                file.seek(at)
                file.write(b"\xff" * 4_096)
        with pytest.raises(StoreCorrupt):
            await store.read(rows)
        assert isinstance(await store.damage(), StoreCorrupt)

    with_store(tmp_path, scenario)
    assert (tmp_path / "halon.db-wal").stat().st_size > 0


def test_a_file_system_that_is_read_only_by_now_is_said_to_be(tmp_path, monkeypatch):
    """With what to do: SQLite would speak of an I/O error."""

    async def scenario(store):
        monkeypatch.setattr("engine.store.database.is_read_only", lambda _: True)
        await store.write(lambda connection: connection.execute("PRAGMA query_only = ON"))
        with pytest.raises(StoreBusyOrFull, match=r"read-only; .* `mount -o remount,rw`"):
            await store.write(put(1))

    with_store(tmp_path, scenario)


def test_a_place_where_nothing_can_be_made_is_said_to_be(tmp_path):
    """A state directory that is a file cannot be used; that is no crash."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreBusyOrFull, match="cannot be opened"):
        asyncio.run(Store.open(tmp_path / "file" / "halon.db"))


def test_a_closed_store_takes_nothing_and_closes_twice(tmp_path):
    """Work for a closed store is an error; closing it again is none."""

    async def scenario(store):
        await store.close()
        with pytest.raises(StoreClosed):
            await store.write(put(1))
        with pytest.raises(StoreClosed):
            await store.read(rows)

    with_store(tmp_path, scenario)


def test_files_are_for_the_daemon_alone(tmp_path):
    """Database, log and lock have mode 0600: they hold evidence."""

    async def scenario(store):
        await store.write(put(1))
        modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
        assert set(modes.values()) == {0o600}, modes

    with_store(tmp_path, scenario)


def test_a_migration_backs_up_first_and_a_failing_one_changes_nothing(tmp_path):
    """Each script is one transaction; before the first of them the database is copied."""
    path = tmp_path / "halon.db"
    good = Migration(number=2, name="0002_good.sql", sql="ALTER TABLE t ADD COLUMN m;\nINSERT INTO t (n) VALUES (2);\n")
    bad = Migration(number=3, name="0003_bad.sql", sql="INSERT INTO t (n) VALUES (3);\nINSERT INTO t (n) VALUES (3);\n")
    with_store(tmp_path, lambda store: store.write(put(1)))
    connection = connect(path)
    with pytest.raises(sqlite3.IntegrityError):
        migrate(connection, path, [FIRST, good, bad])
    assert (version(connection), rows(connection)) == (2, [1, 2])
    connection.close()
    backup = sqlite3.connect(path.with_name("halon.db.schema-1.backup"))
    assert (version(backup), rows(backup)) == (1, [1])
    backup.close()


def test_the_backups_of_the_newest_schemas_are_kept(tmp_path):
    """Three of them; other files beside the database are nobody's business here."""
    path, scripts = tmp_path / "halon.db", [FIRST]
    with_store(tmp_path, lambda store: store.write(put(1)))
    (tmp_path / "other.db.schema-0.backup").touch()
    connection = connect(path)
    for number in range(2, 13):
        scripts.append(Migration(number=number, name=f"{number:04}_x.sql", sql=f"CREATE TABLE x{number} (n);\n"))
        migrate(connection, path, scripts)
    connection.close()
    kept = {each.name for each in tmp_path.glob("*.backup")}
    assert kept == {*(f"halon.db.schema-{number}.backup" for number in (9, 10, 11)), "other.db.schema-0.backup"}


def test_a_newer_schema_is_refused(tmp_path):
    """An older Halon does not touch a database that it does not understand."""
    with_store(tmp_path, lambda store: store.write(lambda connection: connection.execute("PRAGMA user_version = 99")))
    with pytest.raises(StoreTooNew, match=rf"schema 99, this Halon knows up to {len(shipped())}"):
        asyncio.run(Store.open(tmp_path / "halon.db"))


def test_the_shipped_migrations_make_a_schema(tmp_path):
    """The scripts in the package run from nothing to the newest."""
    connection = connect(tmp_path / "halon.db")
    assert migrate(connection, tmp_path / "halon.db", shipped()) is None
    assert version(connection) == shipped()[-1].number
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    connection.close()
