"""Turns `--config` into a checked config and the places it names, or into an error that says what to do.

Every command but `run` starts here. `UsageFailure` ends with exit code 2, `Failure` with 1.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from engine.action import Catalogue
from engine.cli.output import note
from engine.config import Config
from engine.configfile import load_config, load_places
from engine.diagnostics import render
from engine.intake.secretfile import read_secret
from engine.model import Struct
from engine.shipped import Places, anchor, find_config, find_places

_SENTENCE_CHARS_MAX = 400

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


class Failure(click.ClickException):
    """It was not done: exit code 1. The message says what to do next."""

    exit_code = 1


class UsageFailure(click.ClickException):
    """Bad usage or bad config: exit code 2."""

    exit_code = 2


class ToldGroup(click.Group):
    """A group whose help says the whole first sentence of each subcommand, over several lines where it has to."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, each.get_short_help_str(limit=_SENTENCE_CHARS_MAX)) for name, each in found if each is not None]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class ListGroup(ToldGroup):
    """A group that means `list` where no subcommand is named: `halon leases --json` is `halon leases list --json`."""

    default = "list"
    """The subcommand that is meant."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # Where a shell asks for completions nothing is meant yet: the subcommands are what may follow.
        named = args and not (args[0].startswith("-") and args[0] not in ctx.help_option_names)
        if not named and not ctx.resilient_parsing:
            args = [self.default, *args]
        return super().parse_args(ctx, args)


class Setup(Struct, frozen=True):
    """The config that was read, the file it came from, and the places that it names."""

    config: Config
    config_path: Path
    places: Places


def config_option(function: FunctionT) -> FunctionT:
    """`--config FILE`."""
    return click.option(
        "--config",
        "config_path",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Config file; without it ./config.toml, /etc/halon/config.toml, or the shipped one.",
    )(function)


def json_option(function: FunctionT) -> FunctionT:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(function)


def read_setup(config_path: Path | None, catalogue: Catalogue | None = None) -> Setup:
    """The config and its places. Raises UsageFailure with all its mistakes.

    The tables of single actions are checked where the catalogue is given; commands that only ask for a path do without,
    since importing every action takes longer than all the rest.
    """
    path = find_config(config_path)
    if not path.is_file():
        raise UsageFailure(f"there is no config file {path}: name one with --config, or leave the option out")
    config, found = load_config(path, shown=shown(path), catalogue=catalogue)
    if config is None:
        raise UsageFailure(f"the config does not load\n\n{render(found)}")
    return Setup(config=config, config_path=path, places=find_places(config, path.parent))


def read_places(config_path: Path | None) -> Setup:
    """The same for commands that speak to the daemon: of a config with mistakes they take what names its places.

    Whoever has just broken the config must still be able to pause. Raises UsageFailure where no place can be told.
    """
    path = find_config(config_path)
    try:
        return read_setup(config_path)
    except UsageFailure:
        config = load_places(path) if path.is_file() else None
        if config is None:
            raise
    note(f"note: {shown(path)} has mistakes, `halon check` shows them; only its places are used here", "yellow")
    return Setup(config=config, config_path=path, places=find_places(config, path.parent))


def read_audit_key(setup: Setup) -> bytes | None:
    """The key of the audit chain, where the config names one. Raises Failure where it can't be read."""
    config = anchor(setup.config, setup.config_path.parent)
    if not config.audit.key_file:
        return None
    try:
        return read_secret(config.audit.key_file).encode()
    except PermissionError as error:
        raise Failure(f"the audit key {error.filename} may not be read by you: use sudo") from error
    except (OSError, ValueError) as error:
        raise Failure(f"the audit key: {error}") from error


def shown(path: Path) -> str:
    """A path as people know it: relative to where they stand, if it lies below."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
