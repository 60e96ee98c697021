"""A door of Halon's own: a message now and then that goes the way of all others, and shows that the way is open.

The watchdog of the service manager is fed when such a message is durable, so that a pipeline that is stuck in any place
(intake, matching, the store) ends in a restart, and an idle loop does not feed it. It holds no event: one with the time
of now would move the core's clock past the events that wait behind it, and tell of silence where there is a backlog.
`engine.app` runs it.
"""

import asyncio
from collections.abc import Callable, Iterable

from engine.clock import Clock
from engine.intake.contract import Inbox, IntakeStatus, Received

DOOR = "halon"


class Heartbeat:
    """Puts one message without events into the inbox every `every_s` seconds, and waits for it before the next.

    `beat` is called each time one is durable.
    """

    def __init__(self, inbox: Inbox, clock: Clock, *, every_s: float, beat: Callable[[], None]) -> None:
        self.name = DOOR
        self._inbox = inbox
        self._clock = clock
        self._every_s = every_s
        self._beat = beat
        self._durable = asyncio.Event()
        self._sent = 0
        self._acknowledged = 0

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            self._sent += 1
            self._durable.clear()
            self._inbox.put(
                Received(
                    door=self.name,
                    token=self._sent,
                    topic="",
                    payload=b"",
                    received_us=self._clock.now_us(),
                    size_bytes=0,
                    events=(),
                )
            )
            await self._durable.wait()
            await self._clock.sleep_s(self._every_s)

    async def acknowledge(self, received: Iterable[Received]) -> None:
        """A beat is durable."""
        for _ in received:
            self._acknowledged += 1
            self._durable.set()
            self._beat()

    def pause(self) -> None:
        """Beats go on: one at a time is all there ever is."""

    def resume(self) -> None:
        """Nothing was paused."""

    def status(self) -> IntakeStatus:
        """Always connected."""
        return IntakeStatus(
            name=self.name,
            connected=True,
            in_flight=self._sent - self._acknowledged,
            received_total=self._sent,
            acknowledged_total=self._acknowledged,
        )
