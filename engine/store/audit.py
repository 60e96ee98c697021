"""What was decided and done to an append-only chain of hashes; and a chain to the first thing wrong with it.

Every record is written in the transaction of what it records, by the store's own functions and by `engine.contain`.
A record is canonical JSON holding its place (`seq`), time, kind, body, the hash of the record before (`prev`) and
the algorithm of its own hash; with a key the hash is an HMAC, so that nobody without the key can write a new chain.
Triggers refuse to change records, and to delete those that were not archived; `verify` finds it where someone did so
all the same. A chain whose tail was cut off and whose head row was rewritten to match needs the key, or an anchor kept
elsewhere, to be seen.
"""

import hashlib
import hmac
import sqlite3
from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import chain

import msgspec

from engine.model import Json, Struct
from engine.store.connection import Connection
from engine.store.rows import canonical

SHA256 = "sha256"
HMAC_SHA256 = "hmac-sha256"
_UNSIGNED = "a key is set, but no record is signed with it; until the daemon has run with the key once, that is so"


ARCHIVED = "audit.archived"
"""The kind of the record that says up to which one the chain was moved to a file."""

Row = tuple[int, str, str]
"""Place, text and hash of a record, as they are stored."""


class Record(Struct, frozen=True):
    """One audit record, as it is hashed."""

    alg: str
    at_us: int
    body: dict[str, Json]
    kind: str
    prev: str
    seq: int


_records = msgspec.json.Decoder(Record)


class Anchor(Struct, frozen=True):
    """The head of the chain at some moment, to be kept where the database's owner cannot reach it."""

    seq: int
    hash: str


class Breach(StrEnum):
    """What can be wrong with a record."""

    ALTERED = "altered"
    MISSING = "missing"
    REORDERED = "reordered"
    TRUNCATED = "truncated"


class Problem(Struct, frozen=True):
    """The first thing wrong with a chain: at which place, what, and a sentence."""

    seq: int
    breach: Breach
    detail: str


def append(connection: sqlite3.Connection, kind: str, at_us: int, body: dict[str, Json]) -> int:
    """Add a record to the chain, in the transaction that is open; returns its place."""
    seq, prev = connection.execute("SELECT seq, hash FROM audit_head").fetchone()
    key = connection.audit_key if isinstance(connection, Connection) else None
    record = Record(
        alg=SHA256 if key is None else HMAC_SHA256, at_us=at_us, body=body, kind=kind, prev=prev, seq=seq + 1
    )
    text = canonical(record)
    digest = _hash(text, record.alg, key)
    assert digest is not None  # the algorithm was chosen by the key two lines up
    connection.execute("INSERT INTO audit (seq, record, hash) VALUES (?, ?, ?)", (seq + 1, text, digest))
    connection.execute("UPDATE audit_head SET seq = ?, hash = ?", (seq + 1, digest))
    return int(seq) + 1


def anchor(connection: sqlite3.Connection) -> Anchor:
    """The present head of the chain."""
    seq, digest = connection.execute("SELECT seq, hash FROM audit_head").fetchone()
    return Anchor(seq=seq, hash=digest)


def signed_from(connection: sqlite3.Connection) -> int:
    """The first record that is signed with a key; 0 where none is."""
    # Canonical JSON begins with the algorithm, the first of its keys.
    row = connection.execute('SELECT min(seq) FROM audit WHERE record LIKE \'{"alg":"hmac-%\'').fetchone()
    return int(row[0] or 0)


def records(connection: sqlite3.Connection, *, after_seq: int = 0, limit: int = 1_000) -> list[Record]:
    """Up to `limit` records behind `after_seq`, in order."""
    rows = connection.execute("SELECT record FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", (after_seq, limit))
    return [msgspec.json.decode(text, type=Record) for (text,) in rows]


def base(connection: sqlite3.Connection) -> Anchor:
    """The last record that was moved to an archive; the chain in the database begins behind it."""
    try:
        row = connection.execute("SELECT seq, hash FROM audit_base").fetchone()
    except sqlite3.OperationalError:
        row = None  # a schema from before there were archives
    return Anchor(seq=0, hash="") if row is None else Anchor(seq=row[0], hash=row[1])


