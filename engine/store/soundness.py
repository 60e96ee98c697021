"""A database to all that is wrong with it: structure, references, schema, audit chain, rows that do not decode.

`halon state check` asks, and export and import before they call a copy good. Reads everything, changes nothing.
"""

import sqlite3
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from engine.model import Incident, Intent, Json, Key, Outcome, Plan, Receipt, Signal, Struct
from engine.store import audit, state
from engine.store.errors import StoreCorrupt
from engine.store.migrate import shipped, version

SHOWN_MAX = 20
"""Findings of SQLite's own that are told; one broken page makes thousands."""


class Unsound(Struct, frozen=True):
    """One thing that is wrong: `what` it is about (structure, reference, schema, audit, rows) and a sentence."""

    what: str
    detail: str


def examine(
    connection: sqlite3.Connection, *, key: bytes | None = None, anchor: audit.Anchor | None = None
) -> list[Unsound]:
    """All that is wrong; empty for a sound database. `key` and `anchor` are those of `audit.verify`.

    Where the structure is broken nothing else is asked: its answers would say nothing.
    """
    broken = _structure(connection)
    if broken:
        return broken
    have, known = version(connection), shipped()[-1].number
    if have != known:
        if 0 < have < known:
            return _references(connection)  # an older one, which the next start of the daemon brings up to date
        return [Unsound("schema", f"it is of schema {have}; this Halon knows 1 to {known}")]
    return [*_references(connection), *_chain(connection, key, anchor), *_rows(connection)]


def require_whole(connection: sqlite3.Connection, path: Path) -> None:
    """Raise StoreCorrupt where anything is wrong but the audit chain, which is told at each start besides.

    For a store that damage is suspected of; `connection.require_sound` takes a fraction of the time.
    """
    wrong = _structure(connection) or _references(connection)
    if not wrong and version(connection) == shipped()[-1].number:
        wrong = _rows(connection)
    if wrong:
        raise StoreCorrupt(f"{path} is damaged: {wrong[0].detail}")


def _structure(connection: sqlite3.Connection) -> list[Unsound]:
    try:
        found = [str(row[0]) for row in connection.execute(f"PRAGMA integrity_check({SHOWN_MAX})")]
    except sqlite3.DatabaseError as error:
        found = [str(error)]
    return [] if found == ["ok"] else [Unsound("structure", each) for each in found]


def _references(connection: sqlite3.Connection) -> list[Unsound]:
    """Rows that refer to a row which is not there, by table."""
    counts: dict[tuple[str, str], int] = {}
    for table, _, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        counts[table, parent] = counts.get((table, parent), 0) + 1
    return [
        Unsound(
            "reference", f"{count:,} row{'' if count == 1 else 's'} of {table} refer to {parent} that are not there"
        )
        for (table, parent), count in counts.items()
    ]


def _chain(connection: sqlite3.Connection, key: bytes | None, anchor: audit.Anchor | None) -> list[Unsound]:
    problem = audit.verify(connection, key=key, anchor=anchor)
    if problem is None:
        return []
    return [Unsound("audit", f"{problem.breach.value} at record {problem.seq}: {problem.detail}")]


def _json(wanted: Any) -> Callable[[Any], object]:
    return msgspec.json.Decoder(wanted).decode


def _inflated(body: bytes) -> object:
    return zlib.decompress(body)


DECODED: Mapping[str, tuple[str, Mapping[str, Callable[[Any], object]]]] = {
    "incidents": ("id", {"body": _json(Incident), "key": _json(Key)}),
    "evidence": ("incident", {"signals": _json(tuple[Signal, ...])}),
    "intents": (
        "id",
        {"body": _json(Intent), "plan": _json(Plan), "receipt": _json(Receipt), "outcome": _json(Outcome)},
    ),
    "leases": (
        "id",
        {"labels": _json(dict[str, str]), "params": _json(dict[str, Json]), "receipt": _json(Receipt)},
    ),
    "timers": ("name", {"body": _json(dict[str, Json])}),
    "happenings": ("seq", {"body": _json(dict[str, Json])}),
    "watches": ("key", {"key": _json(Key)}),
    "pinned": ("incident", {"body": _inflated}),
    "windows": ("owner", {"key": _json(Key)}),
    "matches": ("owner", {"key": _json(Key)}),
}
"""By table: the column that names a row, and the columns that must decode, each with what decodes it."""


def _rows(connection: sqlite3.Connection) -> list[Unsound]:
    """Columns that do not decode, by table and column, with the first row."""
    found: dict[tuple[str, str], tuple[int, str]] = {}
    for table, (name, columns) in DECODED.items():
        for row in connection.execute(f"SELECT {name}, {', '.join(columns)} FROM {table}"):
            for (column, decode), value in zip(columns.items(), row[1:], strict=True):
                if value is None:
                    continue
                try:
                    decode(value)
                except (msgspec.DecodeError, zlib.error, TypeError) as error:
                    count, first = found.get((table, column), (0, f"{row[0]}: {error}"))
                    found[table, column] = (count + 1, first)
    try:
        state.paused(connection)
    except msgspec.DecodeError as error:
        found["facts", "paused"] = (1, str(error))
    return [
        Unsound("rows", f"{count:,} of {table} can't be read in `{column}`, the first is {first}")
        for (table, column), (count, first) in found.items()
    ]
