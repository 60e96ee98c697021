"""The oldest part of the audit chain to a file, and back to its records: `retention.audit` keeps the database small.

A file holds some thousand records, one JSON line each with the text that was hashed and its hash, compressed. It is
written, read back and synced before the records leave the database; the transaction that takes them away leaves the
head of the file in the chain, so that the chain is one, and is verified as one where the files are at hand.
"""

import gzip
import hashlib
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec

from engine.folders import sync_folder
from engine.model import Struct
from engine.store import audit
from engine.store.audit import Row

ARCHIVE = "audit"
"""The folder of the files, in the state directory."""
RECORDS_MAX = 10_000
"""Records in a file, and in the transaction that takes them away."""
RECORDS_MIN = 1_000
"""Fewer are not worth a file."""
_NAME = re.compile(r"audit-(\d{12})-(\d{12})\.jsonl\.gz")


class ArchiveError(Exception):
    """A file of the archive is not there, or can't be read; the message says which."""


class _Line(Struct, frozen=True):
    record: str
    hash: str


class Part(Struct, frozen=True):
    """A file of the archive: its first and last record, and where it is."""

    first: int
    last: int
    path: Path


def due(connection: sqlite3.Connection, *, before_us: int) -> list[Row]:
    """The oldest records, where enough of them are older than `before_us`: those that make the next file."""
    begin = audit.base(connection).seq
    for count in (RECORDS_MAX, RECORDS_MIN):
        row = connection.execute("SELECT record FROM audit WHERE seq = ?", (begin + count,)).fetchone()
        if row is not None and msgspec.json.decode(row[0], type=audit.Record).at_us < before_us:
            return connection.execute(
                "SELECT seq, record, hash FROM audit WHERE seq <= ? ORDER BY seq", (begin + count,)
            ).fetchall()
    return []


def write(folder: Path, rows: list[Row]) -> tuple[Part, str]:
    """The file of these records, synced and read back, and its SHA-256. Raises OSError or ArchiveError."""
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"audit-{rows[0][0]:012}-{rows[-1][0]:012}.jsonl.gz"
    partial = path.with_name(f".{path.name}.partial")
    lines = b"".join(msgspec.json.encode(_Line(record=text, hash=digest)) + b"\n" for _, text, digest in rows)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        # Without a time in it: the same records make the same file.
        file.write(gzip.compress(lines, mtime=0))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync_folder(folder)
    part = Part(first=rows[0][0], last=rows[-1][0], path=path)
    if list(_records(part)) != rows:
        raise ArchiveError(f"{path} does not hold what was written to it")
    return part, hashlib.sha256(path.read_bytes()).hexdigest()


def take_away(connection: sqlite3.Connection, part: Part, sha256: str, *, at_us: int) -> None:
    """Delete the records that a file holds, in the transaction that is open, and say so in the chain."""
    [(head,)] = connection.execute("SELECT hash FROM audit WHERE seq = ?", (part.last,)).fetchall()
    audit.append(
        connection,
        audit.ARCHIVED,
        at_us,
        {"from": part.first, "to": part.last, "head": head, "file": part.path.name, "sha256": sha256},
    )
    connection.execute("UPDATE audit_base SET seq = ?, hash = ?", (part.last, head))
    connection.execute("DELETE FROM audit WHERE seq <= ?", (part.last,))


def parts(folder: Path) -> list[Part]:
    """The files in a folder, in order."""
    found = [
        Part(first=int(match[1]), last=int(match[2]), path=each)
        for each in (folder.iterdir() if folder.is_dir() else ())
        if (match := _NAME.fullmatch(each.name))
    ]
    return sorted(found, key=lambda part: part.first)


def records(folder: Path, *, upto: int) -> Iterator[Row]:
    """The records 1 to `upto` of the files in a folder. Raises ArchiveError where one is missing or can't be read."""
    reached = 0
    for part in parts(folder):
        if part.first > upto:
            return  # written, and not taken from the database yet
        if part.first != reached + 1:
            break
        yield from _records(part)
        reached = part.last
    if reached < upto:
        raise ArchiveError(f"the file with record {reached + 1} is not in {folder}")


def _records(part: Part) -> Iterator[Row]:
    try:
        with gzip.open(part.path, "rb") as file:
            for seq, line in enumerate(file, part.first):
                found = msgspec.json.decode(line, type=_Line)
                yield seq, found.record, found.hash
    except (OSError, EOFError, msgspec.DecodeError) as error:
        raise ArchiveError(f"{part.path} can't be read: {error}") from error
