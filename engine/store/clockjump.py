"""A clock that was set, to everything in the store that was to happen at a time: moved along in one transaction.

`engine.clockwatch` calls it before the daemon shows the new time to anyone. What happened keeps its time; what is to
come (the end of a lease, of a hold, of a deadline, a notice, a watch) keeps its distance from now.
"""

import sqlite3

from engine.store import audit

_MOVED = (
    ("leases", "expires_us", "state <> 'released'"),
    ("timers", "due_us", "true"),
    ("intents", "hold_until_us", "state = 'held' AND hold_until_us IS NOT NULL"),
    ("deadlines", "due_us", "met_us IS NULL"),
    ("notices", "next_us", "state = 'waiting'"),
    ("watches", "until_us", "true"),
    ("seen", "at_us", "true"),
)
"""Table, column, and which rows: those that were over at the time of the jump are moved too, and are over still."""


def move_along(connection: sqlite3.Connection, *, by_us: int, at_us: int) -> None:
    """Move what is to come by `by_us`, with an audit record; `at_us` is the time before the jump."""
    for table, column, which in _MOVED:
        connection.execute(f"UPDATE {table} SET {column} = {column} + ? WHERE {which}", (by_us,))
    audit.append(connection, "clock.jumped", at_us, {"by_us": by_us})
