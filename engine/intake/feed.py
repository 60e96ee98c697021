"""A door of Halon's own, for what operators hand in: dead letters tried again, recordings replayed into the daemon.

What comes this way goes the way of all events, and `feed` returns once it is durable. `engine.steering` calls it;
`engine.app` puts it among the doors.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from engine.clock import Clock
from engine.config import MayConfig
from engine.intake.contract import TOKENS, Inbox, IntakeStatus, Received
from engine.intake.durable import DurableWaits
from engine.intake.permits import objection
from engine.model import Event, Struct

DOOR = "operator"
EVENTS_IN_FLIGHT_MAX = 5_000
"""Handed in and not yet durable; more is refused, and may come again."""
DURABLE_S_MAX = 30.0


class Fed(Struct, frozen=True):
    """They are durable; `duplicates` of them were known before, and nothing came of these."""

    new: int
    duplicates: int


class NotFed(Struct, frozen=True):
    """None of them is taken, or (`late`) it is not known yet whether they are; `reason` says why."""

    reason: str
    late: bool = False


class Feed:
    """`known` says whether an event was seen before, by its source and id."""

    def __init__(self, inbox: Inbox, clock: Clock, *, known: Callable[[Event], bool]) -> None:
        self.name = DOOR
        self._inbox = inbox
        self._clock = clock
        self._known = known
        self._paused = False
        self._waiting = DurableWaits()
        self._events_in_flight = 0
        self._received_total = 0
        self._acknowledged_total = 0

    async def run(self) -> None:
        """Nothing to listen to: `feed` is called."""
        await asyncio.Event().wait()

    async def feed(self, events: Sequence[Event]) -> Fed | NotFed:
        """Hand these in, all or none, and wait until they are durable."""
        for event in events:
            if reason := objection(event, MayConfig()):
                return NotFed(reason)
        if self._paused:
            return NotFed("the store takes nothing at present")
        if self._events_in_flight + len(events) > EVENTS_IN_FLIGHT_MAX:
            return NotFed(f"{self._events_in_flight} events that were handed in are not durable yet; try again")
        identities = {(each.source, each.id): each for each in events}
        duplicates = len(events) - sum(not self._known(each) for each in identities.values())
        if not await self._made_durable(events):
            return NotFed(f"not durable within {DURABLE_S_MAX:g} s; it may still come to that", late=True)
        return Fed(new=len(events) - duplicates, duplicates=duplicates)

    async def _made_durable(self, events: Sequence[Event]) -> bool:
        self._received_total += 1
        self._events_in_flight += len(events)
        handed = Received(
            door=self.name,
            token=next(TOKENS),
            topic="",
            payload=b"",
            received_us=self._clock.now_us(),
            size_bytes=0,
            events=tuple(events),
        )
        return await self._waiting.put(self._inbox, handed, within_s=DURABLE_S_MAX)

    async def acknowledge(self, received: Iterable[Received]) -> None:
        """What was handed in is durable."""
        for each in received:
            if self._waiting.settle(each):
                self._events_in_flight -= len(each.events or ())
                self._acknowledged_total += 1

    def pause(self) -> None:
        """Refuse what is handed in until `resume`."""
        self._paused = True

    def resume(self) -> None:
        """The end of `pause`."""
        self._paused = False

    def status(self) -> IntakeStatus:
        """Always open: it needs nobody outside."""
        return IntakeStatus(
            name=self.name,
            connected=True,
            paused=self._paused,
            in_flight=len(self._waiting),
            received_total=self._received_total,
            acknowledged_total=self._acknowledged_total,
        )
