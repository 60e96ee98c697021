"""What passes between a door and the pipeline: `Received` messages, and the handle to acknowledge them by.

A door (`engine.intake.mqtt`, `engine.intake.http`) takes messages in and keeps its sender's copy alive until the
pipeline, having committed what a message changed, acknowledges it. `engine.pipeline` is the caller; one contract suite
holds every door to this page.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from engine.model import Event, Struct

DEADLETTER_PAYLOAD_BYTES_MAX = 65_536
"""How much of an undecodable payload is kept; one that is kept whole can be tried again."""
OWN_DOORS = frozenset(("halon", "operator"))
"""The names of doors that lead to nobody outside: the heartbeat, and what operators hand in."""

TOKENS = itertools.count(1)
"""Tokens are unique in the process: a door must not take the messages of one in whose place it came for its own."""


class Received(Struct, frozen=True):
    """One message as it came in. `token` is the door's own and opaque; pass the whole value back to `acknowledge`.

    `payload` is cut to `DEADLETTER_PAYLOAD_BYTES_MAX` where `size_bytes`, the true size, is past the limit.
    `properties` are MQTT 5 user properties, or HTTP headers that are part of the message. `events` is set by a door
    that has decoded the message itself, dead letters for what of it could not be decoded among them; `problem` by one
    that knows why the message can't become an event, whatever its payload says.
    """

    door: str
    token: int
    topic: str
    payload: bytes
    received_us: int
    size_bytes: int
    content_type: str = ""
    properties: tuple[tuple[str, str], ...] = ()
    retained: bool = False
    events: "tuple[Event | DeadLetter | Once, ...] | None" = None
    retried: bool = False
    """It was a dead letter, which an operator has tried again."""
    proved: bool = False
    """Its signature was right; what it holds need not be signed any more."""
    redelivered: bool = False
    """The broker says that it may have delivered it before."""
    problem: str = ""


class DeadLetter(Struct, frozen=True):
    """A message, or one event of a batch, that could not become an event; `payload` is cut, `size_bytes` is not.

    `content_type`, `properties` and `retained` are those of the message, so that it can be tried again.
    """

    door: str
    topic: str
    reason: str
    received_us: int
    size_bytes: int
    payload: bytes
    content_type: str = ""
    properties: tuple[tuple[str, str], ...] = ()
    retained: bool = False
    proved: bool = False


class Once(Struct, frozen=True):
    """Stands before what a signed message gives: this signing must not have come before, nor before ids are known.

    Else the rest of the message is left out, and `otherwise` comes in its place.
    """

    identity: bytes
    signed_us: int
    otherwise: tuple[Event, ...] = ()


class IntakeStatus(Struct, frozen=True):
    """How a door stands. `problem` is empty where all is well; totals count since the start."""

    name: str
    connected: bool
    problem: str = ""
    paused: bool = False
    in_flight: int = 0
    in_flight_bytes: int = 0
    received_total: int = 0
    received_bytes_total: int = 0
    acknowledged_total: int = 0
    stale_total: int = 0
    oversized_total: int = 0
    connects_total: int = 0


class Intake(Protocol):
    """A door. `run` serves it until cancelled; messages go to the `Inbox` it was built with."""

    @property
    def name(self) -> str:
        """The name under which messages of this door carry `Received.door`."""
        ...

    async def run(self) -> None:
        """Take messages in until cancelled; never returns by itself. A lost connection is its own affair."""
        ...

    async def acknowledge(self, received: Iterable[Received]) -> None:
        """What these messages changed is durable: the sender may forget them. Unknown and repeated tokens are ignored.

        Where the connection that brought a message is gone, nothing is sent: the broker delivers it again.
        """
        ...

    def pause(self) -> None:
        """Take in no more until `resume`; what is in flight can still be acknowledged."""
        ...

    def resume(self) -> None:
        """The end of `pause`."""
        ...

    def status(self) -> IntakeStatus:
        """How it stands now."""
        ...


class PublishError(Exception):
    """The broker is not known to have a message that was to be published; the text says why."""


class Publisher(Protocol):
    """Who can say something at a broker: the MQTT doors, over the connection that they receive by."""

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish with QoS 1; returns once the broker has it. Raises PublishError, at the latest after some seconds."""
        ...


class Inbox:
    """Messages of all doors in the order of arrival. Doors bound it: each stops reading at its in-flight limit."""

    def __init__(self) -> None:
        self._messages: deque[Received] = deque()
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, received: Received) -> None:
        """Add one message; the door has made sure that there is room."""
        self._messages.append(received)
        self._arrived.set()

    async def receive(self, count_max: int) -> Sequence[Received]:
        """Up to `count_max` messages, at least one: waits for the first, takes what else is there."""
        while not self._messages:
            self._arrived.clear()
            await self._arrived.wait()
        take = min(count_max, len(self._messages))
        return [self._messages.popleft() for _ in range(take)]


class Doors:
    """Several doors as one: what the pipeline holds. Messages of all come by one inbox.

    `put` and `drop` change them while they run; who calls them runs and ends the doors.
    """

    def __init__(self, doors: Sequence[Intake], inbox: Inbox) -> None:
        self.doors = {each.name: each for each in doors}
        assert len(self.doors) == len(doors), "the name of a door is used twice"
        self._inbox = inbox
        self._paused = False

    def __len__(self) -> int:
        """Messages that wait to be received."""
        return len(self._inbox)

    async def receive(self, count_max: int) -> Sequence[Received]:
        """Up to `count_max` messages of any door, at least one."""
        return await self._inbox.receive(count_max)

    async def acknowledge(self, received: Iterable[Received]) -> None:
        """Acknowledge each message at the door that brought it."""
        by_door: dict[str, list[Received]] = {}
        for each in received:
            by_door.setdefault(each.door, []).append(each)
        for name, messages in by_door.items():
            door = self.doors.get(name)
            if door is not None:  # else it was taken out meanwhile, and its sender sends again
                await door.acknowledge(messages)

    def put(self, door: Intake) -> None:
        """Add a door, or put it in the place of the one of its name."""
        if self._paused:
            door.pause()
        self.doors[door.name] = door

    def drop(self, name: str) -> None:
        """Take a door out; what it brought is judged, and acknowledged to nobody."""
        self.doors.pop(name, None)

    def pause(self) -> None:
        """Take in no more at any door."""
        self._paused = True
        for door in self.doors.values():
            door.pause()

    def resume(self) -> None:
        """The end of `pause`."""
        self._paused = False
        for door in self.doors.values():
            door.resume()

    def status(self) -> list[IntakeStatus]:
        """How each door stands."""
        return [door.status() for door in self.doors.values()]
