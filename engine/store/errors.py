"""What can go wrong with the store, classed by what the caller should do about it.

`classify` turns an `sqlite3.Error` into one of these; `engine.store.database` raises them to its callers.
"""

import sqlite3
from pathlib import Path


class StoreError(Exception):
    """The store could not do what it was asked; nothing of it was committed."""


class StoreBusyOrFull(StoreError):  # noqa: N818  # named for what the caller should do
    """Locked by someone else, disk full, read-only, or a failing device: keep the work and try again later."""


class StoreCorrupt(StoreError):  # noqa: N818  # named for what the caller should do
    """The file is damaged or no database: end, and let the next start keep it aside, say so loudly, start afresh."""


class StoreLocked(StoreError):  # noqa: N818  # named for what the caller should do
    """Another daemon runs on this state directory: do not start."""


class StoreTooNew(StoreError):  # noqa: N818  # named for what the caller should do
    """The schema is of a newer Halon: install that version, or give this one another state directory."""


class StoreClosed(StoreError):  # noqa: N818  # named for what the caller should do
    """The store was closed before the work was done."""


_RETRY = {
    sqlite3.SQLITE_BUSY: "it is locked by another process",
    sqlite3.SQLITE_LOCKED: "it is locked by another process",
    sqlite3.SQLITE_PROTOCOL: "it is locked by another process",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the device reports an error, `dmesg` says which",
    sqlite3.SQLITE_READONLY: "it cannot be written",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_PERM: "permission is denied",
    sqlite3.SQLITE_NOMEM: "memory is short",
    sqlite3.SQLITE_INTERRUPT: "the work was interrupted",
}
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def classify(error: sqlite3.Error, path: Path) -> StoreError | None:
    """The class of an SQLite error, or None where it is a programmer's (a constraint, bad SQL): let that one crash."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return None
    primary = code & 0xFF
    if primary in _CORRUPT:
        return StoreCorrupt(f"{path} is damaged: {error}")
    if primary in _RETRY:
        return StoreBusyOrFull(f"{path}: {_RETRY[primary]} ({error})")
    return None
