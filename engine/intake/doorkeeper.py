"""The doors that a config asks for: made, opened, and exchanged while the daemon runs.

`engine.app` opens the first ones, `engine.reload` exchanges them.
Everything that can fail for a bad file or an address that is taken fails in `plan`, before any door is touched.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import structlog

from engine.clock import Clock
from engine.config import Config, HttpConfig, IntakeConfig, MqttConfig
from engine.intake.contract import Doors, Inbox, Intake
from engine.intake.http import DOOR as HTTP
from engine.intake.http import HttpIntake, Page
from engine.intake.listening import bind
from engine.intake.mqtt import MqttIntake, tls_context
from engine.intake.secretfile import read_secret, secret_path
from engine.model import Struct

DRAIN_S_MAX = 5.0
"""A door that is taken out gets so long until what it brought is durable; its sender sends again what is not."""

_log = structlog.get_logger(__name__)

Identity = tuple[object, ...]


class DoorError(Exception):
    """A door can't be made; the message says which, and why."""


class Plan(Struct, frozen=True):
    """What is to be done: doors to open (some in the place of one that is open), and names of doors to take out."""

    opened: tuple[tuple[Intake, Identity], ...]
    removed: tuple[str, ...]

    @property
    def touched(self) -> tuple[str, ...]:
        """The names of all doors that change."""
        return tuple(sorted({door.name for door, _ in self.opened} | set(self.removed)))

    def discard(self) -> None:
        """It will not be carried out: let go of what the doors hold already."""
        for door, _ in self.opened:
            if isinstance(door, HttpIntake):
                door.close()


class DoorKeeper:
    """Keeps the doors to the outside; `attach` gives it the group that they run in."""

    def __init__(
        self, doors: Doors, inbox: Inbox, clock: Clock, *, known: Callable[[bytes], bool] = lambda _: False
    ) -> None:
        """`known` says whether a signing came before."""
        self._known = known
        self._doors = doors
        self._inbox = inbox
        self._clock = clock
        self._identities: dict[str, Identity] = {}
        self._http_before: HttpConfig | None = None
        self._start: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]] | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def attach(self, group: asyncio.TaskGroup) -> None:
        """Run doors in this group from now on."""
        self._start = lambda work, name: group.create_task(work, name=name)

    @property
    def names(self) -> list[str]:
        """Of the doors that it keeps."""
        return list(self._identities)

    def plan(self, config: Config, *, pages: Mapping[str, Page]) -> Plan:
        """What turns the doors that are open into those of the config. Raises DoorError."""
        opened: list[tuple[Intake, Identity]] = []
        wanted: set[str] = set()
        plan = Plan(opened=(), removed=())
        try:
            for broker in config.mqtt:
                wanted.add(broker.name)
                identity = _identity(broker, config.intake, _files_of_broker(broker))
                if self._identities.get(broker.name) != identity:
                    opened.append((self._mqtt(broker, config.intake), identity))
                    plan = Plan(opened=tuple(opened), removed=())
            if config.http.enabled:
                wanted.add(HTTP)
                identity = _identity(config.http, config.intake, _files_of_http(config.http))
                if self._identities.get(HTTP) != identity:
                    opened.append((self._http(config.http, config.intake, pages), identity))
                    plan = Plan(opened=tuple(opened), removed=())
        except DoorError:
            plan.discard()
            raise
        return Plan(opened=tuple(opened), removed=tuple(self._identities.keys() - wanted))

    def prepare(self, plan: Plan) -> None:
        """Before the daemon runs: the doors of a first plan stand among the others, and are opened by `open`."""
        for door, identity in plan.opened:
            self._doors.put(door)
            self._identities[door.name] = identity
            if isinstance(identity[0], HttpConfig):
                self._http_before = identity[0]

    def open(self, plan: Plan) -> None:
        """Open what the plan opens."""
        self.prepare(plan)
        for door, _ in plan.opened:
            assert self._start is not None, "attach() comes first"
            self._tasks[door.name] = self._start(door.run(), f"door {door.name}")

    async def retire(self, plan: Plan) -> None:
        """Take out what the plan removes or replaces, once what these doors brought is durable; bounded."""
        leaving = [name for name in plan.touched if name in self._tasks]
        for name in leaving:
            self._doors.doors[name].pause()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S_MAX):
                while any(self._doors.doors[name].status().in_flight for name in leaving):
                    await self._clock.sleep_s(0.01)
        tasks = [self._tasks.pop(name) for name in leaving]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for name in leaving:
            _log.info("door closed", door=name)
        for name in plan.removed:
            self._doors.drop(name)
            self._identities.pop(name, None)
            if name == HTTP:
                self._http_before = None

    def cancel(self) -> list["asyncio.Task[None]"]:
        """End all doors; their tasks, to be waited for."""
        for task in self._tasks.values():
            task.cancel()
        return list(self._tasks.values())

    def _mqtt(self, broker: MqttConfig, intake: IntakeConfig) -> MqttIntake:
        try:
            password = read_secret(broker.password_file) if broker.password_file else None
            tls = tls_context(broker)
        except (ValueError, OSError) as error:
            raise DoorError(f"broker {broker.name}: {error}") from error
        return MqttIntake(broker, intake, self._inbox, self._clock, password=password, tls=tls)

    def _http(self, http: HttpConfig, intake: IntakeConfig, pages: Mapping[str, Page]) -> HttpIntake:
        old = self._doors.doors.get(HTTP)
        before = self._http_before
        try:
            # Made without sockets first: what is wrong with the config is said before an address is taken.
            HttpIntake(http, intake, self._inbox, self._clock)
            same = before is not None and (before.listen, before.port) == (http.listen, http.port)
            listeners = old.share_listeners() if same and isinstance(old, HttpIntake) else bind(http)
            return HttpIntake(
                http,
                intake,
                self._inbox,
                self._clock,
                pages=pages,
                listeners=listeners,
                known=self._known,
            )
        except (ValueError, OSError) as error:
            raise DoorError(f"the HTTP door: {error}") from error


def _identity(config: MqttConfig | HttpConfig, intake: IntakeConfig, files: list[str]) -> Identity:
    """Equal for doors that would be the same: config, bounds, and what the files hold that it names."""
    bounds = (
        intake.payload_bytes_max,
        intake.payload_events_max,
        intake.in_flight_max,
        intake.in_flight_bytes_max,
    )
    return (config, bounds, tuple(_digest(each) for each in files if each))


def _files_of_broker(broker: MqttConfig) -> list[str]:
    return [broker.password_file, broker.tls.ca_file, broker.tls.certificate_file, broker.tls.key_file]


def _files_of_http(http: HttpConfig) -> list[str]:
    senders = [
        name
        for each in http.senders
        for name in (each.token_file, each.hmac_file, *(each.signature.key_files if each.signature else ()))
    ]
    return [http.certificate_file, http.key_file, *senders]


def _digest(written: str) -> bytes:
    """Of what a file holds; empty where it can't be read, which its reader will say."""
    try:
        return hashlib.blake2b(secret_path(written).read_bytes(), digest_size=16).digest()
    except (OSError, ValueError):
        return b""