def verify(
    connection: sqlite3.Connection,
    *,
    key: bytes | None = None,
    anchor: Anchor | None = None,
    archive: Iterable[Row] | None = None,
) -> Problem | None:
    """The first altered, missing, reordered or truncated record; None for a sound chain.

    Without `key`, the hashes of signed records cannot be recomputed; their places and links are checked all the same.
    With `anchor`, the chain must still hold that very record. `archive` gives the records that were moved to files;
    without, the chain is followed from there on, and one of its records must say that they were moved.
    """
    begin = base(connection)
    last, signed, moved = Anchor(seq=0, hash="") if archive is not None else begin, False, Anchor(seq=0, hash="")
    for seq, text, digest in chain(archive or (), _rows(connection)):
        record = _read(text)
        problem = _problem(seq, text, digest, record, last, key, signed=signed)
        if problem is not None:
            return problem
        assert isinstance(record, Record)  # else it was a problem
        if anchor is not None and seq == anchor.seq and digest != anchor.hash:
            return _rewritten(seq)
        signed = signed or record.alg == HMAC_SHA256
        if record.kind == ARCHIVED:
            moved = Anchor(seq=_int(record.body.get("to")), hash=str(record.body.get("head")))
        last = Anchor(seq=seq, hash=digest)
    if begin.seq and moved != begin:
        detail = f"records up to {begin.seq} are not there, and no record says that they were archived"
        return Problem(seq=begin.seq, breach=Breach.TRUNCATED, detail=detail)
    if anchor is not None and anchor.seq == begin.seq and begin.seq and anchor.hash != begin.hash:
        return _rewritten(anchor.seq)
    return _problem_at_end(connection, last, key, anchor, signed=signed)


def _rows(connection: sqlite3.Connection) -> Iterator[Row]:
    yield from connection.execute("SELECT seq, record, hash FROM audit ORDER BY seq")


def _read(text: str) -> Record | str:
    """The record, or why it can't be read."""
    try:
        return _records.decode(text)
    except msgspec.DecodeError as error:
        return str(error)


def _int(value: Json) -> int:
    return value if isinstance(value, int) else 0


def _problem(
    seq: int, text: str, digest: str, record: Record | str, last: Anchor, key: bytes | None, *, signed: bool
) -> Problem | None:
    """What is wrong with one record, given the one before it."""
    if seq != last.seq + 1:
        return Problem(seq=last.seq + 1, breach=Breach.MISSING, detail=f"record {last.seq + 1} is not there")
    if isinstance(record, str):
        return Problem(seq=seq, breach=Breach.ALTERED, detail=f"record {seq} cannot be read: {record}")
    if record.alg not in {SHA256, HMAC_SHA256}:
        return Problem(seq=seq, breach=Breach.ALTERED, detail=f"record {seq} names no known algorithm")
    expected = _hash(text, record.alg, key)
    if expected is not None and not hmac.compare_digest(expected, digest):
        return Problem(seq=seq, breach=Breach.ALTERED, detail=f"record {seq} does not have the hash that it was given")
    if record.seq != seq:
        return Problem(seq=seq, breach=Breach.REORDERED, detail=f"record {record.seq} stands in the place of {seq}")
    if record.prev != last.hash:
        return Problem(seq=seq, breach=Breach.ALTERED, detail=f"record {seq} does not follow from the one before it")
    if signed and record.alg != HMAC_SHA256:
        return Problem(seq=seq, breach=Breach.ALTERED, detail=f"record {seq} is not signed, though earlier ones are")
    return None


def _problem_at_end(
    connection: sqlite3.Connection, last: Anchor, key: bytes | None, anchor: Anchor | None, *, signed: bool
) -> Problem | None:
    row = connection.execute("SELECT seq, hash FROM audit_head").fetchone()
    head = Anchor(seq=row[0], hash=row[1]) if row is not None else None
    expected = max(head.seq if head is not None else 0, anchor.seq if anchor is not None else 0)
    if head is None or expected > last.seq:
        return Problem(
            seq=last.seq + 1, breach=Breach.TRUNCATED, detail=f"the chain ends at {last.seq}; there were {expected}"
        )
    if head != last:
        return Problem(
            seq=last.seq,
            breach=Breach.ALTERED,
            detail=f"the head names record {head.seq}, the chain ends at {last.seq}",
        )
    if key is not None and last.seq and not signed:
        return Problem(seq=last.seq, breach=Breach.ALTERED, detail=_UNSIGNED)
    return None


def _rewritten(seq: int) -> Problem:
    return Problem(seq=seq, breach=Breach.ALTERED, detail=f"record {seq} is not the one that was anchored")


def _hash(text: str, algorithm: str, key: bytes | None) -> str | None:
    """The hash of a record's text; None where it takes a key that is not at hand."""
    data = text.encode("utf-8")
    if algorithm == SHA256:
        return hashlib.sha256(data).hexdigest()
    return hmac.new(key, data, hashlib.sha256).hexdigest() if key is not None else None
