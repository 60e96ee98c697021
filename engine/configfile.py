"""config.toml to a `Config`, or to every mistake in it with its place; `engine.app` and `halon check` call this.

What a key means and its default stand in `engine.config`; what can only be seen across keys is checked here. Nothing
is half loaded: with one error there is no config.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from engine.action import Catalogue
from engine.cel.declare import ScopeKind
from engine.cel.environment import CelEnvironment
from engine.cel.report import cel_diagnostics
from engine.cel.runtime import Want
from engine.config import Config, EventMap, MqttConfig
from engine.diagnostics import Diagnostic, Note, error, quoted, suggest
from engine.structread import read_struct
from engine.tomlfile import KeyPath, TomlFile, read_toml

RESERVED_NAMES = frozenset(("halon", "http", "operator"))
"""Doors that no broker may be named like: see engine.intake."""
_TOPIC_LEVEL = re.compile(r"[^+#\x00]*|\+")


def load_config(
    path: Path | None, *, shown: str | None = None, catalogue: Catalogue | None = None
) -> tuple[Config | None, list[Diagnostic]]:
    """The config at `path` (None: the defaults), or None and all that is wrong with it.

    `shown` is the path as people know it. With a `catalogue` the tables `[actions."NAME"]` are checked too.
    """
    if path is None:
        return Config(), []
    file = read_toml(path, shown)
    if isinstance(file, Diagnostic):
        return None, [file]
    return check_config(file, catalogue=catalogue)


def load_places(path: Path) -> Config | None:
    """A config with the tables alone that say where the daemon's files are; None where these have mistakes too."""
    file = read_toml(path)
    if isinstance(file, Diagnostic):
        return None
    table = {name: file.table[name] for name in ("daemon", "store") if name in file.table}
    config, found = read_struct(Config, table, file, (), what="the config")
    return None if found else config


def check_config(file: TomlFile, *, catalogue: Catalogue | None = None) -> tuple[Config | None, list[Diagnostic]]:
    """The config that a read file spells, or None and all that is wrong with it."""
    config, found = read_struct(Config, file.table, file, (), what="the config")
    found += _brokers(file)
    found += _senders(file)
    found += _expressions(file)
    if catalogue is not None:
        found += _actions(file, catalogue)
    return (None if found else config), found


def resolve_path(written: str, config_path: Path | None) -> Path:
    """A path of config.toml: relative ones start at the file's folder (None: at the working directory)."""
    base = config_path.parent if config_path is not None else Path()
    return base / Path(written).expanduser()


def _brokers(file: TomlFile) -> list[Diagnostic]:
    """What only two keys together show: names used twice, topics whose `format` and `map` do not fit."""
    found: list[Diagnostic] = []
    names: dict[str, KeyPath] = {}
    for index, broker in enumerate(_list(file.table.get("mqtt"))):
        if not isinstance(broker, dict):
            continue
        place: KeyPath = ("mqtt", index, "name") if "name" in broker else ("mqtt", index)
        name = broker.get("name", MqttConfig().name)
        if isinstance(name, str) and name in RESERVED_NAMES:
            found.append(
                error(
                    "H060",
                    f"{quoted(name)} is the name of a door of Halon's own",
                    file.value(place),
                    label="taken",
                    help="give the broker another `name`",
                )
            )
        elif isinstance(name, str) and name in names:
            found.append(
                error(
                    "H060",
                    f"two brokers have the name {quoted(name)}",
                    file.value(place),
                    label="used again here",
                    help="give each `[[mqtt]]` a `name` of its own",
                    notes=(Note(span=file.value(names[name]), label="first used here"),),
                )
            )
        elif isinstance(name, str):
            names[name] = place
        found += _protocol(broker, file, ("mqtt", index))
        for at, topic in enumerate(_list(broker.get("topics"))):
            if isinstance(topic, dict):
                found += _topic(topic, file, ("mqtt", index, "topics", at))
    return found


def _senders(file: TomlFile) -> list[Diagnostic]:
    """The same of the senders of the HTTP door."""
    found: list[Diagnostic] = []
    for index, sender in enumerate(_list(_at(file.table, ("http", "senders")))):
        if isinstance(sender, dict):
            found += _format(sender, file, ("http", "senders", index), what="sender")
    return found


def _protocol(broker: dict[str, object], file: TomlFile, path: KeyPath) -> list[Diagnostic]:
    """Keys that MQTT 3.1.1 does not know."""
    if broker.get("protocol", MqttConfig().protocol) == "5":
        return []
    found: list[Diagnostic] = []
    if broker.get("client") == "mqtt5":
        found.append(
            error(
                "H063",
                'the client `mqtt5` needs `protocol = "5"`',
                file.value((*path, "client")),
                label="speaks MQTT 5 alone",
                help='add `protocol = "5"`, or leave `client` at `"aiomqtt"`, which speaks both',
            )
        )
    if broker.get("packet_bytes_max"):
        found.append(
            error(
                "H063",
                '`packet_bytes_max` needs `protocol = "5"`',
                file.value((*path, "packet_bytes_max")),
                label="MQTT 3.1.1 has no word for it",
                help='add `protocol = "5"`, or remove it',
            )
        )
    return found


