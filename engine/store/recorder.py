"""The flight recorder: the events of the last while as they were judged: what came just before is there afterwards.

One row per committed batch, written in its transaction. A ring: past its bounds of events, bytes and age the oldest
rows go. What belongs to an incident is pinned: copied out before the ring has gone on (`engine.store.around`).
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from engine.clock import SECOND_US
from engine.model import Event, Json, Key, Struct

ROWS_PRUNED_MAX = 8
"""Rows that one batch removes at most: more than it adds, so that smaller bounds are reached in a while."""
DEPTH_MAX = 4
"""How deep in its data a value is looked for."""
VALUES_MAX = 1_000
"""How many values of an event are looked at."""
LOOKED_FOR_MAX = 4
"""Keys whose bytes are looked for one after the other; of more, to read every event once is quicker."""

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(tuple[Event, ...])
_RAWS = msgspec.msgpack.Decoder(tuple[msgspec.Raw, ...])
_EVENT = msgspec.msgpack.Decoder(Event)


class RecorderLimits(Struct, frozen=True):
    """The bounds of the ring; 0 events: nothing is recorded."""

    events_max: int = 100_000
    bytes_max: int = 64 * 1_048_576
    age_us: int = 3_600 * SECOND_US


class Held(Struct, frozen=True):
    """How much the ring holds, and since when."""

    events: int
    bytes: int
    since_us: int | None


def put(connection: sqlite3.Connection, events: Sequence[Event], at_us: int, limits: RecorderLimits) -> None:
    """Record the events of one batch, and let go of what is past the bounds."""
    if not events or not limits.events_max:
        return
    body = _ENCODER.encode(events)
    times = [event.time_us for event in events]
    row = connection.execute("SELECT events_to, bytes_to FROM recorded ORDER BY seq DESC LIMIT 1").fetchone()
    events_to, bytes_to = (row[0] + len(events), row[1] + len(body)) if row else (len(events), len(body))
    connection.execute(
        "INSERT INTO recorded (at_us, first_us, last_us, events, bytes, events_to, bytes_to, body) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (at_us, min(times), max(times), len(events), len(body), events_to, bytes_to, body),
    )
    connection.execute(
        "DELETE FROM recorded WHERE seq IN (SELECT seq FROM (SELECT seq, at_us, events_to - events AS before, "
        "bytes_to - bytes AS bytes_before FROM recorded ORDER BY seq LIMIT ?) "
        "WHERE at_us < ? OR before < ? OR bytes_before < ?) AND seq < last_insert_rowid()",
        (ROWS_PRUNED_MAX, at_us - limits.age_us, events_to - limits.events_max, bytes_to - limits.bytes_max),
    )


def scan(
    connection: sqlite3.Connection,
    *,
    from_us: int | None = None,
    until_us: int | None = None,
    mentioning: Sequence[Sequence[str]] | None = None,
) -> Iterator[tuple[int, Event]]:
    """(arrival, event) of what the ring holds with `from_us` <= time < `until_us`, in the order of arrival.

    With `mentioning`, events that mention all the values of none of these are left out, most of them unread; some that
    do not concern any are still given.
    """
    least, most = -(2**62) if from_us is None else from_us, 2**62 if until_us is None else until_us
    rows = connection.execute(
        "SELECT at_us, body FROM recorded WHERE last_us >= ? AND first_us < ? ORDER BY seq", (least, most)
    )
    wanted = _texts(mentioning)
    for at_us, body in rows:
        for event in _read(body, wanted):
            if least <= event.time_us < most:
                yield at_us, event


def _texts(mentioning: Sequence[Sequence[str]] | None) -> list[list[bytes]] | None:
    """What the bytes of an event must hold to mention all values of one; None where bytes can't tell, or not quickly.

    Texts stand in them as they are. What reads as a number may stand there as one, and tells nothing.
    """
    if mentioning is None or len(mentioning) > LOOKED_FOR_MAX:
        return None
    texts = [[value.encode("utf-8", "surrogatepass") for value in each if not _is_number(value)] for each in mentioning]
    return texts if all(texts) else None


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _read(body: bytes, wanted: list[list[bytes]] | None) -> Iterator[Event]:
    """The events of a row that may be wanted: to look for bytes is a hundred times quicker than to read an event."""
    if wanted is None:
        yield from _DECODER.decode(body)
    elif any(all(text in body for text in each) for each in wanted):
        for raw in _RAWS.decode(body):
            packed = bytes(raw)
            if any(all(text in packed for text in each) for each in wanted):
                yield _EVENT.decode(packed)


def held(connection: sqlite3.Connection) -> Held:
    """How much the ring holds."""
    first = connection.execute(
        "SELECT events_to - events, bytes_to - bytes, at_us FROM recorded ORDER BY seq LIMIT 1"
    ).fetchone()
    if first is None:
        return Held(events=0, bytes=0, since_us=None)
    last = connection.execute("SELECT events_to, bytes_to FROM recorded ORDER BY seq DESC LIMIT 1").fetchone()
    return Held(events=last[0] - first[0], bytes=last[1] - first[1], since_us=first[2])


def concerns(wanted: Iterable[str]) -> Callable[[Event], bool]:
    """Whether an event concerns all of `wanted`: each is its subject, its source, or a value in its data or extensions.

    A key is made by an expression of its signal's, so that its name says nothing about where its value stands.
    """
    values = frozenset(wanted)
    return lambda event: values <= values_of(event)


def of_key(key: Key) -> tuple[str, ...]:
    """The values of a key."""
    return tuple(value for _, value in key)


def values_of(event: Event) -> set[str]:
    """The texts and numbers that an event mentions, as text; at most VALUES_MAX, at most DEPTH_MAX deep."""
    found = {event.source}
    if event.subject is not None:
        found.add(event.subject)
    _gather(event.data, found, DEPTH_MAX)
    _gather(event.ext, found, DEPTH_MAX)
    return found


def _gather(value: Json, found: set[str], depth: int) -> None:
    if len(found) >= VALUES_MAX or depth == 0:
        return
    match value:
        case str():
            found.add(value)
        case bool() | None:
            return
        case int() | float():
            found.add(f"{value:g}" if isinstance(value, float) else str(value))
        case list():
            for each in value:
                _gather(each, found, depth - 1)
        case dict():
            for each in value.values():
                _gather(each, found, depth - 1)
