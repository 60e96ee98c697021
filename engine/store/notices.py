"""Notices to people as an outbox: written with what they tell of, sent afterwards, tried again, seen where they fail.

`engine.contain.herald` sends them; `halon status`, `halon incidents show` and the metrics show which failed.
"""

import sqlite3
from enum import StrEnum
from typing import Any, Literal

from engine.model import IncidentId, Struct

Level = Literal["info", "success", "warning", "failure"]
"""How urgent it looks at the service that delivers it."""


class NoticeState(StrEnum):
    """Waits to be sent, was taken by its service, or was given up."""

    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"


class Notice(Struct, frozen=True):
    """One notice. `next_us` is when it is tried next; `detail` what the service last said."""

    id: str
    incident: IncidentId
    channel: str
    title: str
    body: str
    level: Level
    state: NoticeState
    made_us: int
    next_us: int
    tries: int = 0
    detail: str = ""


_COLUMNS = "id, incident, channel, title, body, level, state, made_us, next_us, tries, detail"


def put(connection: sqlite3.Connection, notice: Notice) -> bool:
    """Write one to be sent; False where one of its id is known."""
    cursor = connection.execute(
        f"INSERT INTO notices ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
        (
            notice.id,
            notice.incident,
            notice.channel,
            notice.title,
            notice.body,
            notice.level,
            notice.state.value,
            notice.made_us,
            notice.next_us,
            notice.tries,
            notice.detail,
        ),
    )
    return cursor.rowcount > 0


def waiting(connection: sqlite3.Connection, now_us: int, *, limit: int = 100) -> list[Notice]:
    """Those to be sent by now, the longest waiting first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM notices WHERE state = 'waiting' AND next_us <= ? ORDER BY next_us, id LIMIT ?",
        (now_us, limit),
    )
    return [_notice(row) for row in rows]


def change(
    connection: sqlite3.Connection, notice: str, state: NoticeState, *, next_us: int, tries: int, detail: str
) -> None:
    """What became of a try."""
    connection.execute(
        "UPDATE notices SET state = ?, next_us = ?, tries = ?, detail = ? WHERE id = ?",
        (state.value, next_us, tries, detail, notice),
    )


def of_incident(connection: sqlite3.Connection, incident: IncidentId) -> list[Notice]:
    """The notices about an incident, in the order in which they were made."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM notices WHERE incident = ? ORDER BY made_us, id", (incident,))
    return [_notice(row) for row in rows]


def count_by_state(connection: sqlite3.Connection) -> dict[NoticeState, int]:
    """How many stand in each state."""
    counts = dict(connection.execute("SELECT state, count(*) FROM notices GROUP BY state").fetchall())
    return {state: counts.get(state.value, 0) for state in NoticeState}


def _notice(row: tuple[Any, ...]) -> Notice:
    name, incident, channel, title, body, level, state, made_us, next_us, tries, detail = row
    return Notice(
        id=name,
        incident=incident,
        channel=channel,
        title=title,
        body=body,
        level=level,
        state=NoticeState(state),
        made_us=made_us,
        next_us=next_us,
        tries=tries,
        detail=detail,
    )
