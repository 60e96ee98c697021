"""`halon deadletters`: messages that could not be taken for events."""

from pathlib import Path

import click

from engine.cli.daemon import Daemon
from engine.cli.output import emit, fields, say, table, time_text
from engine.cli.setup import ListGroup, config_option, json_option
from engine.operate import views
from engine.operate.contract import DeadLetterDetail, DeadLetterRow

_Number = click.IntRange(min=1, max=2**53)


@click.group(cls=ListGroup)
def deadletters() -> None:
    """List, show and drop messages that could not be taken for events; without a subcommand, list them."""


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
@click.argument("number", type=_Number)
@config_option
@json_option
def drop(number: int, config_path: Path | None, *, as_json: bool) -> None:
    """Forget a dead letter."""
    Daemon(config_path).act(f"/v1/deadletters/{number}/drop", as_json=as_json)
