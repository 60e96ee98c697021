"""What is kept no longer: old incidents deleted, the oldest audit records moved to files, little by little.

`engine.app` runs it beside the pipeline; `[retention]` says how old is old, and by default nothing is.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from engine import logs
from engine.clock import Clock
from engine.config import Config
from engine.store import archive, prune
from engine.store.archive import ArchiveError
from engine.store.connection import Connection
from engine.store.database import Store
from engine.store.errors import StoreError

LOOK_S = 60.0
"""How often it is looked whether something is old."""
BREATH_S = 1.0
"""Between two steps where there is more to do: others write meanwhile."""

_log = logs.get_logger(__name__)


class Retention:
    """Takes away what is old by the config in force."""

    def __init__(self, store: Store, clock: Clock, folder: Path, *, config: Callable[[], Config]) -> None:
        """`folder` is where the files of the audit log go."""
        self._store = store
        self._clock = clock
        self._folder = folder
        self._config = config
        self._problem = ""

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            more = await self.step()
            await self._clock.sleep_s(BREATH_S if more else LOOK_S)

    async def step(self) -> bool:
        """Take one bounded part away; whether there may be more."""
        try:
            more = [await self._prune(), await self._archive()]
        except (StoreError, ArchiveError, OSError) as error:
            if str(error) != self._problem:
                _log.warning("what is old is not taken away", reason=str(error))
            self._problem = str(error)
            return False
        self._problem = ""
        return any(more)

    async def _prune(self) -> bool:
        config, now_us = self._config(), self._clock.now_us()
        if not config.retention.incidents:
            return False
        # What may still be reopened is not old.
        before_us = now_us - max(config.retention.incidents, config.incidents.reopen_within)

        def delete(connection: Connection) -> int:
            return prune.prune(connection, before_us=before_us, at_us=now_us)

        return await self._store.write(delete) == prune.INCIDENTS_AT_ONCE

    async def _archive(self) -> bool:
        kept_us, now_us = self._config().retention.audit, self._clock.now_us()
        if not kept_us:
            return False

        rows = await self._store.read(lambda connection: archive.due(connection, before_us=now_us - kept_us))
        if not rows:
            return False
        # The file comes first, and not in the writer's thread: commits do not wait for it.
        part, sha256 = await asyncio.to_thread(archive.write, self._folder, rows)
        await self._store.write(lambda connection: archive.take_away(connection, part, sha256, at_us=now_us))
        return True
