"""The core's windows and partial matches to rows, and back at start; and single facts such as the core's clock.

Blobs are the core's own affair: each comes with the `digest` of the rule it belongs to and the `version` of its
format, and whoever loads it throws away what does not fit.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from sys import intern

import msgspec

from engine.model import Key, Struct
from engine.statechange import Space, StateChange
from engine.store.rows import encode

_keys = msgspec.json.Decoder(Key)


def put(connection: sqlite3.Connection, changes: Iterable[StateChange]) -> None:
    """Write what changed, and delete what is gone."""
    by_space: dict[Space, list[StateChange]] = {}
    for change in changes:
        by_space.setdefault(change.space, []).append(change)
    for space, found in by_space.items():
        _put_space(connection, space, found)


def _put_space(connection: sqlite3.Connection, space: Space, changes: Iterable[StateChange]) -> None:
    kept, gone = [], []
    for change in changes:
        key = encode(change.key)
        if change.state is None:
            gone.append((change.owner, key))
        else:
            kept.append((change.owner, key, change.digest, change.version, change.state))
    if kept:
        connection.executemany(
            f"INSERT INTO {space.value} (owner, key, digest, version, state) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (owner, key) DO UPDATE SET "
            "digest = excluded.digest, version = excluded.version, state = excluded.state",
            kept,
        )
    if gone:
        connection.executemany(f"DELETE FROM {space.value} WHERE owner = ? AND key = ?", gone)


def load(connection: sqlite3.Connection) -> Iterator[StateChange]:
    """All states, row by row, in the order in which they were first written; use it up inside one `Store.read`."""
    for space in Space:
        for owner, key, digest, version, state in connection.execute(
            f"SELECT owner, key, digest, version, state FROM {space.value} ORDER BY rowid"
        ):
            # A million keys have a handful of names, owners and digests: each is kept once.
            known = tuple([(intern(name), value) for name, value in _keys.decode(key)])
            yield StateChange(space, intern(owner), known, intern(digest), state, version)


def put_fact(connection: sqlite3.Connection, name: str, body: bytes) -> None:
    """Write a single fact."""
    connection.execute(
        "INSERT INTO facts (name, body) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET body = excluded.body",
        (name, body),
    )


def fact(connection: sqlite3.Connection, name: str) -> bytes | None:
    """A single fact, or None."""
    row = connection.execute("SELECT body FROM facts WHERE name = ?", (name,)).fetchone()
    return None if row is None else bytes(row[0])


def drop_fact(connection: sqlite3.Connection, name: str) -> None:
    """Forget a single fact."""
    connection.execute("DELETE FROM facts WHERE name = ?", (name,))


class Paused(Struct, frozen=True):
    """That acting was paused: by whom and when. Kept as the fact `paused`."""

    who: str
    at_us: int


def paused(connection: sqlite3.Connection) -> Paused | None:
    """Who paused acting, or None while it is allowed."""
    body = fact(connection, "paused")
    return None if body is None else msgspec.json.decode(body, type=Paused)
