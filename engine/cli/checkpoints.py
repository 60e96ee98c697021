"""`halon checkpoints`: the checkpoints that `model.restore` may take, and what is known of each. Needs no daemon."""

import getpass
from pathlib import Path

import click

from actions.models.registry import ModelSettings
from engine.cli.output import emit, say, table
from engine.cli.setup import Failure, ListGroup, UsageFailure, config_option, json_option, read_places
from engine.clock import SystemClock, format_time, parse_time_us
from engine.forensics.checkpoints import (
    About,
    Checkpoint,
    Opinion,
    Standing,
    add_checkpoint,
    judge_checkpoint,
    list_checkpoints,
)
from engine.forensics.report import EvidenceError
from engine.model import Struct

_backups_option = click.option(
    "--backups",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help='Folder of MODEL/VERSION; without it, `backups` of [actions."model.restore"] in the config.',
)


class Row(Struct, frozen=True):
    """One checkpoint of one model."""

    model: str
    version: str
    at: str
    standing: Standing
    why: str
    files: int
    size_bytes: int
    sums_sha256: str


@click.group(cls=ListGroup)
def checkpoints() -> None:
    """List, add and judge the checkpoints that models are restored from; without a subcommand, list them."""


@checkpoints.command("list")
@click.argument("model", required=False)
@_backups_option
@config_option
@json_option
def list_(model: str | None, *, backups: Path | None, config_path: Path | None, as_json: bool) -> None:
    """List checkpoints, newest first, each read whole and held against its SHA256SUMS.

    Exit code 1 where one was tampered with. The time is that of the newest data in it, if its checkpoint.json says so.
    """
    folder = _backups(backups, config_path)
    rows = [_row(name, each) for name in _models(folder, model) for each in _attempt(folder / name)]
    if as_json:
        emit(rows)
    elif not rows:
        say(f"no checkpoints below {folder}; `halon checkpoints add` makes one")
    else:
        table(
            ("MODEL", "VERSION", "OF", "STANDING", ">FILES", ">BYTES", "~WHY"),
            [
                (row.model, row.version, row.at, row.standing.value, row.files, f"{row.size_bytes:,}", row.why or "-")
                for row in rows
            ],
        )
    if any(row.standing is Standing.TAMPERED for row in rows):
        raise SystemExit(1)


@checkpoints.command()
@click.argument("model")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--version", required=True, metavar="NAME", help="What to call it; an existing one is never overwritten.")
@click.option("--data-until", default="", metavar="TIME", help="RFC 3339: the newest data that it was trained on.")
@click.option("--note", "remark", default="", metavar="TEXT", help="Kept with it.")
@_backups_option
@config_option
def add(
    model: str,
    folder: Path,
    *,
    version: str,
    data_until: str,
    remark: str,
    backups: Path | None,
    config_path: Path | None,
) -> None:
    """Copy a folder into the backups as a new checkpoint, with its SHA256SUMS and checkpoint.json."""
    for name, what in ((model, "model"), (version, "version")):
        _named(name, what)
    if data_until:
        try:
            parse_time_us(data_until)
        except ValueError as error:
            raise UsageFailure(f"--data-until: {error}") from error
    about = About(made=format_time(SystemClock().now_us()), data_until=data_until, note=remark)
    try:
        made = add_checkpoint(folder, _backups(backups, config_path) / model, version, about=about)
    except EvidenceError as error:
        raise Failure(str(error)) from error
    say(f"{model} {made.version}: {made.files} files, {made.size_bytes:,} bytes, SHA256SUMS {made.sums_sha256}")


@checkpoints.command()
@click.argument("model")
@click.argument("version")
@click.argument("verdict", type=click.Choice(["clean", "contaminated"]))
@click.option("--why", required=True, metavar="TEXT", help="Shown wherever the checkpoint is listed or passed over.")
@_backups_option
@config_option
def judge(model: str, version: str, verdict: str, *, why: str, backups: Path | None, config_path: Path | None) -> None:
    """Say that a checkpoint is clean or contaminated; one that is contaminated is never restored."""
    opinion = Opinion(
        contaminated=verdict == "contaminated", why=why, by=getpass.getuser(), at=format_time(SystemClock().now_us())
    )
    try:
        judge_checkpoint(_backups(backups, config_path) / _named(model, "model"), _named(version, "version"), opinion)
    except EvidenceError as error:
        raise Failure(str(error)) from error
    say(f"{model} {version} is {verdict}: {why}")


def _backups(given: Path | None, config_path: Path | None) -> Path:
    if given is not None:
        return given
    settings = read_places(config_path).config.actions.get("model.restore", {})
    return Path(str(settings.get("backups", ModelSettings().backups)))


def _models(folder: Path, model: str | None) -> list[str]:
    if model is not None:
        return [_named(model, "model")]
    try:
        return sorted(each.name for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    except OSError as error:
        raise Failure(f"{folder}: {error.strerror}; name the folder with --backups") from error


def _attempt(folder: Path) -> list[Checkpoint]:
    try:
        return list_checkpoints(folder)
    except EvidenceError as error:
        raise Failure(str(error)) from error


def _row(model: str, found: Checkpoint) -> Row:
    return Row(
        model=model,
        version=found.version,
        at=format_time(found.time_us),
        standing=found.standing,
        why=found.why,
        files=found.files,
        size_bytes=found.size_bytes,
        sums_sha256=found.sums_sha256,
    )


def _named(name: str, what: str) -> str:
    """A name that is one folder, as the action takes it."""
    if not name or name.startswith(".") or "/" in name or "\0" in name or len(name) > 128:
        raise UsageFailure(f"the {what} must be one name of at most 128 characters, without `/` or a leading dot")
    return name
