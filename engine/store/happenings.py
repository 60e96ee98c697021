"""What happened to an incident besides the moves of its steps: its transitions, people's acts, deadlines, leases.

Written in the transaction of what it tells of; `halon incidents show` and the review make their story of it.
"""

import sqlite3
from collections.abc import Mapping
from enum import StrEnum

from engine.model import IncidentId, Json, Struct
from engine.store.rows import decode_any, encode


class What(StrEnum):
    """What kind of thing happened; the first five are the states of an incident."""

    OPEN = "open"
    CONTAINED = "contained"
    INVESTIGATING = "investigating"
    RECOVERING = "recovering"
    CLOSED = "closed"
    ACKNOWLEDGED = "acknowledged"
    DEADLINE_MISSED = "deadline-missed"
    NOTICE_SENT = "notice-sent"
    NOTICE_FAILED = "notice-failed"
    LEASE = "lease"
    WATCHED = "watched"
    PINNED = "pinned"


class Happening(Struct, frozen=True):
    """One thing that happened: `who` is `halon` or a person; `body` what belongs to its kind."""

    at_us: int
    what: What
    who: str
    reason: str = ""
    body: dict[str, Json] = {}


def put(
    connection: sqlite3.Connection,
    incident: IncidentId,
    what: What,
    *,
    at_us: int,
    who: str = "halon",
    reason: str = "",
    body: Mapping[str, Json] | None = None,
) -> None:
    """Write one down."""
    connection.execute(
        "INSERT INTO happenings (incident, at_us, kind, who, reason, body) VALUES (?, ?, ?, ?, ?, ?)",
        (incident, at_us, what.value, who, reason, encode(dict(body or {}))),
    )


def of_incident(connection: sqlite3.Connection, incident: IncidentId, *, limit: int = 10_000) -> list[Happening]:
    """What happened to an incident, in the order in which it was written, up to `limit`."""
    rows = connection.execute(
        "SELECT at_us, kind, who, reason, body FROM happenings WHERE incident = ? ORDER BY seq LIMIT ?",
        (incident, limit),
    )
    return [
        Happening(at_us=at_us, what=What(kind), who=who, reason=reason, body=decode_any(body, dict[str, Json]))
        for at_us, kind, who, reason, body in rows
    ]
