"""`halon rules`: the rules that are loaded, and what each has come to."""

from pathlib import Path

import click

from engine.cli.daemon import Daemon
from engine.cli.output import duration_text, emit, say, table, time_text
from engine.cli.report import current_rules
from engine.cli.setup import ListGroup, config_option, json_option
from engine.model import RuleId
from engine.operate.rulestats import RuleStats, rule_stats


class StatsGroup(ListGroup):
    """`halon rules` alone means its statistics."""

    default = "stats"


@click.group(cls=StatsGroup)
def rules() -> None:
    """Say what each rule has come to; without a subcommand, its statistics."""


@rules.command()
@config_option
@json_option
def stats(*, config_path: Path | None, as_json: bool) -> None:
    """Show for each rule how often it fired, how often wrongly, how soon it contained, and when it last fired.

    Rules that never fired are listed too: they may be right and lucky, or may never be able to.
    """
    daemon = Daemon(config_path)
    found = daemon.view("/v1/rules/stats", tuple[RuleStats, ...], rule_stats)
    loaded = current_rules(daemon)
    known = {each.rule for each in found}
    never = [RuleStats(rule=RuleId(each)) for each in (loaded.rules if loaded is not None else ()) if each not in known]
    rows = [*found, *never]
    if as_json:
        emit(rows)
        return
    if not rows:
        say("no rules are loaded, and none has fired")
        return
    table(
        ("RULE", ">FIRED", ">OPEN", ">CONTAINED", ">FALSE", ">MEDIAN TO CONTAINED", "LAST"),
        [
            (
                row.rule,
                row.fired,
                row.open,
                row.contained,
                row.false_positives,
                "-" if row.contained_s is None else duration_text(row.contained_s * 1_000),
                time_text(row.last_fired) if row.last_fired else "never",
            )
            for row in rows
        ],
    )
