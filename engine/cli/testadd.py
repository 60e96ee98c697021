"""`halon test add INCIDENT`: the recorded events of an incident become a rule test."""

from pathlib import Path

import click

from actions.table import load_catalogue
from engine.cli.daemon import Daemon
from engine.cli.loading import require_rules
from engine.cli.output import note, say
from engine.cli.report import fetch
from engine.cli.setup import Failure, UsageFailure, config_option, shown
from engine.review.regression import NoTest, Regression, make_test, passes
from engine.rulefile.rules import RuleSet
from engine.ruletest import SUFFIX


@click.command()
@click.argument("incident")
@click.option("--quiet", is_flag=True, help="It was a false positive: expect that nothing opens.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help=f"Append it there (*{SUFFIX})."
)
@config_option
def add(incident: str, *, quiet: bool, out: Path | None, config_path: Path | None) -> None:
    """Turn the events that were recorded around an incident into a rule test, so that it is never missed again.

    An incident that was closed as a false positive becomes a quiet test by itself. The test goes to standard output, or
    to the end of --out; one that should fire is only written if it does so with the rules as they are.
    """
    if out is not None and not out.name.endswith(SUFFIX):
        raise UsageFailure(f"{shown(out)} is no test file: tests stand in *{SUFFIX}, beside their rules")
    daemon = Daemon(config_path)
    found = fetch(daemon, incident)
    setup = daemon.setup
    rules = require_rules(setup.places.rules, load_catalogue().catalogue, setup.config)
    quiet = quiet or found.detail.incident.resolution.startswith("false")
    try:
        made = make_test(found, rules, quiet=quiet, intake=setup.config.intake)
    except NoTest as error:
        raise Failure(str(error)) from error
    if out is None:
        click.echo(made.text, nl=False)
    else:
        _append(made, out)
    _judge(made, rules, daemon)


def _append(made: Regression, out: Path) -> None:
    try:
        before = out.read_text(encoding="utf-8") if out.exists() else ""
        if f"[test.{made.name}]" in before:
            raise Failure(f"{shown(out)} has `test.{made.name}` already")
        with out.open("a", encoding="utf-8") as file:
            file.write(("\n" if before else "") + made.text)
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"can't write {shown(out)}: {error}") from error
    say(f"wrote `{made.name}` to {shown(out)}; `halon test {shown(out)}` runs it")


def _judge(made: Regression, rules: RuleSet, daemon: Daemon) -> None:
    """Say whether the rules pass it as they are: a quiet one usually does not yet, and that is what to change."""
    result = passes(made, rules, daemon.setup.config.intake)
    if not result.passed:
        note(f"note: the rules do not pass it yet:\n{result.difference}", "yellow")
