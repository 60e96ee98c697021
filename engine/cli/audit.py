"""`halon audit verify|anchor`: whether the record of what was decided and done is whole; its head to keep elsewhere."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click
import msgspec

from engine.cli.output import emit, note, say
from engine.cli.setup import Failure, ToldGroup, config_option, json_option, read_audit_key, read_setup
from engine.model import Struct
from engine.operate import views
from engine.operate.shown import AuditReport
from engine.store import archive
from engine.store import audit as chain
from engine.store.audit import Anchor
from engine.store.connection import Connection, open_readonly
from engine.store.errors import StoreError

ANCHOR_BYTES_MAX = 65_536
HASH_CHARS = 64
"""Of a SHA-256 in hex."""


class Head(Struct, frozen=True):
    """What `halon audit anchor --json` prints; `verify --anchor` takes a file with it."""

    records: int
    head: str


class _Data(msgspec.Struct):
    """The fields that an anchor is read from, in whatever document they stand."""

    records: int = 0
    audit_records: int = 0
    head: str = ""
    audit_head: str = ""


class _Event(_Data):
    """The same in the `data` of an event, as it is published over MQTT."""

    data: _Data | None = None


@click.group(cls=ToldGroup)
def audit() -> None:
    """Verify the audit log, an append-only chain of hashes; print its head."""


@audit.command()
@config_option
@json_option
def anchor(config_path: Path | None, *, as_json: bool) -> None:
    """Print the head of the chain, RECORD:HASH, to be kept where this machine can't change it.

    `halon audit verify --anchor` holds the chain to it later: a tail that was cut off or written anew is found. With
    `anchor_topic` under [audit] the daemon publishes it by itself, retained.

    Exit codes: 0 printed, 1 the database can't be read, 2 usage.
    """
    database = read_setup(config_path).places.database
    with _opened(database) as connection:
        head = chain.anchor(connection)
    if as_json:
        emit(Head(records=head.seq, head=head.hash))
    else:
        say(f"{head.seq}:{head.hash}")


@audit.command()
@click.option(
    "--anchor",
    "anchor_text",
    metavar="RECORD:HASH|FILE",
    help="A head that was noted earlier, or a file with one: it must still be there.",
)
@click.option(
    "--archive",
    "archive_dir",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="Where the records are that retention moved to files; without it STATE_DIR/audit.",
)
@config_option
@json_option
def verify(anchor_text: str | None, archive_dir: Path | None, config_path: Path | None, *, as_json: bool) -> None:
    """Find the first altered, missing, reordered or cut off record.

    It reads the database itself, not what a daemon says about it, and checks the signatures where the config names a
    key. Keep the head elsewhere (`halon audit anchor`), and hand it to --anchor the next time: then not even who can
    write the database can cut or rewrite the chain unseen. FILE may be the output of `halon audit anchor` or `verify`,
    with or without --json, the message published over MQTT, or an export of the store.

    Exit codes: 0 the chain holds, 1 it does not or can't be read, 2 usage.
    """
    kept = None if anchor_text is None else _anchor(anchor_text)
    setup = read_setup(config_path)
    key = read_audit_key(setup)
    with _opened(setup.places.database) as connection:
        begin = chain.base(connection).seq
        folder = archive_dir or setup.places.state_dir / archive.ARCHIVE
        at_hand = bool(begin) and (archive_dir is not None or bool(archive.parts(folder)))
        try:
            report = views.audit_report(
                connection, key=key, anchor=kept, archive=archive.records(folder, upto=begin) if at_hand else None
            )
        except archive.ArchiveError as error:
            raise Failure(f"the archive of the audit log: {error}") from error
    if kept is not None and kept.seq < report.checked_from - 1:
        raise Failure(
            f"record {kept.seq:,} was moved to an archive that is not in {folder}: name its folder with --archive"
        )
    if as_json:
        emit(report)
    else:
        _print(report)
    raise SystemExit(0 if report.ok else 1)


def _print(report: AuditReport) -> None:
    if report.ok:
        say(f"ok: the chain of {report.records:,} records holds", "green")
        say(f"head {report.records}:{report.head}")
    else:
        say(f"the audit chain is broken: {report.problem}", "bold red")
        say("keep the database as it is, and compare it with a backup; see docs/operations.md")
    if report.checked_from > 1:
        note(f"checked from record {report.checked_from:,} on: the archive of those before is not at hand", "yellow")
    if report.signed_from and not report.key:
        note(f"records from {report.signed_from:,} on are signed; without the key that was not checked", "yellow")
    elif report.signed_from > 1:
        note(f"signed from record {report.signed_from:,} on; those before are hashed only", "yellow")


@contextmanager
def _opened(database: Path) -> Iterator[Connection]:
    try:
        if not database.is_file():
            raise Failure(f"there is no database {database}; name the daemon's config with --config")
        with closing(open_readonly(database)) as connection:
            yield connection
    except PermissionError as error:
        raise Failure(f"{database} may not be read by you: use sudo") from error
    except StoreError as error:
        raise Failure(f"the database can't be read: {error}") from error


def _anchor(text: str) -> Anchor:
    """The head in a text or in the file that it names."""
    found = _written(text)
    if found is not None:
        return found
    path = Path(text)
    try:
        with path.open("rb") as file:
            content = file.read(ANCHOR_BYTES_MAX)
    except OSError as error:
        raise click.BadParameter(
            f"{text} is neither a head, RECORD:HASH, nor a file that can be read ({error.strerror})",
            param_hint="--anchor",
        ) from error
    found = _in_document(content)
    if found is None:
        raise click.BadParameter(f"there is no head in {text}", param_hint="--anchor")
    return found


def _written(text: str) -> Anchor | None:
    """`RECORD:HASH`, with the word `head` before it or without."""
    number, _, digest = text.removeprefix("head ").removeprefix("audit head ").strip().partition(":")
    if not (number.isascii() and number.isdigit() and len(digest) == HASH_CHARS and digest.isalnum()):
        return None
    return Anchor(seq=int(number), hash=digest)


def _in_document(content: bytes) -> Anchor | None:
    """The head in JSON of any of the forms that Halon writes, or in a line of text."""
    try:
        event = msgspec.json.decode(content.splitlines()[0] if content.strip() else b"{}", type=_Event)
    except msgspec.DecodeError:
        lines = content.decode("utf-8", "replace").splitlines()
        return next((found for found in map(_written, lines) if found is not None), None)
    data = event.data or event
    records, head = data.records or data.audit_records, data.head or data.audit_head
    return Anchor(seq=records, hash=head) if records and head else None
