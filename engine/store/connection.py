"""A path to an SQLite connection set up the one right way: `connect` for the writer, `open_readonly` for readers.

Called by `engine.store.database`, and by commands that read while the daemon runs.
"""

import os
import sqlite3
from pathlib import Path

from engine.store.errors import StoreCorrupt, classify

BUSY_TIMEOUT_MS = 5_000
"""How long a statement waits for another process's lock before it is `StoreBusyOrFull`."""
WAL_BYTES_MAX = 64 * 1_048_576
"""The write-ahead log is cut back to this size after a checkpoint."""


class Connection(sqlite3.Connection):
    """An SQLite connection that knows the key its audit records are signed with (None: hashed only)."""

    audit_key: bytes | None = None


def connect(path: Path, *, audit_key: bytes | None = None) -> Connection:
    """Open for writing, making the file (mode 0600) where there is none. Raises sqlite3.Error."""
    # SQLite would make the file with the umask's mode; evidence is nobody else's to read.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_MS / 1_000, isolation_level=None, factory=Connection, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL, not NORMAL: in WAL mode NORMAL does not sync at commit, so a power cut could take back a batch that
        # was already acknowledged to the broker. Group commit in the writer thread shares the price of the sync.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_MAX}")
        # The schema of a damaged or hostile file must not run functions on our behalf.
        connection.execute("PRAGMA trusted_schema = OFF")
    except BaseException:
        connection.close()
        raise
    connection.audit_key = audit_key
    return connection


def open_readonly(path: Path) -> Connection:
    """Open for reading only; works while the daemon writes. Raises StoreBusyOrFull or StoreCorrupt."""
    try:
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro",
            uri=True,
            timeout=BUSY_TIMEOUT_MS / 1_000,
            isolation_level=None,
            factory=Connection,
            check_same_thread=False,
        )
        try:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise classify(error, path) or error from error
    return connection


def check(connection: sqlite3.Connection) -> str | None:
    """What SQLite finds wrong with the file's structure, or None; reads the whole file."""
    try:
        row = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if row[0] == "ok" else str(row[0])


def require_sound(connection: sqlite3.Connection, path: Path) -> None:
    """Raise StoreCorrupt where `check` finds something."""
    problem = check(connection)
    if problem is not None:
        raise StoreCorrupt(f"{path} is damaged: {problem}")
