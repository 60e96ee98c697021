"""`halon run`: the daemon, until SIGTERM or SIGINT."""

from pathlib import Path

import click

from engine.app import main as run_daemon
from engine.cli.setup import config_option
from engine.shipped import find_config


@click.command()
@config_option
@click.option("--observe", is_flag=True, help="Check every step and record what it would do; act on nothing.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="Instead of the config's.")
def run(config_path: Path | None, *, observe: bool, log_level: str | None) -> None:
    """Run the daemon in the foreground: subscribe, match, contain.

    Nothing starts while the config or a rule has a mistake; all of them are printed then.

    Exit codes: 0 stopped in order, 1 the rules have errors or a part failed, 2 usage or bad config.
    """
    raise SystemExit(run_daemon(find_config(config_path), observe=observe, log_level=log_level))
