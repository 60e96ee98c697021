"""Deadlines to rows: what is to happen at a wall-clock time, surviving restarts; those missed while down come first."""

import sqlite3

from engine.model import Json, Struct
from engine.store.rows import decode_any, encode

DEADLINE = "deadline:"
"""Names of timers that ask whether a phase of an incident was done in time: `deadline:PHASE:INCIDENT`."""
RELEASE = "release:"
"""Names of timers at which a lease is let go of, once more or at last: `release:LEASE`."""


PIN = "pin:"
"""Names of timers at which the recorded events around an incident are kept: `pin:before:INCIDENT`, `pin:after:…`."""


class Timer(Struct, frozen=True):
    """Something due at a time; a later timer of the same name takes its place."""

    name: str
    due_us: int
    body: dict[str, Json] = {}


def put(connection: sqlite3.Connection, timer: Timer) -> None:
    """Set a timer, in place of one with its name."""
    connection.execute(
        "INSERT INTO timers (name, due_us, body) VALUES (?, ?, ?) "
        "ON CONFLICT (name) DO UPDATE SET due_us = excluded.due_us, body = excluded.body",
        (timer.name, timer.due_us, encode(timer.body)),
    )


def drop(connection: sqlite3.Connection, name: str) -> bool:
    """Take a timer away; False where there was none."""
    return connection.execute("DELETE FROM timers WHERE name = ?", (name,)).rowcount > 0


def due(connection: sqlite3.Connection, now_us: int, *, limit: int = 1_000) -> list[Timer]:
    """Timers whose time has come, in the order of their times."""
    rows = connection.execute(
        "SELECT name, due_us, body FROM timers WHERE due_us <= ? ORDER BY due_us, name LIMIT ?", (now_us, limit)
    )
    return [Timer(name=name, due_us=due_us, body=decode_any(body, dict[str, Json])) for name, due_us, body in rows]


def next_due_us(connection: sqlite3.Connection) -> int | None:
    """When the next timer is due, or None."""
    due_us: int | None = connection.execute("SELECT min(due_us) FROM timers").fetchone()[0]
    return due_us
