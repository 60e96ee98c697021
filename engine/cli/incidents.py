"""`halon incidents`: list, show, acknowledge and close."""

from pathlib import Path

import click

from engine.cli.daemon import Daemon
from engine.cli.explain import incident_words, print_head, print_steps
from engine.cli.export import export
from engine.cli.output import STYLES, emit, key_text, say, styled, table, time_text, word
from engine.cli.report import report
from engine.cli.setup import ListGroup, config_option, json_option
from engine.operate import views
from engine.operate.client import segment
from engine.operate.contract import IncidentDetail, IncidentRow, Resolution


@click.group(cls=ListGroup)
def incidents() -> None:
    """List, show, acknowledge and close incidents; without a subcommand, list the open ones."""


@incidents.command("list")
@click.option("--all", "all_", is_flag=True, help="Closed ones too.")
@click.option("--limit", default=100, show_default=True, help="Newest first, at most so many.")
@config_option
@json_option
def list_(*, all_: bool, limit: int, config_path: Path | None, as_json: bool) -> None:
    """List incidents, newest first."""
    state = "all" if all_ else "open"
    rows = Daemon(config_path).view(
        "/v1/incidents",
        tuple[IncidentRow, ...],
        lambda db: views.incidents(db, state=state, limit=views.limit(str(limit))),
        state=state,
        limit=str(limit),
    )
    if as_json:
        emit(rows)
        return
    if not rows:
        say("no incidents" if all_ else "no open incidents; `halon incidents list --all` shows closed ones too")
        return
    table(
        ("ID", "OPENED", "?SEVERITY", "STATE", "INCIDENT", "~KEY", "?RULE", "?>SIGNALS"),
        [
            (
                row.id,
                time_text(row.opened),
                word(row.severity.value),
                word(row.state.value),
                styled(row.incident, STYLES[row.severity.value]),
                key_text(row.key),
                row.rule,
                row.signals,
            )
            for row in rows
        ],
    )


@incidents.command()
@click.argument("incident")
@config_option
@json_option
def show(incident: str, config_path: Path | None, *, as_json: bool) -> None:
    """Show one incident and its steps; `halon explain` says why."""
    detail = Daemon(config_path).view(
        f"/v1/incidents/{segment(incident)}",
        IncidentDetail,
        lambda db: views.incident(db, incident),
        what=incident_words(incident),
    )
    if as_json:
        emit(detail)
        return
    print_head(detail)
    print_steps(detail)


@incidents.command()
@click.argument("incident")
@config_option
@json_option
def ack(incident: str, config_path: Path | None, *, as_json: bool) -> None:
    """Say that you look after an incident now."""
    Daemon(config_path).act(f"/v1/incidents/{segment(incident)}/ack", as_json=as_json)


@incidents.command()
@click.argument("incident")
@click.option("--resolution", required=True, help="resolved, false-positive, … : a word or a sentence.")
@config_option
@json_option
def close(incident: str, resolution: str, config_path: Path | None, *, as_json: bool) -> None:
    """Close an incident; leases that it alone holds are released."""
    path = f"/v1/incidents/{segment(incident)}/close"
    Daemon(config_path).act(path, Resolution(resolution=resolution), as_json=as_json)


incidents.add_command(report)
incidents.add_command(export)
