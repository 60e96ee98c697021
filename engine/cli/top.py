"""`halon top`: the running daemon on one screen that keeps itself current: rates, doors, open incidents, leases."""

import asyncio
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live as Screen
from rich.table import Table
from rich.text import Text

from engine.cli.daemon import Daemon
from engine.cli.output import clean, duration_text, key_text, styled, word
from engine.cli.setup import Failure, config_option
from engine.clock import SystemClock
from engine.model import LeaseState
from engine.operate.client import Client, ClientError
from engine.operate.shown import IncidentRow, LeaseRow, Live, Status, Stored

ROWS_MAX = 10
"""Incidents and leases shown; the rest is counted."""


@click.command()
@click.option("--every", type=click.FloatRange(0.1, 60), default=1.0, show_default=True, help="Seconds between looks.")
@click.option("--count", type=click.IntRange(1), help="End after so many looks; without it, at Ctrl-C.")
@config_option
def top(config_path: Path | None, every: float, count: int | None) -> None:
    """Watch the daemon live: rates, doors, open incidents, what is contained and for how much longer.

    Where the output is no terminal, the screens follow each other; one, unless --count says more.
    """
    client = Client(Daemon(config_path).setup.places.control_socket)
    console, clock = Console(markup=False, highlight=False, emoji=False), SystemClock()
    looks: Iterator[int] = iter(range(count)) if count else itertools.count() if console.is_terminal else iter(range(1))
    try:
        if not console.is_terminal:
            for look in looks:
                if look:
                    asyncio.run(clock.sleep_s(every))
                console.print(_look(client, clock))
            return
        with Screen(console=console, screen=True, auto_refresh=False) as screen:
            for look in looks:
                if look:
                    asyncio.run(clock.sleep_s(every))
                screen.update(_look(client, clock), refresh=True)
    except KeyboardInterrupt:
        sys.exit(0)


def _look(client: Client, clock: SystemClock) -> RenderableType:
    """One screen; where the daemon is away, that: it may come back. Raises Failure where it never will."""
    try:
        status = client.get("/v1/status", Status)
        incidents = client.get("/v1/incidents", tuple[IncidentRow, ...], limit=str(ROWS_MAX))
        leases = client.get("/v1/leases", tuple[LeaseRow, ...], limit=str(ROWS_MAX))
    except ClientError as error:
        return styled(str(error), "bold red")
    if status.live is None:
        raise Failure("the daemon answered without its own figures: it is of another version")
    return screen_of(status.live, status.stored, incidents, leases, now_us=clock.now_us())


def screen_of(
    live: Live, stored: Stored, incidents: tuple[IncidentRow, ...], leases: tuple[LeaseRow, ...], *, now_us: int
) -> RenderableType:
    """What is known at one moment, as one screen."""
    parts: list[RenderableType] = [_head(live, stored), Text(), _doors(live)]
    if incidents:
        rows = [
            (word(each.severity.value), clean(each.incident), clean(key_text(each.key)), word(each.state.value))
            for each in incidents
        ]
        more = sum(count for state, count in stored.incidents.items() if state.value != "closed") - len(rows)
        parts += [Text(), _table(("SEVERITY", "INCIDENT", "KEY", "STATE"), rows, more)]
    if leases:
        held = [
            (
                clean(each.action),
                clean(f"{each.target_kind} {each.target}"),
                word(each.state.value),
                _left(each, now_us),
            )
            for each in leases
        ]
        more = sum(count for state, count in stored.leases.items() if state is not LeaseState.RELEASED) - len(held)
        parts += [Text(), _table(("CONTAINED BY", "TARGET", "STATE", "FOR"), held, more)]
    return Group(*parts)


def _head(live: Live, stored: Stored) -> RenderableType:
    lines = [
        Text.assemble((f"halon {clean(live.version)}", "bold"), f"  pid {live.pid}  mode ", word(live.mode.value)),
        Text(
            f"events {live.events_per_s:,.0f}/s  lag {live.lag_s:.2f} s  in flight {live.in_flight:,}"
            f"  steps {stored.steps_under_way:,} under way, {stored.steps_held:,} held"
            f"  dead letters {stored.deadletters:,}"
        ),
    ]
    if stored.paused is not None:
        lines.append(styled(f"acting is paused by {stored.paused.who}", "bold red"))
    if live.commit_failing:
        lines.append(styled(f"commits fail: {live.commit_failing}", "bold red"))
    if live.rules.error:
        lines.append(styled(f"reload refused: {live.rules.error}", "bold red"))
    return Group(*lines)


def _doors(live: Live) -> RenderableType:
    rows = [
        (
            clean(door.name),
            styled("connected", "green") if door.connected else styled("not connected", "bold red"),
            f"{door.events:,}",
            clean(door.detail),
        )
        for door in live.doors
    ]
    return _table(("DOOR", "STATE", "EVENTS", "DETAIL"), rows)


def _left(lease: LeaseRow, now_us: int) -> str:
    return duration_text(max(0.0, lease.expires.timestamp() * 1_000 - now_us / 1_000))


def _table(columns: tuple[str, ...], rows: Sequence[tuple[str | Text, ...]], more: int = 0) -> RenderableType:
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column, no_wrap=True, overflow="ellipsis")
    for row in rows:
        made.add_row(*row)
    return Group(made, styled(f"… and {more:,} more", "dim")) if more > 0 else made
