"""`halon leases`: what is contained now, by which step, until when; and letting go of it."""

from pathlib import Path

import click

from engine.cli.daemon import Daemon
from engine.cli.output import emit, say, table, time_text, word
from engine.cli.setup import ListGroup, config_option, json_option
from engine.operate import views
from engine.operate.client import segment
from engine.operate.contract import Reason
from engine.operate.shown import LeaseRow


@click.group(cls=ListGroup)
def leases() -> None:
    """List what is contained and let go of it; without a subcommand, list what is in force."""


@leases.command("list")
@click.option("--all", "all_", is_flag=True, help="Ended ones too.")
@click.option("--limit", default=100, show_default=True, help="At most so many.")
@config_option
@json_option
def list_(*, all_: bool, limit: int, config_path: Path | None, as_json: bool) -> None:
    """List leases."""
    rows = Daemon(config_path).view(
        "/v1/leases",
        tuple[LeaseRow, ...],
        lambda db: views.leases(db, ended=all_, limit=views.limit(str(limit))),
        ended="true" if all_ else None,
        limit=str(limit),
    )
    if as_json:
        emit(rows)
        return
    if not rows:
        say("no leases" if all_ else "nothing is contained now")
        return
    table(
        ("ID", "STATE", "ACTION", "~TARGET", "?SINCE", "EXPIRES", "?HELD BY", "?>DRIFTS", "?~DETAIL"),
        [
            (
                row.id,
                word(row.state.value),
                row.action,
                f"{row.target_kind}:{row.target}",
                time_text(row.acquired),
                time_text(row.expires),
                " ".join(row.holders),
                row.drifts,
                row.detail,
            )
            for row in rows
        ],
    )


@leases.command()
@click.argument("lease")
@click.option("--reason", default="", help="Goes into the audit log.")
@config_option
@json_option
def release(lease: str, reason: str, config_path: Path | None, *, as_json: bool) -> None:
    """Undo what a lease holds, whoever holds it, and read the target back."""
    Daemon(config_path).act(f"/v1/leases/{segment(lease)}/release", Reason(reason=reason), as_json=as_json)
