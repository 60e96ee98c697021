"""`halon watch`: the keys that are watched more closely, for which the signals' `watched` parameters hold."""

from pathlib import Path

import click

from engine.cli.daemon import Daemon
from engine.cli.incidents import Length
from engine.cli.output import emit, key_text, say, table, time_text
from engine.cli.setup import ListGroup, UsageFailure, config_option, json_option
from engine.operate import views
from engine.operate.contract import WatchKey
from engine.operate.shown import WatchView


@click.group(cls=ListGroup)
def watch() -> None:
    """List, add and remove keys that are watched more closely; without a subcommand, list them."""


@watch.command("list")
@config_option
@json_option
def list_(config_path: Path | None, *, as_json: bool) -> None:
    """List the keys on the watch list."""
    rows = Daemon(config_path).view("/v1/watch", tuple[WatchView, ...], views.watch_list)
    if as_json:
        emit(rows)
        return
    if not rows:
        say("no key is watched")
        return
    table(
        ("~KEY", "UNTIL", "?SINCE", "BY", "?INCIDENT", "?~REASON"),
        [
            (key_text(row.key), time_text(row.until), time_text(row.since), row.who, row.incident or "-", row.reason)
            for row in rows
        ],
    )


@watch.command()
@click.argument("key", nargs=-1, required=True, metavar="NAME=VALUE…")
@click.option("--for", "length", type=Length(), default="24h", show_default=True, help="So long.")
@click.option("--reason", default="", help="Goes into the audit log.")
@config_option
@json_option
def add(key: tuple[str, ...], length: int, reason: str, config_path: Path | None, *, as_json: bool) -> None:
    """Watch a key more closely: every key that has all of these pairs."""
    wanted = WatchKey(key=key_of(key), for_us=length, reason=reason)
    Daemon(config_path).act("/v1/watch", wanted, as_json=as_json)


@watch.command()
@click.argument("key", nargs=-1, required=True, metavar="NAME=VALUE…")
@click.option("--reason", default="", help="Goes into the audit log.")
@config_option
@json_option
def remove(key: tuple[str, ...], reason: str, config_path: Path | None, *, as_json: bool) -> None:
    """Watch a key no more."""
    Daemon(config_path).act("/v1/unwatch", WatchKey(key=key_of(key), reason=reason), as_json=as_json)


def key_of(texts: tuple[str, ...]) -> dict[str, str]:
    """`("model=m-17", "client=c-1")` to a key. Raises UsageFailure."""
    key: dict[str, str] = {}
    for text in texts:
        name, mark, value = text.partition("=")
        if not (name and mark and value):
            raise UsageFailure(f"`{text}` is no key: write NAME=VALUE, as in `model=m-17`")
        key[name] = value
    return key
