"""What a config speaks to, to why it does not answer: brokers, addresses to listen on, the targets of actions.

Everything is tried at once, each within its time, and nothing is changed: a broker is connected to under another client
id and without a session, an address is bound and let go, an action is asked by its `probe`.
"""

import asyncio
import os
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import aiomqtt
import msgspec

from engine.action import Action, ActionContext, Catalogue, Settings
from engine.clock import Clock, decode_hook
from engine.config import Config, MqttConfig
from engine.contain.secrets import Secrets
from engine.diagnostics import Diagnostic, Span, error
from engine.intake.listening import bind
from engine.intake.mqtt import tls_context
from engine.intake.secretfile import read_secret
from engine.model import IncidentId, IntentId
from engine.survey.places import place, warning
from engine.tomlfile import TomlFile

TRY_S_MAX = 10.0
CHECKED = "-check"
"""Put behind the client id, so that the daemon's own session is left alone."""
_PORTS = {"http": 80, "https": 443}
_REFUSED = 0x80


async def brokers(config: Config, file: TomlFile | None, *, running: bool = True) -> list[Diagnostic]:
    """Brokers that can't be connected to, and topics that they refuse; not the embedded one while no daemon runs."""
    own = (
        {("127.0.0.1", config.broker.port), ("127.0.0.1", config.broker.mqtt5_port)} if config.broker.enabled else set()
    )
    asked = [each for each in config.mqtt if running or (each.host, each.port) not in own]
    found = await asyncio.gather(*(_broker(each) for each in asked))
    return [
        error(
            "H072",
            f"broker `{broker.name}`: {problem}",
            place(file, ("mqtt", config.mqtt.index(broker))),
            label=f"{broker.host}:{broker.port}",
        )
        for broker, problems in zip(asked, found, strict=True)
        for problem in problems
    ]


async def _broker(broker: MqttConfig) -> list[str]:
    try:
        password = read_secret(broker.password_file) if broker.password_file else None
        tls = tls_context(broker)
    except (OSError, ValueError):
        return []  # the survey of files says it
    version5 = broker.protocol == "5"
    client = aiomqtt.Client(
        broker.host,
        broker.port,
        identifier=f"{broker.client_id}{CHECKED}",
        username=broker.username or None,
        password=password,
        tls_context=tls,
        protocol=aiomqtt.ProtocolVersion.V5 if version5 else aiomqtt.ProtocolVersion.V311,
        clean_session=None if version5 else True,
        timeout=TRY_S_MAX,
    )
    refused: list[str] = []
    try:
        async with asyncio.timeout(TRY_S_MAX), client:
            for topic in broker.topics:
                granted = await client.subscribe(topic.filter, qos=1)
                code = getattr(granted[0], "value", granted[0])
                if code >= _REFUSED:
                    refused.append(f"it refuses the topic `{topic.filter}`")
                elif code == 0:
                    refused.append(f"it grants only QoS 0 for `{topic.filter}`: messages may be lost")
    except TimeoutError:
        return [f"no answer within {TRY_S_MAX:g} s"]
    except (aiomqtt.MqttError, OSError) as problem:
        return [f"can't be connected to: {problem}"]
    return refused


def listeners(config: Config, file: TomlFile | None, *, running: bool) -> Iterator[Diagnostic]:
    """An address of the HTTP door that can't be listened on; not asked while the daemon runs, which has it."""
    if not config.http.enabled or running:
        return
    try:
        for each in bind(config.http):
            each.close()
    except OSError as problem:
        yield error("H072", f"the HTTP door: {problem}", place(file, ("http", "listen")))


