"""`halon approve`, `deny`, `pause`, `resume`, `reload`: acts on the running daemon, which records who did them."""

from pathlib import Path

import click

from engine.cli.daemon import Daemon
from engine.cli.setup import config_option, json_option
from engine.operate.client import segment
from engine.operate.contract import Reason

_STEP_HELP = (
    "STEP is a place such as `recover.1`, an action's name, or an intent id, as `halon explain INCIDENT` shows."
)


@click.command(epilog=_STEP_HELP)
@click.argument("incident")
@click.argument("step")
@config_option
@json_option
def approve(incident: str, step: str, config_path: Path | None, *, as_json: bool) -> None:
    """Let a step go ahead that waits for a person."""
    Daemon(config_path).act(f"/v1/incidents/{segment(incident)}/steps/{segment(step)}/approve", as_json=as_json)


@click.command(epilog=_STEP_HELP)
@click.argument("incident")
@click.argument("step")
@click.option("--reason", default="", help="Goes into the audit log.")
@config_option
@json_option
def deny(incident: str, step: str, reason: str, config_path: Path | None, *, as_json: bool) -> None:
    """Refuse a step that waits for a person."""
    path = f"/v1/incidents/{segment(incident)}/steps/{segment(step)}/deny"
    Daemon(config_path).act(path, Reason(reason=reason), as_json=as_json)


@click.command()
@click.option("--reason", default="", help="Goes into the audit log.")
@config_option
@json_option
def pause(reason: str, config_path: Path | None, *, as_json: bool) -> None:
    """Stop all containment: steps are held until `halon resume`; leases stay in force, events are still matched."""
    Daemon(config_path).act("/v1/pause", Reason(reason=reason), as_json=as_json)


@click.command()
@config_option
@json_option
def resume(config_path: Path | None, *, as_json: bool) -> None:
    """Let containment go on, with the steps that were held."""
    Daemon(config_path).act("/v1/resume", as_json=as_json)


@click.command()
@config_option
@json_option
def reload(config_path: Path | None, *, as_json: bool) -> None:
    """Read rules and config again; with a mistake in them, the old ones go on running and the mistakes are shown."""
    Daemon(config_path).act("/v1/reload", as_json=as_json)
