"""Incidents that were closed long ago to nothing: they and all that hangs on them, some at a time."""

import sqlite3

from engine.model import Json
from engine.store import audit

INCIDENTS_AT_ONCE = 50
"""In one transaction, so that nothing waits long for it."""

_HANGING_ON = ("happenings", "deadlines", "notices", "pinned")
"""Tables of which rows name their incident in the column `incident`; evidence goes with it by itself."""


def prune(connection: sqlite3.Connection, *, before_us: int, at_us: int, most: int = INCIDENTS_AT_ONCE) -> int:
    """Delete incidents that were closed before `before_us`, oldest first; how many went.

    One that still holds a lease stays, whatever its age. The audit log keeps what was decided and done, and names the
    incidents that went.
    """
    gone = [
        (name,)
        for (name,) in connection.execute(
            "SELECT id FROM incidents WHERE state = 'closed' AND closed_us < ? "
            "AND NOT EXISTS (SELECT 1 FROM lease_holders WHERE lease_holders.incident = incidents.id) "
            "ORDER BY closed_us LIMIT ?",
            (before_us, most),
        )
    ]
    if not gone:
        return 0
    connection.executemany("DELETE FROM transitions WHERE intent IN (SELECT id FROM intents WHERE incident = ?)", gone)
    connection.executemany("DELETE FROM intents WHERE incident = ?", gone)
    for table in _HANGING_ON:
        connection.executemany(f"DELETE FROM {table} WHERE incident = ?", gone)
    connection.executemany("DELETE FROM incidents WHERE id = ?", gone)
    names: list[Json] = [name for (name,) in gone]
    audit.append(connection, "retention.pruned", at_us, {"incidents": names})
    return len(gone)
