"""Turns `--config` into a checked config and the places it names, or into an error that says what to do.

Every command starts here. `UsageFailure` ends with exit code 2, `Failure` with 1.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from actions.table import load_catalogue
from engine.action import Catalogue
from engine.config import Config
from engine.configfile import load_config
from engine.detectors.table import DETECTORS
from engine.diagnostics import Diagnostic, has_errors, render
from engine.model import Struct
from engine.rulefile.load import load_rules
from engine.rulefile.rules import RuleSet
from engine.shipped import Places, find_config, find_places

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


class Failure(click.ClickException):
    """It was not done: exit code 1. The message says what to do next."""

    exit_code = 1


class UsageFailure(click.ClickException):
    """Bad usage or bad config: exit code 2."""

    exit_code = 2


class ListGroup(click.Group):
    """A group that means `list` where no subcommand is named: `halon leases --json` is `halon leases list --json`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["list", *args]
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


def read_setup(config_path: Path | None) -> Setup:
    """The config and its places. Raises UsageFailure with all its mistakes."""
    path = find_config(config_path)
    if not path.is_file():
        raise UsageFailure(f"there is no config file {path}: name one with --config, or leave the option out")
    config, found = load_config(path, shown=shown(path), catalogue=load_catalogue().catalogue)
    if config is None:
        raise UsageFailure(f"the config does not load\n\n{render(found)}")
    return Setup(config=config, config_path=path, places=find_places(config, path.parent))


def read_rules(
    paths: tuple[Path, ...], catalogue: Catalogue, config: Config
) -> tuple[RuleSet | None, list[Diagnostic]]:
    """The rules below `paths`, or None and what is wrong with them; `config` has the defaults of steps."""
    return load_rules(
        [Path(shown(path)) for path in paths],
        catalogue=catalogue,
        detectors=DETECTORS,
        step_timeout_us=config.contain.step_timeout,
        step_retries=config.contain.retries,
    )


def require_rules(paths: tuple[Path, ...], catalogue: Catalogue, config: Config) -> RuleSet:
    """The rules below `paths`. Raises UsageFailure with all their mistakes."""
    rules, found = read_rules(paths, catalogue, config)
    if rules is None or has_errors(found):
        raise UsageFailure(f"the rules do not load; `halon check` says the same\n\n{render(found)}")
    return rules


def shown(path: Path) -> str:
    """A path as people know it: relative to where they stand, if it lies below."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
