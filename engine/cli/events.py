"""`halon events`: what the flight recorder holds of a key, or around an incident; as JSON lines it is a recording."""

import sys
from pathlib import Path

import click
import msgspec

from engine.cli.daemon import Daemon
from engine.cli.incidents import Length
from engine.cli.output import json_text, note, say, table, time_text
from engine.cli.replay import Time
from engine.cli.setup import UsageFailure, config_option, json_option
from engine.cli.watch import key_of
from engine.clock import format_time, to_datetime
from engine.cloudevents import decode_event
from engine.model import Event
from engine.operate import events as recorded
from engine.operate.shown import RecordedEvents


@click.command()
@click.option(
    "--key", "keys", multiple=True, metavar="NAME=VALUE", help="Only events that mention this value; all of several."
)
@click.option(
    "--around", metavar="INCIDENT", default="", help="Around the opening of an incident, of its key if no --key."
)
@click.option("--all-keys", is_flag=True, help="With --around: of every key.")
@click.option("--before", type=Length(), default="5m", show_default=True, help="With --around: so long before.")
@click.option("--after", type=Length(), default="1m", show_default=True, help="With --around: so long after.")
@click.option("--since", "since_us", type=Time(), help="Only events at or after this time.")
@click.option("--until", "until_us", type=Time(), help="Only events before this time.")
@click.option("--type", "event_type", default="", metavar="TYPE", help="A type, or a prefix such as `training.*`.")
@click.option("--limit", default=1_000, show_default=True, help="At most so many: the nearest, or the newest.")
@config_option
@json_option
def events(
    keys: tuple[str, ...],
    around: str,
    before: int,
    after: int,
    since_us: int | None,
    until_us: int | None,
    event_type: str,
    limit: int,
    config_path: Path | None,
    *,
    all_keys: bool,
    as_json: bool,
) -> None:
    """Show recorded events: of a key, of a type, of a time, or around an incident.

    The recorder keeps the events of the last while ([recorder] in config.toml), whatever they were; those around an
    incident are kept with it. With --json each is a line, so that `halon replay` takes them.
    """
    key = key_of(keys) if keys else None
    if all_keys:
        if key is not None or not around:
            raise UsageFailure("--all-keys goes with --around and without --key")
        key = {}
    query: dict[str, str | None] = {
        "key": None if key is None else json_text(key),
        "around": around or None,
        "before_us": str(before) if around else None,
        "after_us": str(after) if around else None,
        "since": None if since_us is None else format_time(since_us),
        "until": None if until_us is None else format_time(until_us),
        "type": event_type or None,
        "limit": str(limit),
    }
    given = {name: value for name, value in query.items() if value is not None}
    found = Daemon(config_path).view(
        "/v1/events",
        RecordedEvents,
        lambda db: recorded.find(db, recorded.asked(given)),
        what=f"incident `{around}`; `halon incidents list --all` shows what there is",
        **query,
    )
    if as_json:
        for raw in found.events:
            sys.stdout.write(msgspec.json.encode(raw).decode() + "\n")
    else:
        _print(found)
    if found.left_out:
        note(
            f"{found.left_out:,} more are not shown; ask for more with --limit, or for less with --key and --type",
            "yellow",
        )


def _print(found: RecordedEvents) -> None:
    rows = [each for raw in found.events for each in _read(raw)]
    if not rows:
        say("no recorded events; the recorder holds the last while only ([recorder] in config.toml)")
        return
    table(
        ("TIME", "TYPE", "SUBJECT", "?SOURCE", "?ID", "~DATA"),
        [
            (
                time_text(to_datetime(each.time_us)),
                each.type,
                each.subject or "-",
                each.source,
                each.id,
                json_text(each.data),
            )
            for each in rows
        ],
    )


def _read(raw: msgspec.Raw) -> list[Event]:
    decoded = decode_event(bytes(raw), arrived_us=0)
    return decoded if isinstance(decoded, list) else []
