"""What was pinned for an incident: recorded events copied to a row that stays when the ring has gone on.

`engine.store.around` finds them and packs them, in a process of its own; `engine.contain.pinning` has them kept.
"""

import sqlite3
import zlib
from collections.abc import Sequence

import msgspec

from engine.model import Event, IncidentId, Struct

_EVENTS = msgspec.json.Decoder(tuple[Event, ...])


class Pinned(Struct, frozen=True):
    """What was kept for an incident: the events, and how many more there were than may be kept."""

    incident: IncidentId
    at_us: int
    from_us: int
    until_us: int
    events: tuple[Event, ...]
    left_out: int = 0


class Packed(Struct, frozen=True):
    """The same as its row holds it: `body` has so many events."""

    incident: IncidentId
    at_us: int
    from_us: int
    until_us: int
    events: int
    left_out: int
    body: bytes


def pack(pinned: Pinned) -> Packed:
    """The events of an incident to what is written down."""
    return Packed(
        incident=pinned.incident,
        at_us=pinned.at_us,
        from_us=pinned.from_us,
        until_us=pinned.until_us,
        events=len(pinned.events),
        left_out=pinned.left_out,
        body=zlib.compress(msgspec.json.encode(pinned.events), 6),
    )


def keep(connection: sqlite3.Connection, packed: Sequence[Packed], *, kept_bytes_max: int) -> list[IncidentId]:
    """Keep the events of incidents, in place of earlier choices; the incidents that had to give theirs up."""
    connection.executemany(
        "INSERT INTO pinned (incident, at_us, from_us, until_us, events, left_out, bytes, body) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (incident) DO UPDATE SET at_us = excluded.at_us, "
        "from_us = excluded.from_us, until_us = excluded.until_us, events = excluded.events, "
        "left_out = excluded.left_out, bytes = excluded.bytes, body = excluded.body",
        [(p.incident, p.at_us, p.from_us, p.until_us, p.events, p.left_out, len(p.body), p.body) for p in packed],
    )
    (total,) = connection.execute("SELECT coalesce(sum(bytes), 0) FROM pinned").fetchone()
    just_now, gone = {each.incident for each in packed}, []
    oldest_first = connection.execute("SELECT incident, bytes FROM pinned ORDER BY at_us, incident")
    while total > kept_bytes_max and (row := oldest_first.fetchone()) is not None and row[0] not in just_now:
        gone.append(IncidentId(row[0]))
        total -= row[1]
    connection.executemany("DELETE FROM pinned WHERE incident = ?", [(incident,) for incident in gone])
    return gone


def pinned_of(connection: sqlite3.Connection, incident: IncidentId) -> Pinned | None:
    """What was kept for an incident, or None."""
    row = connection.execute(
        "SELECT at_us, from_us, until_us, left_out, body FROM pinned WHERE incident = ?", (incident,)
    ).fetchone()
    if row is None:
        return None
    at_us, from_us, until_us, left_out, body = row
    return Pinned(
        incident=incident,
        at_us=at_us,
        from_us=from_us,
        until_us=until_us,
        events=_EVENTS.decode(zlib.decompress(body)),
        left_out=left_out,
    )
