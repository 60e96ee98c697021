"""The store to one file that can be carried away, and back: `halon state export` and `halon state import`.

The first line of such a file is JSON: what it is, of when, and the SHA-256 of the rest. The rest is the SQLite database
as it was at one moment, so that in need `tail -n +2 FILE > halon.db` restores it without Halon. An export can be made
while the daemon runs; an import takes the daemon's lock.
"""

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from engine.folders import sync_folder
from engine.model import Struct
from engine.store import audit
from engine.store.connection import Connection, open_readonly
from engine.store.errors import StoreCorrupt, StoreError, StoreTooNew, classify
from engine.store.lock import hand_over, take_lock
from engine.store.migrate import shipped, version
from engine.store.soundness import examine

FORMAT = 1
HEADER_BYTES_MAX = 4_096
CHUNK_BYTES = 1_048_576
PAGES_AT_ONCE = 4_096

Progress = Callable[[int, int], None]
"""Told how much is done, of how much."""


class Unsuitable(Exception):  # noqa: N818  # it says what the file is, not what failed
    """The file is no export, is damaged, or its database is not sound; the message says which and what to do."""


class Manifest(Struct, frozen=True):
    """The first line of an exported file."""

    halon_state: int
    """Version of this format."""
    halon: str
    """The version of Halon that wrote it."""
    created_us: int
    schema: int
    bytes: int
    sha256: str
    audit_records: int
    audit_head: str
    """The head of the audit chain at that moment: an anchor."""
    unsound: tuple[str, ...] = ()
    """What was wrong with the store when it was exported all the same."""


def silent(done: int, total: int) -> None:
    """No progress is shown."""
    del done, total


def export(
    database: Path,
    to: Path,
    *,
    now_us: int,
    halon: str,
    unsound: bool = False,
    key: bytes | None = None,
    progress: Progress = silent,
) -> Manifest:
    """Write the store as it is now to `to`, which appears when it is complete and was found sound.

    Works while the daemon writes. Raises StoreError, OSError, or Unsuitable where the copy is not sound; with `unsound`
    it is written then too, and says what is wrong with it.
    """
    copied = to.with_name(f".{to.name}.{os.getpid()}.copy")
    partial = to.with_name(f".{to.name}.{os.getpid()}.partial")
    try:
        _make(copied)
        _copy(database, copied, progress)
        wrong = _faults(copied, key)
        if wrong and not unsound:
            raise Unsuitable(f"{database} is not sound: {'; '.join(wrong)}")
        manifest = _describe(copied, now_us=now_us, halon=halon, wrong=wrong)
        _make(partial)
        with partial.open("wb") as file, copied.open("rb") as source:
            file.write(msgspec.json.encode(manifest) + b"\n")
            shutil.copyfileobj(source, file, CHUNK_BYTES)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(to)
        sync_folder(to.parent)
    finally:
        copied.unlink(missing_ok=True)
        partial.unlink(missing_ok=True)
    return manifest


def is_export(path: Path) -> bool:
    """Whether a file begins as an export does; anything else may be a database."""
    with path.open("rb") as file:
        return file.read(1) == b"{"


def read_manifest(file: BinaryIO, path: Path) -> Manifest:
    """The first line; raises Unsuitable."""
    line = file.readline(HEADER_BYTES_MAX)
    try:
        found = msgspec.json.decode(line, type=Manifest)
    except msgspec.DecodeError as error:
        raise Unsuitable(f"{path} is no export of `halon state export`: {error}") from error
    if found.halon_state != FORMAT:
        raise Unsuitable(
            f"{path} is of format {found.halon_state}, this Halon reads {FORMAT}: use the Halon that wrote it"
        )
    return found


