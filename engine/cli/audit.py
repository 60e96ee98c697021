"""`halon audit verify`: whether the record of what was decided and done is whole."""

from pathlib import Path

import click

from engine.cli.output import emit, say
from engine.cli.setup import Failure, config_option, json_option, read_setup
from engine.operate import views
from engine.store.audit import Anchor
from engine.store.connection import open_readonly
from engine.store.errors import StoreError


@click.group()
def audit() -> None:
    """Verify the audit log, an append-only chain of hashes."""


@audit.command()
@click.option(
    "--anchor", "anchor_text", metavar="RECORD:HASH", help="A head that was noted earlier: it must still be there."
)
@config_option
@json_option
def verify(anchor_text: str | None, config_path: Path | None, *, as_json: bool) -> None:
    """Find an altered, missing or reordered record.

    It reads the database itself, not what a daemon says about it. Keep the printed head elsewhere, and hand it to
    --anchor the next time: then not even who can write the database can cut or rewrite the chain unseen.

    Exit codes: 0 the chain holds, 1 it does not or can't be read, 2 usage.
    """
    anchor = _anchor(anchor_text)
    database = read_setup(config_path).places.database
    try:
        if not database.is_file():
            raise Failure(f"there is no database {database}; name the daemon's config with --config")
        connection = open_readonly(database)
        try:
            report = views.audit_report(connection, anchor=anchor)
        finally:
            connection.close()
    except PermissionError as error:
        raise Failure(f"{database} may not be read by you: use sudo") from error
    except StoreError as error:
        raise Failure(f"the database can't be read: {error}") from error
    if as_json:
        emit(report)
    elif report.ok:
        say(f"ok: the chain of {report.records:,} records holds", "green")
        say(f"head {report.records}:{report.head}")
    else:
        say(f"the audit chain is broken: {report.problem}", "bold red")
        say("keep the database as it is, and compare it with a backup; see docs/operations.md")
    raise SystemExit(0 if report.ok else 1)


def _anchor(text: str | None) -> Anchor | None:
    if text is None:
        return None
    number, _, digest = text.partition(":")
    if not (number.isascii() and number.isdigit() and digest):
        raise click.BadParameter("write the head as it was printed, RECORD:HASH", param_hint="--anchor")
    return Anchor(seq=int(number), hash=digest)
