"""The core's windows and partial matches to rows, and back at start; and single facts such as the core's clock.

Blobs are the core's own affair: each comes with the `digest` of the rule it belongs to and the `version` of its
format, and whoever loads it throws away what does not fit.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from enum import StrEnum

import msgspec

from engine.model import Key, Struct
from engine.store.rows import decode_any, encode


class Space(StrEnum):
    """Which state: windows of signals, or partial matches of rules; the names of the tables."""

    WINDOWS = "windows"
    MATCHES = "matches"


class StateChange(Struct, frozen=True):
    """The state of one (owner, key) after a batch; `state` None: it is gone."""

    owner: str
    key: Key
    digest: str
    state: bytes | None
    version: int = 1


def put(connection: sqlite3.Connection, space: Space, changes: Iterable[StateChange]) -> None:
    """Write what changed, and delete what is gone."""
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


def load(connection: sqlite3.Connection, space: Space) -> Iterator[StateChange]:
    """All states of a space, row by row; use it up inside one `Store.read`."""
    for owner, key, digest, version, state in connection.execute(
        f"SELECT owner, key, digest, version, state FROM {space.value}"
    ):
        yield StateChange(owner=owner, key=decode_any(key, Key), digest=digest, version=version, state=state)


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