def _expressions(file: TomlFile) -> list[Diagnostic]:
    """What is wrong with the CEL of the config: the protected targets, and the `map` of each topic."""
    cel = CelEnvironment({})
    found: list[Diagnostic] = []
    for path, source, scope, want in _sources(file.table):
        made = cel.compile(source, scope=scope, want=want)
        if isinstance(made, tuple):
            found += cel_diagnostics(made, file, path, quoted(path[-1]))
    return found


def _sources(table: dict[str, object]) -> Iterator[tuple[KeyPath, str, ScopeKind, Want]]:
    """Each CEL text of the config that is not empty, with its place and what it must be."""
    protected = _at(table, ("guards", "protected"))
    if isinstance(protected, str) and protected:
        yield ("guards", "protected"), protected, ScopeKind.TARGET, Want.BOOL
    for index, broker in enumerate(_list(_at(table, ("mqtt",)))):
        for at, topic in enumerate(_list(_at(broker, ("topics",)))):
            yield from _mapped(topic, ("mqtt", index, "topics", at, "map"))
    for index, sender in enumerate(_list(_at(table, ("http", "senders")))):
        yield from _mapped(sender, ("http", "senders", index, "map"))


def _mapped(entry: object, path: KeyPath) -> Iterator[tuple[KeyPath, str, ScopeKind, Want]]:
    """Each CEL text of the `map` of a topic or sender; what they have to be `engine.intake.mapping` says too."""
    mapped = _at(entry, ("map",))
    for name, source in mapped.items() if isinstance(mapped, dict) else ():
        if name in EventMap.__struct_fields__ and isinstance(source, str) and source:
            want = Want.STRING if name in ("type", "source") else Want.ANY
            yield (*path, name), source, ScopeKind.MESSAGE, want


def _at(value: object, path: tuple[str, ...]) -> object:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _topic(topic: dict[str, object], file: TomlFile, path: KeyPath) -> list[Diagnostic]:
    found = _format(topic, file, path, what="topic")
    wanted = topic.get("filter")
    if isinstance(wanted, str) and wanted and not _is_topic_filter(wanted):
        found.append(
            error(
                "H062",
                f"{quoted(wanted)} is not a topic filter",
                file.value((*path, "filter")),
                label="`+` and `#` each stand alone between slashes, `#` last",
                help="write for example `halon/events/#` or `site/+/metrics`",
            )
        )
    return found


def _format(entry: dict[str, object], file: TomlFile, path: KeyPath, *, what: str) -> list[Diagnostic]:
    """Whether the `format` and the `map` of a topic or sender go together."""
    plain = entry.get("format", "cloudevents") == "json"
    if plain and "map" not in entry:
        return [
            error(
                "H061",
                f'a {what} with `format = "json"` needs a `map`',
                file.value((*path, "format")),
                label="plain JSON has no type of event",
                help="add `map = { type = \"'my.type'\" }`: CEL over `topic` and `payload` for each attribute",
            )
        ]
    if not plain and "map" in entry:
        return [
            error(
                "H061",
                f'`map` is for {what}s with `format = "json"`',
                file.key((*path, "map")),
                label="not used",
                help='the other formats know the type by themselves; remove `map`, or write `format = "json"`',
            )
        ]
    return []


def _is_topic_filter(text: str) -> bool:
    levels = text.split("/")
    last = len(levels) - 1
    return all(_TOPIC_LEVEL.fullmatch(level) or (level == "#" and at == last) for at, level in enumerate(levels))


def _actions(file: TomlFile, catalogue: Catalogue) -> list[Diagnostic]:
    """The tables `[actions."NAME"]`, each by the settings of its action."""
    found: list[Diagnostic] = []
    tables = file.table.get("actions")
    for name, table in tables.items() if isinstance(tables, dict) else ():
        path: KeyPath = ("actions", name)
        action = catalogue.get(name)
        if action is None:
            hint = suggest(name, catalogue.actions)
            found.append(
                error(
                    "H012",
                    f"unknown action {quoted(name)}",
                    file.key(path),
                    label="no such action",
                    help=f"{hint}  (`halon actions` lists all)" if hint else "`halon actions` lists all",
                )
            )
        elif isinstance(table, dict):
            found += read_struct(action.settings, table, file, path, what=f"the settings of {quoted(name)}")[1]
    return found
