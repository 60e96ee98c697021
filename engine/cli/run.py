"""`halon run`: the daemon, until SIGTERM or SIGINT."""

from pathlib import Path

import click

from engine.app import main as run_daemon
from engine.cli.setup import config_option
from engine.running import Overrides
from engine.shipped import find_config

LEVELS = ("debug", "info", "warning", "error")


class LogLevel(click.ParamType[tuple[str, str]]):
    """`LEVEL`, or `PART=LEVEL`, to (part, level)."""

    name = "level"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """The pair, with an empty part for all; or a usage error."""
        part, _, level = str(value).rpartition("=")
        if level not in LEVELS:
            self.fail(f"{level!r} is none of {', '.join(LEVELS)}", param, ctx)
        return part, level


@click.command()
@config_option
@click.option("--observe", is_flag=True, help="Check every step and record what it would do; act on nothing.")
@click.option(
    "--log-level",
    "log_levels",
    multiple=True,
    type=LogLevel(),
    metavar="[PART=]LEVEL",
    help="Instead of the config's: debug, info, warning or error; of one part, as a line's `logger` names it.",
)
def run(config_path: Path | None, log_levels: tuple[tuple[str, str], ...], *, observe: bool) -> None:
    """Run the daemon in the foreground: subscribe, match, contain.

    Nothing starts while the config or a rule has a mistake; all of them are printed then.

    Exit codes: 0 stopped in order, 1 the rules have errors or a part failed, 2 usage or bad config,
    3 the store was found damaged while it ran: start it anew, which keeps the damaged one aside.
    """
    overrides = Overrides(
        observe=observe,
        log_level=dict(log_levels).get("", ""),
        log_levels=tuple((part, level) for part, level in log_levels if part),
    )
    raise SystemExit(run_daemon(find_config(config_path), overrides))
