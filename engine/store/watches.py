"""The watch list to rows and back: keys for which stricter thresholds hold for a time (docs/rules.md, `watched`).

The core has its own copy (`engine.watchlist`), which is changed with these rows in one transaction.
"""

import sqlite3
from typing import Any

from engine.model import IncidentId, Json, Key, Struct
from engine.store import audit
from engine.store.rows import decode_any, encode


class Watched(Struct, frozen=True):
    """A key on the watch list: since when, until when, by whom and why; `incident` where it is there after one."""

    key: Key
    since_us: int
    until_us: int
    who: str
    reason: str = ""
    incident: IncidentId | None = None


def put(connection: sqlite3.Connection, watched: Watched) -> None:
    """Put a key on the list; what stood there for it gives way."""
    connection.execute(
        "INSERT INTO watches (key, since_us, until_us, incident, who, reason) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (key) DO UPDATE SET since_us = excluded.since_us, until_us = excluded.until_us, "
        "incident = excluded.incident, who = excluded.who, reason = excluded.reason",
        (
            encode(watched.key),
            watched.since_us,
            watched.until_us,
            watched.incident or "",
            watched.who,
            watched.reason,
        ),
    )
    body: dict[str, Json] = {
        "key": dict(watched.key),
        "until_us": watched.until_us,
        "who": watched.who,
        "reason": watched.reason,
        "incident": watched.incident,
    }
    audit.append(connection, "watch.added", watched.since_us, body)


def drop(connection: sqlite3.Connection, key: Key, *, at_us: int, who: str, reason: str = "") -> bool:
    """Take a key off the list; False where it is not there."""
    gone = connection.execute("DELETE FROM watches WHERE key = ?", (encode(key),)).rowcount > 0
    if gone:
        audit.append(connection, "watch.ended", at_us, {"key": dict(key), "who": who, "reason": reason})
    return gone


def find(connection: sqlite3.Connection, *, limit: int = 10_000) -> list[Watched]:
    """The watch list, what ends first in front."""
    rows = connection.execute(
        "SELECT key, since_us, until_us, who, reason, incident FROM watches ORDER BY until_us, key LIMIT ?", (limit,)
    )
    return [_watched(row) for row in rows]


def ended(connection: sqlite3.Connection, now_us: int) -> list[Watched]:
    """Those whose time is over."""
    rows = connection.execute(
        "SELECT key, since_us, until_us, who, reason, incident FROM watches WHERE until_us <= ? ORDER BY until_us, key",
        (now_us,),
    )
    return [_watched(row) for row in rows]


def _watched(row: tuple[Any, ...]) -> Watched:
    key, since_us, until_us, who, reason, incident = row
    return Watched(
        key=decode_any(key, Key),
        since_us=since_us,
        until_us=until_us,
        who=who,
        reason=reason,
        incident=incident or None,
    )
