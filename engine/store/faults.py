"""Faults to counts per (owner, field, class of reason): what `halon status` shows against a rule."""

import sqlite3

from engine.model import Fault, Struct

CLASS_CHARS_MAX = 80
CLASSES_MAX = 20
"""Classes kept per (owner, field); further ones are counted as `other`."""
OTHER = "other"


class FaultCount(Struct, frozen=True):
    """How often one kind of fault was seen, and the last of them."""

    owner: str
    field: str
    kind: str
    count: int
    first_us: int
    last_us: int
    last_reason: str
    last_event: str


def kind_of(reason: str) -> str:
    """The class of a reason: its words before the first colon, without the values that differ from event to event."""
    return reason.partition(":")[0].strip()[:CLASS_CHARS_MAX] or OTHER


def put(connection: sqlite3.Connection, fault: Fault, *, count: int = 1, first_us: int | None = None) -> None:
    """Count a fault that was seen `count` times, at `first_us` (its own time, if not given) for the first time."""
    kind = kind_of(fault.reason)
    since_us = fault.at_us if first_us is None else first_us
    known = connection.execute(
        "SELECT class FROM faults WHERE owner = ? AND field = ?", (fault.owner, fault.field)
    ).fetchall()
    if len(known) >= CLASSES_MAX and (kind,) not in known:
        kind = OTHER
    connection.execute(
        "INSERT INTO faults (owner, field, class, count, first_us, last_us, last_reason, last_event) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (owner, field, class) DO UPDATE SET "
        "count = count + excluded.count, last_us = excluded.last_us, last_reason = excluded.last_reason, "
        "last_event = excluded.last_event",
        (fault.owner, fault.field, kind, count, since_us, fault.at_us, fault.reason[:1_000], fault.event_id),
    )


def find(connection: sqlite3.Connection, *, limit: int = 1_000) -> list[FaultCount]:
    """The faults counted, the latest first."""
    rows = connection.execute(
        "SELECT owner, field, class, count, first_us, last_us, last_reason, last_event FROM faults "
        "ORDER BY last_us DESC, owner, field, class LIMIT ?",
        (limit,),
    )
    return [FaultCount(*row) for row in rows]


def total(connection: sqlite3.Connection) -> int:
    """All faults ever counted."""
    return int(connection.execute("SELECT coalesce(sum(count), 0) FROM faults").fetchone()[0])