@contextmanager
def unpacked(path: Path, folder: Path, *, progress: Progress = silent) -> Iterator[tuple[Manifest, Path]]:
    """The database of an export in a file of its own in `folder`, checked against the first line; gone at the end."""
    database = folder / f".{path.name}.{os.getpid()}.unpacked"
    try:
        with path.open("rb") as file:
            manifest = read_manifest(file, path)
            _make(database)
            digest, done = hashlib.sha256(), 0
            with database.open("wb") as out:
                while chunk := file.read(CHUNK_BYTES):
                    digest.update(chunk)
                    out.write(chunk)
                    done += len(chunk)
                    progress(done, manifest.bytes)
                out.flush()
                os.fsync(out.fileno())
        if done != manifest.bytes:
            raise Unsuitable(f"{path} is cut off or padded: {done:,} bytes of {manifest.bytes:,}")
        if digest.hexdigest() != manifest.sha256:
            raise Unsuitable(f"{path} is damaged: its SHA-256 is not the one in its first line")
        yield manifest, database
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            database.with_name(database.name + suffix).unlink(missing_ok=True)


def import_(
    path: Path,
    database: Path,
    *,
    now_us: int,
    replace: bool,
    unsound: bool = False,
    key: bytes | None = None,
    progress: Progress = silent,
) -> tuple[Manifest, Path | None]:
    """Put an exported store in the place of the daemon's, which must not run; where the one before was moved to.

    Nothing is touched before the file was found whole and its database sound (with `unsound`: whole). Raises
    StoreLocked, StoreTooNew, StoreError, Unsuitable, OSError; FileExistsError where there is a store and `replace` is
    not said.
    """
    lock = take_lock(database)
    try:
        hand_over(database.with_name(f"{database.name}.lock"))
        if database.exists() and not replace:
            raise FileExistsError(database)
        with unpacked(path, database.parent, progress=progress) as (manifest, found):
            wrong = _faults(found, key)
            if wrong and not unsound:
                raise Unsuitable(f"{path} holds a store that is not sound: {'; '.join(wrong)}")
            aside = _set_aside(database, now_us) if database.exists() else None
            hand_over(found)
            found.replace(database)
            sync_folder(database.parent)
        return manifest, aside
    finally:
        os.close(lock)


def _faults(database: Path, key: bytes | None) -> tuple[str, ...]:
    """What is wrong with a database. Raises StoreTooNew."""
    with closing(open_readonly(database)) as connection:
        have, known = version(connection), shipped()[-1].number
        if have > known:
            raise StoreTooNew(f"its schema is {have}, this Halon knows up to {known}: use the Halon that wrote it")
        return tuple(f"{each.what}: {each.detail}" for each in examine(connection, key=key))


def _copy(database: Path, to: Path, progress: Progress) -> None:
    """One moment of the database, by SQLite's backup interface."""
    try:
        with closing(open_readonly(database)) as source, closing(sqlite3.connect(to, isolation_level=None)) as copy:
            # The snapshot is held for all of it: without, each commit of the daemon would begin the copy anew.
            source.execute("BEGIN")
            page_bytes = int(source.execute("PRAGMA page_size").fetchone()[0])
            source.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            source.backup(
                copy,
                pages=PAGES_AT_ONCE,
                progress=lambda _, left, total: progress((total - left) * page_bytes, total * page_bytes),
                sleep=0.0,
            )
            # A log beside the file would not be carried away with it.
            copy.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise classify(error, database) or StoreError(f"{database}: {error}") from error


def _describe(copied: Path, *, now_us: int, halon: str, wrong: tuple[str, ...]) -> Manifest:
    with closing(open_readonly(copied)) as connection:
        head, schema = _head(connection), version(connection)
    with copied.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Manifest(
        halon_state=FORMAT,
        halon=halon,
        created_us=now_us,
        schema=schema,
        bytes=copied.stat().st_size,
        sha256=digest,
        audit_records=head.seq,
        audit_head=head.hash,
        unsound=wrong,
    )


def _head(connection: Connection) -> audit.Anchor:
    try:
        return audit.anchor(connection)
    except (sqlite3.Error, TypeError) as error:
        raise StoreCorrupt(f"the head of the audit chain can't be read: {error}") from error


def _set_aside(database: Path, now_us: int) -> Path:
    """Move the store and its log out of the way, together and kept."""
    aside = database.with_name(f"{database.name}.replaced-{now_us}")
    for suffix in ("-shm", "-wal", ""):
        source = database.with_name(database.name + suffix)
        if source.exists():
            source.rename(aside.with_name(aside.name + suffix))
    return aside


def _make(path: Path) -> None:
    """An empty file for nobody else to read."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