def answers(control_socket: Path) -> bool:
    """Whether a daemon listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(control_socket))
        except OSError:
            return False
    return True


async def actions(
    config: Config, used: Iterable[str], catalogue: Catalogue, file: TomlFile | None, *, state_dir: Path, clock: Clock
) -> list[Diagnostic]:
    """What the actions that rules use, or that have settings, could not act on."""
    secrets = Secrets.of_process()
    context = ActionContext(
        intent=IntentId("check"),
        incident=IncidentId("check"),
        state_dir=state_dir,
        now_us=clock.now_us,
        secret=secrets.reveal,
    )
    names = sorted({*used, *config.actions})
    asked = [(name, kind) for name in names if (kind := catalogue.get(name)) is not None]
    found = await asyncio.gather(*(_action(kind, config.actions.get(name, {}), context) for name, kind in asked))
    # Rules that are shipped name actions which not every site has: only what the config sets up has to work.
    return [
        (error if name in config.actions else warning)(
            "H072", f"`{name}`: {problem}", _place(file, name, key), help=f"`halon actions {name}` has its settings"
        )
        for (name, _), problems in zip(asked, found, strict=True)
        for key, problem in problems
    ]


def _place(file: TomlFile | None, name: str, key: str) -> Span | None:
    return place(file, ("actions", name, key) if key else ("actions", name))


async def _action(
    kind: "type[Action]",  # type: ignore[type-arg]  # the parameters' type differs per entry
    table: Mapping[str, object],
    context: ActionContext,
) -> list[tuple[str, str]]:
    """(setting, problem) of one action; the setting is empty where the whole is meant."""
    settings = msgspec.convert(dict(table), kind.settings, dec_hook=decode_hook)
    problems = list(_by_convention(settings, context))
    problems += await _addresses(settings)
    if problems:
        return problems  # a probe would say the same again
    try:
        async with asyncio.timeout(TRY_S_MAX):
            problem = await kind(settings).probe(context)
    except TimeoutError:
        problem = f"no answer within {TRY_S_MAX:g} s"
    except Exception as raised:  # noqa: BLE001  # the boundary to an action, which may be anyone's code
        problem = f"{type(raised).__name__}: {raised}"
    return [("", problem)] if problem else []


def _by_convention(settings: Settings, context: ActionContext) -> Iterator[tuple[str, str]]:
    """What the names of settings promise: a secret that exists, a file that can be read, a folder, a program."""
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        if name.endswith("_secret") and value:
            try:
                context.secret(value)
            except KeyError as problem:
                yield name, str(problem.args[0])
        elif name.endswith("_file") and value and not os.access(value, os.R_OK):
            yield name, f"{value} can't be read"
        elif name == "folders":
            yield from ((name, f"there is no folder {each}") for each in value if not Path(each).is_dir())
        elif name == "commands" and isinstance(value, dict):
            yield from _programs(name, value)


def _programs(name: str, commands: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for command, how in commands.items():
        argv = how if isinstance(how, tuple) else getattr(how, "argv", ())
        if argv and not os.access(argv[0], os.X_OK):
            yield name, f"`{command}`: {argv[0]} is no program that can be run"


async def _addresses(settings: Settings) -> Sequence[tuple[str, str]]:
    """Hosts and URLs that take no connection."""
    wanted: list[tuple[str, str, int]] = []
    host, port = getattr(settings, "host", None), getattr(settings, "port", None)
    if isinstance(host, str) and isinstance(port, int):
        wanted.append(("host", host, port))
    for name in ("url", "server", "endpoint"):
        parts = urlsplit(value) if isinstance(value := getattr(settings, name, ""), str) and value else None
        if parts is not None and parts.hostname:
            wanted.append((name, parts.hostname, parts.port or _PORTS.get(parts.scheme, 443)))
    found = await asyncio.gather(*(_connects(host, port) for _, host, port in wanted))
    return [(name, problem) for (name, _, _), problem in zip(wanted, found, strict=True) if problem]


async def _connects(host: str, port: int) -> str:
    try:
        async with asyncio.timeout(TRY_S_MAX):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return f"{host}:{port} does not answer within {TRY_S_MAX:g} s"
    except OSError as problem:
        return f"{host}:{port} takes no connection: {problem.strerror or problem}"
    writer.close()
    return ""
