"""Who may go on first: a few slots, handed out by severity and then by age; and one such lock per target.

`engine.contain` takes a slot for every call of an action, and a target's lock for as long as it deals with it.
"""

import asyncio
import contextlib
import heapq
from collections.abc import AsyncIterator

from engine.model import Intent, Severity, Struct, Target


class Priority(Struct, frozen=True, order=True):
    """Smaller goes first: the higher severity, then the earlier decision."""

    urgency: int
    at_us: int


def priority_of(intent: Intent) -> Priority:
    """The priority of a step."""
    return Priority(urgency=-intent.severity.rank, at_us=intent.at_us)


URGENT = Priority(urgency=-Severity.CRITICAL.rank, at_us=0)
"""Of what an operator asked for."""


class Slots:
    """`limit` holders at once; those who wait are served by priority."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._limit = limit
        self._order = 0
        self._waiting: list[tuple[Priority, int, asyncio.Future[None]]] = []

    def resize(self, limit: int) -> None:
        """So many holders from now on; where there are more already, none is let in until enough have gone."""
        self._free += limit - self._limit
        self._limit = limit
        while self._free > 0 and self._waiting:
            self._free -= 1
            self._hand_on()

    @property
    def idle(self) -> bool:
        """Whether nobody holds or waits."""
        return self._free == self._limit and not self._waiting

    @contextlib.asynccontextmanager
    async def hold(self, priority: Priority) -> AsyncIterator[bool]:
        """Hold a slot; yields whether it had to be waited for."""
        waited = await self._acquire(priority)
        try:
            yield waited
        finally:
            self._hand_on()

    async def _acquire(self, priority: Priority) -> bool:
        if self._free > 0:
            self._free -= 1
            return False
        turn = asyncio.get_running_loop().create_future()
        self._order += 1
        entry = (priority, self._order, turn)
        heapq.heappush(self._waiting, entry)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._hand_on()  # it was our turn just as we were told to leave
            elif entry in self._waiting:
                self._waiting.remove(entry)
                heapq.heapify(self._waiting)
            raise
        return True

    def _hand_on(self) -> None:
        while self._waiting and self._free >= 0:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class Locks:
    """One lock per name, made when first wanted and forgotten when nobody wants it."""

    def __init__(self) -> None:
        self._locks: dict[tuple[str, str], Slots] = {}

    @contextlib.asynccontextmanager
    async def hold(self, kind: str, name: str, priority: Priority) -> AsyncIterator[bool]:
        """Hold the lock of (kind, name); yields whether it had to be waited for."""
        lock = self._locks.setdefault((kind, name), Slots(1))
        try:
            async with lock.hold(priority) as waited:
                yield waited
        finally:
            if lock.idle:
                self._locks.pop((kind, name), None)

    def target(self, target: Target, priority: Priority) -> contextlib.AbstractAsyncContextManager[bool]:
        """The lock of a target: steps on it run one at a time."""
        return self.hold(target.kind, target.name, priority)
