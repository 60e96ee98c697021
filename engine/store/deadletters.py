"""Messages that are no events to a bounded table that operators can look into; the oldest goes first."""

import sqlite3
from typing import Any

import msgspec

from engine.model import Struct

PAYLOAD_BYTES_MAX = 65_536
"""So much of a payload is kept; its whole length is noted."""


class DeadLetter(Struct, frozen=True):
    """A message that could not be taken as an event: where it came from, why, and the beginning of it.

    `content_type`, `properties` (MQTT 5) and `retained` came beside the payload; `proved`: its signature was right.
    """

    at_us: int
    source: str
    topic: str
    reason: str
    payload: bytes
    payload_bytes: int = -1
    id: int = 0
    content_type: str = ""
    properties: tuple[tuple[str, str], ...] = ()
    retained: bool = False
    proved: bool = False

    @property
    def whole(self) -> bool:
        """Whether all of its payload was kept."""
        return self.payload_bytes in {-1, len(self.payload)}


_COLUMNS = "at_us, source, topic, reason, payload_bytes, payload, content_type, properties, retained, proved"
_PROPERTIES = msgspec.json.Decoder(tuple[tuple[str, str], ...])


def put(connection: sqlite3.Connection, letter: DeadLetter, *, kept_max: int) -> None:
    """Keep a letter, and no more than `kept_max` in all."""
    size = letter.payload_bytes if letter.payload_bytes >= 0 else len(letter.payload)
    connection.execute(
        f"INSERT INTO deadletters ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            letter.at_us,
            letter.source,
            letter.topic,
            letter.reason,
            size,
            letter.payload[:PAYLOAD_BYTES_MAX],
            letter.content_type,
            msgspec.json.encode(letter.properties).decode(),
            letter.retained,
            letter.proved,
        ),
    )
    connection.execute(
        "DELETE FROM deadletters WHERE id <= (SELECT id FROM deadletters ORDER BY id DESC LIMIT 1 OFFSET ?)",
        (kept_max,),
    )


def find(connection: sqlite3.Connection, *, limit: int = 1_000) -> list[DeadLetter]:
    """The letters kept, the newest first."""
    rows = connection.execute(f"SELECT id, {_COLUMNS} FROM deadletters ORDER BY id DESC LIMIT ?", (limit,))
    return [_letter(row) for row in rows]


def get(connection: sqlite3.Connection, letter: int) -> DeadLetter | None:
    """One letter by its number, or None."""
    row = connection.execute(f"SELECT id, {_COLUMNS} FROM deadletters WHERE id = ?", (letter,)).fetchone()
    return None if row is None else _letter(row)


def count(connection: sqlite3.Connection) -> int:
    """How many are kept."""
    return int(connection.execute("SELECT count(*) FROM deadletters").fetchone()[0])


def drop(connection: sqlite3.Connection, letter: int | None = None) -> int:
    """Throw one letter away, or all of them; how many went."""
    if letter is None:
        return connection.execute("DELETE FROM deadletters").rowcount
    return connection.execute("DELETE FROM deadletters WHERE id = ?", (letter,)).rowcount


def _letter(row: Any) -> DeadLetter:
    number, at_us, source, topic, reason, size, payload, content_type, properties, retained, proved = row
    return DeadLetter(
        id=number,
        at_us=at_us,
        source=source,
        topic=topic,
        reason=reason,
        payload=payload,
        payload_bytes=size,
        content_type=content_type,
        properties=_PROPERTIES.decode(properties),
        retained=bool(retained),
        proved=bool(proved),
    )
