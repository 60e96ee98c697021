"""`halon status`: how the daemon is doing, on one screen."""

from collections.abc import Iterator
from pathlib import Path

import click

from engine.cli.daemon import Daemon
from engine.cli.output import emit, fields, plural, say, styled, table, time_text, word
from engine.cli.setup import config_option, json_option
from engine.clock import SystemClock
from engine.model import IncidentState, LeaseState
from engine.operate import views
from engine.operate.shown import BudgetRow, Live, LoadedRules, Status, Stored
from engine.store.connection import Connection

FAULTS_SHOWN_MAX = 10


@click.command()
@config_option
@json_option
def status(config_path: Path | None, *, as_json: bool) -> None:
    """Show doors, rates, lag, rules, mode, incidents, leases, budgets and faults.

    Where no daemon runs, what its database holds is shown, and a note on standard error says so.
    """
    daemon = Daemon(config_path)
    budgets = daemon.setup.config.guards.budget

    def offline(db: Connection) -> Status:
        return Status(stored=views.stored(db, now_us=SystemClock().now_us(), budgets=budgets))

    found = daemon.view("/v1/status", Status, offline)
    if as_json:
        emit(found)
        return
    if found.live is not None:
        _print_live(found.live)
    else:
        say("halon is not running", "bold red")
    _print_stored(found.stored)


def _print_live(live: Live) -> None:
    say(f"halon {live.version}, pid {live.pid}, up since {time_text(live.started)}", "bold")
    rules = live.rules
    fields(
        [
            ("mode", word(live.mode.value)),
            (
                "rules",
                f"{_extent(rules)}, loaded {time_text(rules.loaded)}",
            ),
            *([("reload refused", styled(rules.error, "bold red"))] if rules.error else []),
            ("events", f"{live.events:,} taken, {live.events_per_s:,.0f}/s, lag {live.lag_s:.2f} s"),
            (
                "in flight",
                f"{live.in_flight:,} of {live.in_flight_max:,} events, {plural(live.steps_running, 'step')} running",
            ),
            *([("commits fail", styled(live.commit_failing, "bold red"))] if live.commit_failing else []),
            *([("for a restart", styled(", ".join(live.restart_needed), "yellow"))] if live.restart_needed else []),
            *([("keys", f"{live.keys_held:,} held, {live.evictions:,} evicted")] if live.keys_held else []),
        ],
        indent=2,
    )
    say()
    table(
        ("DOOR", "?KIND", "STATE", ">EVENTS", "~DETAIL"),
        [
            (
                door.name,
                door.kind,
                styled("connected", "green") if door.connected else styled("not connected", "bold red"),
                f"{door.events:,}",
                door.detail,
            )
            for door in live.doors
        ],
    )


def _extent(rules: LoadedRules) -> str:
    signals, files = plural(rules.signals, "signal"), plural(rules.files, "file")
    return f"{plural(rules.rules, 'rule')}, {signals} from {files}"


def _print_stored(stored: Stored) -> None:
    if stored.paused is not None:
        say(f"\nPAUSED by {stored.paused.who} since {time_text(stored.paused.since)}: no step is taken", "bold red")
        say("`halon resume` lets containment go on")
    if stored.set_aside:
        say(f"\nDAMAGED STORE kept aside: {', '.join(stored.set_aside)}", "bold red")
        say('what it held may not be known to this one: see "When state is lost" in operations.md, then move it away')
    not_closed = {state: count for state, count in stored.incidents.items() if state is not IncidentState.CLOSED}
    in_force = stored.leases.get(LeaseState.IN_FORCE, 0)
    conflicts = stored.leases.get(LeaseState.CONFLICT, 0)
    say()
    fields(
        [
            (
                "incidents",
                ", ".join(f"{count:,} {state.value}" for state, count in not_closed.items()) or "none open",
            ),
            (
                "leases",
                styled(f"{in_force:,} in force, {conflicts:,} in conflict: see `halon leases`", "bold red")
                if conflicts
                else f"{in_force:,} in force",
            ),
            *_looked_after(stored),
            ("steps", f"{stored.steps_under_way:,} under way, {stored.steps_held:,} held"),
            ("dead letters", f"{stored.deadletters:,}"),
        ],
        indent=2,
    )
    if stored.budgets:
        say()
        table(
            ("BUDGET", ">HELD", ">MOST", ">LAST HOUR", ">MOST"),
            [_budget_cells(each) for each in stored.budgets],
        )
    if stored.faults:
        say()
        table(
            (">FAULTS", "OWNER", "FIELD", "?LAST", "~REASON"),
            [
                (f"{each.count:,}", each.owner, each.field, time_text(each.last), each.reason)
                for each in stored.faults[:FAULTS_SHOWN_MAX]
            ],
        )
        if len(stored.faults) > FAULTS_SHOWN_MAX:
            say(f"… and {len(stored.faults) - FAULTS_SHOWN_MAX} more kinds; --json has them", "dim")


def _looked_after(stored: Stored) -> Iterator[tuple[str, object]]:
    """What of incidents is late, which notices failed, and what is watched; nothing where there is none."""
    late = [f"{count:,} to {phase.value}" for phase, count in stored.overdue.items() if count]
    if late:
        yield "overdue", styled(f"{', '.join(late)}: see `halon incidents`", "bold red")
    failed = stored.notices.get("failed", 0)
    if failed:
        yield "notices", styled(f"{failed:,} failed: see `halon incidents show`", "bold red")
    if stored.watched:
        yield "watched", plural(stored.watched, "key")


def _budget_cells(budget: BudgetRow) -> tuple[object, ...]:
    return (
        budget.kind,
        budget.held,
        budget.held_max or "no limit",
        budget.last_hour,
        budget.per_hour_max or "no limit",
    )
