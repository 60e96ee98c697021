"""Numbered SQL scripts to an up-to-date schema, each in one transaction, with a backup before the first of them.

`engine.store.database` calls `migrate` once at opening. `PRAGMA user_version` holds the number of the last script.
"""

import re
import sqlite3
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

from engine.model import Struct
from engine.store.errors import StoreTooNew

BACKUPS_MAX = 3
"""Backups of older schemas that are kept beside the database: of the newest."""
_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


class Migration(Struct, frozen=True):
    """One script: its number, its file name and its SQL."""

    number: int
    name: str
    sql: str


def shipped() -> tuple[Migration, ...]:
    """The scripts that are part of this Halon, in order."""
    folder = resources.files("engine.store") / "migrations"
    found = [
        Migration(number=int(match[1]), name=entry.name, sql=entry.read_text(encoding="utf-8"))
        for entry in folder.iterdir()
        if (match := _NAME.fullmatch(entry.name))
    ]
    scripts = tuple(sorted(found, key=lambda script: script.number))
    assert [script.number for script in scripts] == list(range(1, len(scripts) + 1)), "migrations are not numbered 1..n"
    return scripts


def version(connection: sqlite3.Connection) -> int:
    """The number of the last script that ran on this database; 0 for a new one."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(connection: sqlite3.Connection, path: Path, scripts: Sequence[Migration]) -> Path | None:
    """Run what is missing; returns where the backup was put, if one was needed.

    Raises StoreTooNew where the database knows more scripts than we do, and sqlite3.Error.
    """
    have = version(connection)
    newest = scripts[-1].number
    if have > newest:
        raise StoreTooNew(
            f"{path} has schema {have}, this Halon knows up to {newest}; "
            "install the newer Halon again, or restore the backup that it made before its migration"
        )
    missing = [script for script in scripts if script.number > have]
    if not missing:
        return None
    backup = _back_up(connection, path, have) if have else None
    for script in missing:
        _run(connection, script)
    return backup


def _back_up(connection: sqlite3.Connection, path: Path, have: int) -> Path:
    """A copy beside the database, complete or not there at all."""
    backup = path.with_name(f"{path.name}.schema-{have}.backup")
    partial = backup.with_name(f"{backup.name}.partial")
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    copy = sqlite3.connect(partial)
    try:
        connection.backup(copy)
    finally:
        copy.close()
    partial.replace(backup)
    _prune(path)
    return backup


def _prune(path: Path) -> None:
    """Delete backups of schemas long gone."""
    kept = re.compile(re.escape(path.name) + r"\.schema-(\d+)\.backup")
    found = [(int(match[1]), each) for each in path.parent.iterdir() if (match := kept.fullmatch(each.name))]
    for _, each in sorted(found)[:-BACKUPS_MAX]:
        each.unlink()


def _run(connection: sqlite3.Connection, script: Migration) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in _statements(script.sql):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {script.number}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _statements(sql: str) -> Iterator[str]:
    """The statements one by one: `executescript` would commit the transaction that they share."""
    pending = ""
    for line in sql.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
    assert not pending.strip(), f"unfinished statement in a migration: {pending[:80]}"
