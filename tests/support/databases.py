"""Databases with the store's schema, for tests of its modules."""

import sqlite3
from pathlib import Path

from engine.store.connection import Connection, connect
from engine.store.migrate import migrate, shipped


def opened(path, migrations=None):
    """A database at `path`, of the shipped schema or of that of these migrations."""
    made = connect(path)
    migrate(made, path, shipped() if migrations is None else migrations)
    return made


def memory():
    """A fresh database that is gone when it is closed."""
    made = sqlite3.connect(":memory:", isolation_level=None, factory=Connection)
    migrate(made, Path(":memory:"), shipped())
    return made
