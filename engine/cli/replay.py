"""`halon replay`: recorded events through the rules, acting on nothing; and the difference between two rule sets."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import click
import msgspec
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from actions.table import load_catalogue
from engine.cli.live import Pace, feed_live
from engine.cli.loading import require_rules
from engine.cli.output import STYLES, console, emit, json_text, key_text, plural, say, say_hanging, table
from engine.cli.setup import Failure, UsageFailure, config_option, json_option, read_setup
from engine.cli.watch import key_of
from engine.clock import TIME_MAX_US, TIME_MIN_US, SystemClock, parse_time_us
from engine.model import Event, Json, make_key
from engine.operate.client import Client
from engine.replay import Difference, Line, Recording, Replay, Unreadable, compare, encode_line, open_lines
from engine.rulefile.rules import RuleSet

ROWS_MAX = 1_000
"""Incidents and steps in the table; all are counted, and --json has all."""
SPEED_MIN, SPEED_MAX = 0.001, 1_000_000.0
PROGRESS_LINES = 500
"""The bar moves once in so many lines."""


class Time(click.ParamType[int]):
    """An RFC 3339 time stamp."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Microseconds since the epoch, or a usage error."""
        if isinstance(value, int):
            return value
        try:
            return parse_time_us(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Speed(click.ParamType[float]):
    """A factor above 0, or `max` (None)."""

    name = "speed"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float | None:  # type: ignore[override]  # None is `max`
        """The factor, or a usage error."""
        if value == "max":
            return None
        try:
            factor = float(str(value))
        except ValueError:
            factor = 0
        if not SPEED_MIN <= factor <= SPEED_MAX:
            self.fail(f"{value!r} is neither `max` nor a number from {SPEED_MIN:g} to {SPEED_MAX:g}", param, ctx)
        return factor


@click.command()
@click.argument("events", metavar="EVENTS.jsonl", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option(
    "--rules",
    "rules_paths",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    metavar="DIR",
    help="Rules folders or files; without it, the config's.",
)
@click.option(
    "--against",
    "against_paths",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    metavar="DIR",
    help="Show what would change from these rules to the ones above.",
)
@click.option("--live", is_flag=True, help="Feed it to the running daemon instead, which acts on it if --enforce.")
@click.option(
    "--speed", type=Speed(), default="1", metavar="N|max", help="With --live: so many times as fast as it was recorded."
)
@click.option("--keep", is_flag=True, help="With --live: keep ids and times, so that what was seen is not seen again.")
@click.option("--enforce", is_flag=True, help="With --live: allow it while the daemon contains what events match.")
@click.option("--watch", "watched", multiple=True, metavar="NAME=VALUE", help="As if this key were on the watch list.")
@click.option("--since", "since_us", type=Time(), help="Only events at or after this time.")
@click.option("--until", "until_us", type=Time(), help="Only events before this time.")
@config_option
@json_option
def replay(
    events: str,
    rules_paths: tuple[Path, ...],
    against_paths: tuple[Path, ...],
    speed: float | None,
    watched: tuple[str, ...],
    since_us: int | None,
    until_us: int | None,
    config_path: Path | None,
    *,
    live: bool,
    keep: bool,
    enforce: bool,
    as_json: bool,
) -> None:
    """Show what the rules would have done to recorded events; acts on nothing.

    EVENTS.jsonl holds one CloudEvent a line; it may be compressed (.gz), or - for standard input. With --json each
    signal, incident, intent and fault is a line, in order, and the summary is the last.

    With --live the events go to the running daemon instead, at the pace at which they were recorded, with new ids and
    the time of now (`replayof` holds the old id, `replayrun` names the run). A daemon that enforces refuses them
    without --enforce.

    Exit codes: 0 done (--against: no difference), 1 a difference, or the recording is damaged, 2 usage or bad rules.
    """
    if live:
        if rules_paths or against_paths or watched:
            raise UsageFailure(
                "--live asks the running daemon with its own rules: leave --rules, --against and --watch"
            )
        pace = Pace(speed=speed, keep=keep, enforce=enforce)
        _live(events, pace, since_us=since_us, until_us=until_us, config_path=config_path, as_json=as_json)
        return
    if keep or enforce or speed != 1:
        raise UsageFailure("--speed, --keep and --enforce go with --live")
    catalogue = load_catalogue().catalogue
    setup = read_setup(config_path, catalogue)
    rules = require_rules(rules_paths or setup.places.rules, catalogue, setup.config)

    keys = [make_key(key_of((each,))) for each in watched]

    def replayed(chosen: RuleSet, recording: Iterable[Event | Line]) -> Replay:
        config = setup.config
        made = Replay(chosen, recording, limits=config.limits, intake=config.intake, mode=config.guards.mode)
        for key in keys:
            made.core.watch(key, since_us=TIME_MIN_US, until_us=TIME_MAX_US + 1)
        return made

    try:
        if against_paths:
            if events == "-":
                raise UsageFailure("--against reads the recording twice: give a file instead of -")
            before = require_rules(against_paths, catalogue, setup.config)
            with open_lines(events) as first, open_lines(events) as second, _progress(events, passes=2) as move:
                old = Recording(first, since_us=since_us, until_us=until_us)
                new = Recording(second, since_us=since_us, until_us=until_us)
                found = compare(replayed(before, _watched(old, move)), replayed(rules, _watched(new, move, old)))
            raise SystemExit(1 if _print_difference(found, as_json=as_json) else 0)
        with open_lines(events) as file, _progress(events) as move:
            recording = Recording(file, since_us=since_us, until_us=until_us)
            lines = replayed(rules, _watched(recording, move)).lines()
            if as_json:
                for line in lines:
                    sys.stdout.buffer.write(encode_line(line))
                sys.stdout.buffer.flush()
                return
            report = _Report()
            for line in lines:
                report.take(line)
        report.show()
    except Unreadable as error:
        raise Failure(f"{events}: {error}") from error
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise Failure(f"{events} can't be read: {error.strerror or error}") from error


def _live(
    events: str, pace: Pace, *, since_us: int | None, until_us: int | None, config_path: Path | None, as_json: bool
) -> None:
    """Feed the recording to the running daemon."""
    client = Client(read_setup(config_path).places.control_socket)
    try:
        with open_lines(events) as file, _progress(events) as move:
            recording = Recording(file, since_us=since_us, until_us=until_us)
            watched = _watched(recording, move)
            feed_live(client, watched, name=events, pace=pace, as_json=as_json, clock=SystemClock())
    except Unreadable as error:
        raise Failure(f"{events}: {error}") from error
    except OSError as error:
        raise Failure(f"{events} can't be read: {error.strerror or error}") from error


class _Progress:
    """How far the file has been read; a bar on a terminal, nothing elsewhere."""

    def __init__(self, bar: Progress | None, bytes_total: int | None) -> None:
        self._bar = bar
        self._task = bar.add_task("replay", total=bytes_total, lines=0) if bar is not None else None

    def to(self, bytes_read: int, lines: int) -> None:
        """So much has been read."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=bytes_read, lines=lines)


@contextmanager
def _progress(events: str, *, passes: int = 1) -> Iterator[_Progress]:
    """A bar on standard error where that is a terminal; of pipes and compressed files it shows the lines only."""
    shown = console(stderr=True)
    if not shown.is_terminal:
        yield _Progress(None, None)
        return
    total = None if events == "-" or events.endswith(".gz") else Path(events).stat().st_size * passes
    lines = TextColumn("{task.fields[lines]:,} lines")
    rest = () if total is None else (TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn())
    with Progress(TextColumn("replay"), BarColumn(bar_width=30), lines, *rest, console=shown, transient=True) as bar:
        yield _Progress(bar, total)


def _watched(recording: Recording, progress: _Progress, after: Recording | None = None) -> Iterator[Event | Line]:
    """The recording, with the bar moved as it is read; `after` was read before it."""
    for count, each in enumerate(recording):
        if count % PROGRESS_LINES == 0:
            bytes_before, lines_before = (0, 0) if after is None else (after.bytes_read, after.lines)
            progress.to(bytes_before + recording.bytes_read, lines_before + recording.lines)
        yield each


class _Report:
    """What people read at the end: incidents with their steps, signals and faults by kind, and the summary."""

    def __init__(self) -> None:
        self._rows: list[Line] = []
        self._left_out = 0
        self._signals: Counter[str] = Counter()
        self._faults: Counter[tuple[str, str]] = Counter()
        self._summary: dict[str, Json] = {}

    def take(self, line: Line) -> None:
        """Count a line, and keep it if it is shown one by one."""
        fields = line.fields
        match line.kind:
            case "incident" | "intent":
                if len(self._rows) < ROWS_MAX:
                    self._rows.append(line)
                else:
                    self._left_out += 1
            case "signal":
                self._signals[str(fields["signal"])] += 1
            case "fault":
                place = f"{fields['owner']}, {fields['field']}" if "owner" in fields else "not an event"
                self._faults[place, str(fields["reason"])] += 1
            case _:
                self._summary = fields

    def show(self) -> None:
        """Print it all."""
        last: object = None
        for each in self._rows:
            about = each.fields["incident"], each.fields["key"]
            if each.kind == "incident":
                say_hanging(_told(each), STYLES.get(str(each.fields["severity"]), ""), indent=24)
            else:
                whose = "" if about == last else f"  of {about[0]} {key_text(cast('dict[str, str]', about[1]))}"
                say_hanging(f"  {_step_words(each)}{whose}", indent=6)
            last = about
        if self._left_out:
            say(f"… and {self._left_out:,} more; --json has all", "dim")
        if self._signals:
            say()
            table(("SIGNAL", ">COUNT"), [(name, f"{count:,}") for name, count in self._signals.most_common()])
        if self._faults:
            say()
            faults = [(f"{count:,}", *kind) for kind, count in self._faults.most_common(20)]
            table((">FAULTS", "~PLACE", "~REASON"), faults)
        say(f"\n{_counts(self._summary)}", "bold")


def _print_difference(found: Difference, *, as_json: bool) -> bool:
    """What only one of two rule sets made of the same events; whether there is any."""
    differs = bool(found.removed or found.added)
    if as_json:
        emit(
            {
                "differs": differs,
                "removed": [each.fields for each in found.removed],
                "added": [each.fields for each in found.added],
                "before": found.before.fields,
                "after": found.after.fields,
            }
        )
        return differs
    lines = [("-", each) for each in found.removed] + [("+", each) for each in found.added]
    lines.sort(key=lambda pair: str(pair[1].fields.get("at", "")))
    if differs:
        say("- only the rules of --against, + only the others\n", "dim")
    for mark, each in lines[:ROWS_MAX]:
        say_hanging(f"{mark} {_told(each)}", "red" if mark == "-" else "green", indent=6)
    if len(lines) > ROWS_MAX:
        say(f"… and {len(lines) - ROWS_MAX:,} more; --json has all", "dim")
    say("" if differs else "no difference: both rule sets make the same of these events", "" if differs else "green")
    for name, summary in (("before", found.before), ("after", found.after)):
        say(f"{name:6}  {_counts(summary.fields)}", "dim")
    return differs


def _counts(summary: dict[str, Json]) -> str:
    """`5 events, 1 signal`."""
    things = ("event", "fault", "signal", "incident", "intent")
    return ", ".join(plural(cast("int", summary.get(f"{thing}s", 0)), thing) for thing in things)


def _told(line: Line) -> str:
    """One line of output in words."""
    fields = line.fields
    key = key_text(cast("dict[str, str]", fields["key"])) if "key" in fields else ""
    match line.kind:
        case "incident":
            words = f"{fields['incident']}  {fields['severity']}  {key}  by rule {fields['rule']}"
        case "intent":
            words = f"{_step_words(line)}  of {fields['incident']} {key}"
        case "signal":
            value = "" if fields.get("value") is None else f"  value {fields['value']:g}"
            words = f"{fields['signal']}  {key}{value}  event {fields.get('event') or '-'}"
        case _:
            words = msgspec.json.encode({name: each for name, each in fields.items() if name != "kind"}).decode()
    return f"{fields.get('at', '-')}  {line.kind}  {words}"


def _step_words(line: Line) -> str:
    """A step with its verdict, why, and its parameters."""
    fields = line.fields
    why = f" ({fields['reason']})" if fields.get("reason") else ""
    return f"{fields['phase']}  {fields['action']}  {fields['verdict']}{why}  {json_text(fields['params'])}"
