"""`halon incidents`: list, show, acknowledge, advance, close, reopen, report and export."""

from pathlib import Path

import click

from engine.cli.daemon import Daemon
from engine.cli.explain import incident_words, print_head, print_steps
from engine.cli.export import export
from engine.cli.life import due_text, print_life, state_text
from engine.cli.output import STYLES, emit, key_text, say, styled, table, time_text, word
from engine.cli.report import report
from engine.cli.setup import ListGroup, config_option, json_option
from engine.clock import parse_duration_us
from engine.model import IncidentState, Resolution
from engine.operate import views
from engine.operate.client import segment
from engine.operate.contract import Advance, Close, Reason
from engine.operate.shown import IncidentDetail, IncidentRow

_STATES = [each.value for each in IncidentState]


class Length(click.ParamType[int]):
    """A length of time such as `5m`, in microseconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Microseconds, or a usage error."""
        if isinstance(value, int):
            return value
        try:
            return parse_duration_us(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.group(cls=ListGroup)
def incidents() -> None:
    """List, show, acknowledge, advance, close and reopen incidents; without a subcommand, list the open ones."""


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
        ("ID", "STATE", "INCIDENT", "~KEY", "?OPENED", "?DUE", "?BY", "?SEVERITY", "?RULE", "?>SIGNALS"),
        [
            (
                row.id,
                state_text(row),
                styled(row.incident, STYLES[row.severity.value]),
                key_text(row.key),
                time_text(row.opened),
                due_text(row.due),
                row.acked_by or "-",
                word(row.severity.value),
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
    """Show one incident: steps, deadlines, what it touches, its story; `halon explain` says why it fired."""
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
    print_life(detail)


@incidents.command()
@click.argument("incident")
@click.option("--reason", default="", help="Goes into the audit log and the incident's story.")
@config_option
@json_option
def ack(incident: str, reason: str, config_path: Path | None, *, as_json: bool) -> None:
    """Say that you look after an incident now; a contained one is then being investigated."""
    Daemon(config_path).act(f"/v1/incidents/{segment(incident)}/ack", Reason(reason=reason), as_json=as_json)


@incidents.command()
@click.argument("incident")
@click.argument("to", type=click.Choice(_STATES), required=False)
@click.option("--reason", default="", help="Why; needed where it is not contained.")
@config_option
@json_option
def advance(incident: str, to: str | None, reason: str, config_path: Path | None, *, as_json: bool) -> None:
    """Move an incident on: to `investigating` or `recovering`, by default to what comes next.

    Moved to `recovering`, its recover steps may be taken, whatever they waited for before.
    """
    wanted = Advance(to=None if to is None else IncidentState(to), reason=reason)
    Daemon(config_path).act(f"/v1/incidents/{segment(incident)}/advance", wanted, as_json=as_json)


@incidents.command()
@click.argument("incident")
@click.option(
    "--resolution",
    required=True,
    type=click.Choice([each.value for each in Resolution]),
    help="How it ended.",
)
@click.option("--reason", default="", help="Goes into the audit log and the incident's story.")
@click.option("--of", "duplicate_of", default="", metavar="INCIDENT", help="Of which one it is a duplicate.")
@click.option("--watch", "watch_us", type=Length(), help="Watch its key so long; 0s: not. Without it, as configured.")
@config_option
@json_option
def close(
    incident: str,
    resolution: str,
    reason: str,
    duplicate_of: str,
    watch_us: int | None,
    config_path: Path | None,
    *,
    as_json: bool,
) -> None:
    """Close an incident; leases that it alone holds are released, the last one first, each read back."""
    wanted = Close(resolution=Resolution(resolution), reason=reason, duplicate_of=duplicate_of, watch_us=watch_us)
    Daemon(config_path).act(f"/v1/incidents/{segment(incident)}/close", wanted, as_json=as_json)


@incidents.command()
@click.argument("incident")
@click.option("--reason", required=True, help="Goes into the audit log and the incident's story.")
@config_option
@json_option
def reopen(incident: str, reason: str, config_path: Path | None, *, as_json: bool) -> None:
    """Open a closed incident again; what it contained is not put back by that."""
    Daemon(config_path).act(f"/v1/incidents/{segment(incident)}/reopen", Reason(reason=reason), as_json=as_json)


incidents.add_command(report)
incidents.add_command(export)
