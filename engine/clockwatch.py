"""A jump of the machine's clock to everything that was to happen at a time, moved along; `engine.app` runs it.

A clock that is set an hour forwards has not let an hour pass: leases must not end for it, nor deadlines be missed, nor
a silence seem to have lasted. `Clock.now_us` goes on as before until all that is durable, and only then shows the jump.
"""

from collections.abc import Callable

from engine import logs
from engine.clock import SECOND_US, Clock
from engine.core import Core
from engine.pipeline import Pipeline
from engine.store.clockjump import move_along
from engine.store.database import Store
from engine.store.errors import StoreError
from engine.store.seen import SeenIds

LOOK_S = 0.5

_log = logs.get_logger(__name__)


class ClockWatch:
    """Looks for jumps, and lets the clock follow them when it may."""

    def __init__(self, clock: Clock, store: Store, pipeline: Pipeline, seen: SeenIds) -> None:
        self._clock = clock
        self._store = store
        self._pipeline = pipeline
        self._seen = seen
        self._owed_us = 0
        """By how much the store is yet to be moved back."""

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await self._clock.sleep_s(LOOK_S)

    async def look(self) -> None:
        """Follow a jump, if there is one and the store takes it; else the next look tries again.

        Forwards the store is moved first and back it is moved last: in between a lease may last too long, never too
        short.
        """
        jump_us, now_us = self._clock.jump_us(), self._clock.now_us()
        try:
            if jump_us > 0:
                await self._move(jump_us, now_us)
            if jump_us:
                await self._pipeline.change_core(self._following(now_us + jump_us, jump_us))
                self._owed_us += min(jump_us, 0)
                _log.warning("the clock was set; what is to come moves along", seconds=round(jump_us / SECOND_US, 1))
            if self._owed_us:
                await self._move(self._owed_us, now_us)
                self._owed_us = 0
        except StoreError:
            return

    async def _move(self, by_us: int, at_us: int) -> None:
        await self._store.write(lambda connection: move_along(connection, by_us=by_us, at_us=at_us))

    def _following(self, to_us: int, by_us: int) -> Callable[[Core], None]:
        """Between two batches, so that no event is judged by one time and timed by the other."""

        def change(core: Core) -> None:
            self._clock.follow(by_us)
            self._seen.shift(by_us)
            core.jump(to_us, by_us)

        return change
