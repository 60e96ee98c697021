"""`halon map`: a message of a producer to the events that it becomes, or to what keeps it from becoming any."""

import inspect
import sys
from pathlib import Path

import click
import msgspec

from engine.cli.output import emit, note, say, table
from engine.cli.setup import UsageFailure, config_option, json_option, read_setup
from engine.clock import SystemClock
from engine.cloudevents import encode_event
from engine.config import Config, MqttConfig, TopicConfig
from engine.diagnostics import suggest
from engine.intake.contract import DeadLetter, Received
from engine.intake.formats import HTTP, Formats
from engine.intake.producers.table import PRODUCERS
from engine.model import Event, Struct

CLOUDEVENTS = "cloudevents"
STATUS_NOT_TAKEN = 1
_TRIED = "try"


class ProducerView(Struct, frozen=True):
    """What `halon map --json` prints for each format."""

    format: str
    of: str
    events: tuple[str, ...]
    description: str
    connect: str


@click.command(name="map")
@click.argument("format_name", metavar="[FORMAT]", required=False)
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), required=False)
@click.option("--sender", help="As if it came from this entry of http.senders: its format, its map, what it may say.")
@click.option("--topic", help="As if it came by MQTT on this topic; with --broker where there are several.")
@click.option("--broker", help="The name of an [[mqtt]] entry.")
@click.option("--content-type", default="", help="The Content-Type it is sent with.")
@click.option(
    "--header", "headers", multiple=True, metavar="NAME:VALUE", help="A header (or user property) sent along."
)
@config_option
@json_option
def map_(
    format_name: str | None,
    file: Path | None,
    *,
    sender: str | None,
    topic: str | None,
    broker: str | None,
    content_type: str,
    headers: tuple[str, ...],
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Show the events that a message becomes; without FORMAT, list the formats.

    FILE holds one message as its producer sends it, `-` is standard input. The events come as JSON lines, which
    `halon replay` reads. Exit code 1 says that of some of it no event could be made.

    \b
    halon map litellm payload.json
    halon map --sender gateway payload.json
    halon map --topic gpu/node-3 - < page.txt
    """
    if format_name is None and sender is None and topic is None:
        _list(as_json=as_json)
        return
    if sender is not None or topic is not None:
        # The one argument is then the file
        if file is not None:
            raise UsageFailure("name a FORMAT, or a --sender or --topic of the config, not both")
        file = None if format_name is None else Path(format_name)
        config, door, place = _entry(read_setup(config_path).config, sender=sender, topic=topic, broker=broker)
    else:
        assert format_name is not None
        config, door, place = _of_format(format_name)
    if file is None:
        raise UsageFailure("name the FILE that holds the message, or `-` for standard input")
    payload = _read(file)
    received = Received(
        door=door,
        token=0,
        topic=place,
        payload=payload,
        received_us=SystemClock().now_us(),
        size_bytes=len(payload),
        content_type=content_type,
        properties=tuple(map(_header, headers)),
    )
    try:
        formats = Formats(config)
    except ValueError as error:
        raise UsageFailure(str(error)) from None
    _show(formats, received)


def _show(formats: Formats, received: Received) -> None:
    letters = []
    for each in formats.decode(received):
        if isinstance(each, DeadLetter):
            letters.append(each)
        elif isinstance(each, Event):
            sys.stdout.write(encode_event(each).decode() + "\n")
    for letter in letters:
        note(f"no event: {letter.reason}", "red")
    if letters:
        raise click.exceptions.Exit(STATUS_NOT_TAKEN)


def _list(*, as_json: bool) -> None:
    views = [
        ProducerView(
            format=each.name,
            of=each.title,
            events=each.types,
            description=inspect.getdoc(each) or "",
            connect=each.connect.strip(),
        )
        for each in PRODUCERS.values()
    ]
    if as_json:
        emit(views)
        return
    table(("FORMAT", "OF", "~EVENTS"), [(each.format, each.of, ", ".join(each.events)) for each in views])
    told = "docs/producers.md tells how each is connected and shows a message with its events."
    say(f"\n`cloudevents` is taken as it is, `json` by the `map` of its topic or sender. {told}", "dim")


def _of_format(name: str) -> tuple[Config, str, str]:
    """A config of one topic with that format."""
    if name == "json":
        raise UsageFailure("plain JSON is mapped by its topic or sender: name it with --topic or --sender")
    if name not in PRODUCERS and name != CLOUDEVENTS:
        hint = suggest(name, (*PRODUCERS, CLOUDEVENTS)) or "`halon map` lists all"
        raise UsageFailure(f"there is no format `{name}`; {hint}")
    entry = msgspec.convert({"filter": "#", "format": name}, TopicConfig)
    return Config(mqtt=(MqttConfig(name=_TRIED, topics=(entry,)),)), _TRIED, _TRIED


def _entry(config: Config, *, sender: str | None, topic: str | None, broker: str | None) -> tuple[Config, str, str]:
    """The door and topic of an entry of the config. Raises UsageFailure where there is none."""
    if sender is not None:
        names = [each.name for each in config.http.senders]
        if sender not in names:
            hint = suggest(sender, names) or (f"there are: {', '.join(names)}" if names else "it has none")
            raise UsageFailure(f"the config has no sender `{sender}`; {hint}")
        return config, HTTP, f"{HTTP}/{sender}"
    assert topic is not None
    brokers = [each.name for each in config.mqtt]
    if broker is not None and broker not in brokers:
        raise UsageFailure(f"the config has no broker `{broker}`; there are: {', '.join(brokers)}")
    if broker is None and len(brokers) != 1:
        raise UsageFailure(f"name one with --broker: {', '.join(brokers)}")
    return config, broker or brokers[0], topic


def _read(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise UsageFailure(f"can't read {file}: {error.strerror}") from None


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise UsageFailure(f"`{text}` is no header: write NAME:VALUE")
    return name.strip().lower(), value.strip()
