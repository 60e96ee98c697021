"""`halon state export|import|check`: the store carried away, brought back, and looked through."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from actions.table import load_catalogue
from engine import staterows
from engine.cli.loading import read_rules
from engine.cli.output import console, emit, note, say
from engine.cli.setup import Failure, Setup, ToldGroup, config_option, json_option, read_audit_key, read_setup
from engine.clock import SystemClock, format_time
from engine.model import Struct
from engine.store import migrate, portable, state
from engine.store.connection import Connection, open_readonly
from engine.store.errors import StoreError, StoreLocked
from engine.store.soundness import Unsound, examine

SHOWN_MAX = 20
"""Sentences about rows of one kind that are printed; the rest is counted."""


class Exported(Struct, frozen=True):
    """What `halon state export --json` prints."""

    file: str
    manifest: portable.Manifest


class Imported(Struct, frozen=True):
    """What `halon state import --json` prints; `before` is where the store before was moved to."""

    database: str
    manifest: portable.Manifest
    before: str = ""


class Checked(Struct, frozen=True):
    """What `halon state check --json` prints."""

    ok: bool
    file: str
    schema: int
    wrong: tuple[Unsound, ...]
    state_rows: int = 0
    begins_anew: tuple[str, ...] = ()


@click.group("state", cls=ToldGroup)
def state_group() -> None:
    """Carry the store away as one file, bring it back, or look through it."""


@state_group.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--overwrite", is_flag=True, help="Write over FILE if it is there.")
@click.option("--unsound", is_flag=True, help="Even if the store is not sound; what is wrong is said.")
@config_option
@json_option
def export(file: Path, config_path: Path | None, *, overwrite: bool, unsound: bool, as_json: bool) -> None:
    """Write the store as it is at one moment to FILE, checked and with its checksum.

    Works while the daemon runs and stops nothing. FILE is complete or not there; it holds evidence, so keep it as safe
    as the store. Evidence below `evidence/`, rules and config are not in it.

    Exit codes: 0 written, 1 not written, 2 usage.
    """
    setup = read_setup(config_path)
    database = _database(setup)
    if file.exists() and not overwrite:
        raise Failure(f"{file} is there already; name another file, or say --overwrite")
    with _told(file), _bar("export") as progress:
        manifest = portable.export(
            database,
            file,
            now_us=SystemClock().now_us(),
            halon=version("halon"),
            unsound=unsound,
            key=read_audit_key(setup),
            progress=progress,
        )
    if as_json:
        emit(Exported(file=str(file), manifest=manifest))
        return
    say(f"{file}: {manifest.bytes / 1e6:,.1f} MB, the store as of {format_time(manifest.created_us)}", "green")
    for each in manifest.unsound:
        note(f"not sound: {each}", "bold red")
    say(f"audit head {manifest.audit_records}:{manifest.audit_head}")


@state_group.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--replace", is_flag=True, help="Take the place of a store that is there; it is kept beside.")
@click.option("--unsound", is_flag=True, help="Even if the store is not sound; what is wrong is said.")
@config_option
@json_option
def import_(file: Path, config_path: Path | None, *, replace: bool, unsound: bool, as_json: bool) -> None:
    """Put an exported store in the place of the daemon's; the daemon must not run.

    FILE is checked first: whole, as it was written, and sound. What happened since it was exported is not in it: events
    that were acknowledged do not come again, and the next start reads every lease back and applies it again if someone
    let go of it meanwhile.

    Exit codes: 0 imported, 1 nothing was changed, 2 usage.
    """
    setup = read_setup(config_path)
    database = setup.places.database
    try:
        with _told(file), _bar("import") as progress:
            manifest, aside = portable.import_(
                file,
                database,
                now_us=SystemClock().now_us(),
                replace=replace,
                unsound=unsound,
                key=read_audit_key(setup),
                progress=progress,
            )
    except FileExistsError as error:
        raise Failure(
            f"{database} is there; say --replace if {file} is to take its place (it is kept beside, not deleted)"
        ) from error
    if as_json:
        emit(Imported(database=str(database), manifest=manifest, before="" if aside is None else str(aside)))
        return
    say(f"{database} is now the store as of {format_time(manifest.created_us)}", "green")
    for each in manifest.unsound:
        note(f"not sound: {each}", "bold red")
    if aside is not None:
        say(f"the one before is kept as {aside}")
    say("start the daemon; it reads every lease back from its target")


@state_group.command("check")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True), required=False)
@config_option
@json_option
def check(file: Path | None, config_path: Path | None, *, as_json: bool) -> None:
    """Look through the store, or through FILE: an export, or a copy of the database.

    Structure, references, schema, audit chain, and whether every row decodes; under the rules that the config names
    also every window and partial match. Reads all of it, and changes nothing; the daemon may run.

    Exit codes: 0 sound, 1 not sound or not readable, 2 usage.
    """
    setup = read_setup(config_path)
    place = file or _database(setup)
    with _told(place):
        if file is not None and portable.is_export(file):
            with _bar("check") as progress, portable.unpacked(file, file.parent, progress=progress) as (_, database):
                found = _check(setup, database, place)
        else:
            found = _check(setup, place, place)
    if as_json:
        emit(found)
    else:
        _print(found)
    raise SystemExit(0 if found.ok else 1)


def _check(setup: Setup, database: Path, place: Path) -> Checked:
    with closing(open_readonly(database)) as connection:
        connection.execute("BEGIN")
        wrong = examine(connection, key=read_audit_key(setup))
        rows = _state_rows(setup, connection) if not wrong else None
        have = migrate.version(connection)
    if rows is not None:
        wrong += [Unsound("state", each) for each in rows.unreadable]
    return Checked(
        ok=not wrong,
        file=str(place),
        schema=have,
        wrong=tuple(wrong),
        state_rows=0 if rows is None else rows.rows,
        begins_anew=() if rows is None else rows.anew,
    )


def _state_rows(setup: Setup, connection: Connection) -> staterows.StateReport | None:
    """The windows and partial matches under the rules in the config; None where these do not load."""
    rules, _ = read_rules(setup.places.rules, load_catalogue().catalogue, setup.config)
    if rules is None:
        note("the rules do not load (`halon check`): windows and partial matches were not opened", "yellow")
        return None
    return staterows.report(state.load(connection), rules)


def _print(found: Checked) -> None:
    if found.ok:
        say(f"ok: {found.file} is sound (schema {found.schema}, {found.state_rows:,} rows of state)", "green")
    else:
        say(f"{found.file} is not sound", "bold red")
    for each in found.wrong[:SHOWN_MAX]:
        say(f"  {each.what}: {each.detail}")
    if len(found.wrong) > SHOWN_MAX:
        say(f"  and {len(found.wrong) - SHOWN_MAX:,} more; --json has them all")
    for anew in found.begins_anew[:SHOWN_MAX]:
        say(f"  begins anew at the next start: {anew}")
    if not found.ok:
        say("keep the file as it is, and look for a backup that is sound; see docs/operations.md")


def _database(setup: Setup) -> Path:
    database = setup.places.database
    try:
        there = database.is_file()
    except PermissionError as error:
        raise Failure(f"{database} may not be read by you: use sudo") from error
    if not there:
        raise Failure(f"there is no database {database}; name the daemon's config with --config")
    return database


@contextmanager
def _told(place: Path) -> Iterator[None]:
    """What goes wrong with files and stores as one sentence."""
    try:
        yield
    except StoreLocked as error:
        raise Failure(f"{error}: `systemctl stop halond`") from error
    except (StoreError, portable.Unsuitable) as error:
        raise Failure(str(error)) from error
    except PermissionError as error:
        raise Failure(f"{error.filename or place} may not be used by you: use sudo") from error
    except FileExistsError:
        raise
    except OSError as error:
        raise Failure(f"{error.filename or place}: {error.strerror or error}") from error


@contextmanager
def _bar(what: str) -> Iterator[portable.Progress]:
    """A bar on standard error where that is a terminal."""
    shown = console(stderr=True)
    if not shown.is_terminal:
        yield portable.silent
        return
    with Progress(TextColumn(what), BarColumn(bar_width=30), DownloadColumn(), console=shown, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
