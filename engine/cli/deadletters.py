"""`halon deadletters`: messages that could not be taken for events."""

from pathlib import Path

import click

from engine.cli.daemon import Daemon
from engine.cli.output import emit, fields, note, say, table, time_text
from engine.cli.setup import Failure, ListGroup, config_option, json_option
from engine.operate import views
from engine.operate.shown import DeadLetterDetail, DeadLetterRow

_Number = click.IntRange(min=1, max=2**53)


@click.group(cls=ListGroup)
def deadletters() -> None:
    """List, show, retry and drop messages that could not be taken for events; without a subcommand, list them."""


@deadletters.command("list")
@click.option("--limit", default=100, show_default=True, help="Newest first, at most so many.")
@config_option
@json_option
def list_(*, limit: int, config_path: Path | None, as_json: bool) -> None:
    """List dead letters, newest first."""
    rows = Daemon(config_path).view(
        "/v1/deadletters",
        tuple[DeadLetterRow, ...],
        lambda db: views.deadletters(db, limit=views.limit(str(limit))),
        limit=str(limit),
    )
    if as_json:
        emit(rows)
        return
    if not rows:
        say("no dead letters: every message was an event")
        return
    table(
        (">NUMBER", "AT", "?SOURCE", "~TOPIC", "?>BYTES", "~REASON"),
        [(row.number, time_text(row.at), row.source, row.topic, row.payload_bytes, row.reason) for row in rows],
    )


@deadletters.command()
@click.argument("number", type=_Number)
@config_option
@json_option
def show(number: int, config_path: Path | None, *, as_json: bool) -> None:
    """Show a dead letter with the head of its payload."""
    detail = Daemon(config_path).view(
        f"/v1/deadletters/{number}",
        DeadLetterDetail,
        lambda db: views.deadletter(db, number),
        what=f"dead letter {number}",
    )
    if as_json:
        emit(detail)
        return
    row = detail.row
    fields(
        [
            ("number", row.number),
            ("at", time_text(row.at)),
            ("source", row.source),
            ("topic", row.topic),
            ("reason", row.reason),
            ("bytes", row.payload_bytes),
        ]
    )
    say(f"\npayload ({'hexadecimal' if detail.encoding == 'hex' else detail.encoding}):", "bold")
    say(detail.payload + (" …" if detail.cut else ""))


@deadletters.command()
@click.argument("numbers", nargs=-1, type=_Number)
@click.option("--all", "every", is_flag=True, help="All that are kept, oldest first.")
@config_option
@json_option
def retry(numbers: tuple[int, ...], config_path: Path | None, *, every: bool, as_json: bool) -> None:
    """Take dead letters in again, under the config of now.

    One goes once its events are durable; one that is still no event stays. With --json, a line for each.

    Exit codes: 0 all were taken, 1 some stay, 2 usage.
    """
    _each(numbers, "retry", config_path, every=every, as_json=as_json)


@deadletters.command()
@click.argument("numbers", nargs=-1, type=_Number)
@click.option("--all", "every", is_flag=True, help="All that are kept, oldest first.")
@config_option
@json_option
def drop(numbers: tuple[int, ...], config_path: Path | None, *, every: bool, as_json: bool) -> None:
    """Forget dead letters."""
    _each(numbers, "drop", config_path, every=every, as_json=as_json)


def _each(numbers: tuple[int, ...], act: str, config_path: Path | None, *, every: bool, as_json: bool) -> None:
    """Do it to each; goes on after one that is not done, and ends with exit code 1 then."""
    if bool(numbers) == every:
        raise click.UsageError("name the dead letters by their numbers, or say --all")
    daemon = Daemon(config_path)
    if every:
        rows = daemon.view(
            "/v1/deadletters",
            tuple[DeadLetterRow, ...],
            lambda db: views.deadletters(db, limit=views.LIMIT_MAX),
            limit=str(views.LIMIT_MAX),
        )
        numbers = tuple(sorted(row.number for row in rows))
        if not numbers and not as_json:
            say("no dead letters")
    failed = 0
    for number in numbers:
        try:
            daemon.act(f"/v1/deadletters/{number}/{act}", as_json=as_json)
        except Failure as failure:
            if len(numbers) == 1:
                raise
            note(failure.message, "red")
            failed += 1
    if failed:
        raise Failure(f"{failed} of {len(numbers)} were not done")
