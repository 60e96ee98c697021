"""The evidence of an incident to rows and back: parts of a few signals, each written until it is full and then left.

Evidence only grows in one life of an incident; when it is opened again its evidence is another.
`engine.store.incidents` is the only caller.
"""

import sqlite3

from engine.model import Incident, IncidentId, Signal
from engine.store.rows import decode_any, encode

PART_LEN = 10
"""Signals of a part."""


def put(connection: sqlite3.Connection, incident: Incident) -> None:
    """Write the signals that are not there yet. Where more are there than are given, they stay."""
    last = connection.execute(
        "SELECT part, life, first, count FROM evidence WHERE incident = ? ORDER BY part DESC LIMIT 1", (incident.id,)
    ).fetchone()
    part = first = 0
    if last is not None:
        part, life, first, count = last
        if life != incident.reopened:
            connection.execute("DELETE FROM evidence WHERE incident = ?", (incident.id,))
            part = first = 0
        elif first + count >= len(incident.signals):
            return
        elif count >= PART_LEN:
            part, first = part + 1, first + count
    rows = []
    for at in range(first, len(incident.signals), PART_LEN):
        signals = incident.signals[at : at + PART_LEN]
        rows.append((incident.id, part, incident.reopened, at, len(signals), encode(signals)))
        part += 1
    connection.executemany(
        "INSERT INTO evidence (incident, part, life, first, count, signals) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (incident, part) DO UPDATE SET count = excluded.count, signals = excluded.signals",
        rows,
    )


def of_incident(connection: sqlite3.Connection, incident: IncidentId) -> tuple[Signal, ...]:
    """All that is kept of an incident, in the order in which it came."""
    rows = connection.execute("SELECT signals FROM evidence WHERE incident = ? ORDER BY part", (incident,))
    return tuple(signal for (signals,) in rows for signal in decode_any(signals, tuple[Signal, ...]))
