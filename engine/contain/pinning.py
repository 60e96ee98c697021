"""The recorded events around an incident to a copy that stays: of the time before as it opens, of the time after later.

`engine.contain.housekeeping` hands in the timers that are due. All are served by one pass over the flight recorder,
in a process of its own (`engine.store.around`).
"""

from collections.abc import Sequence

import msgspec

from engine.contain.environment import Environment
from engine.model import IncidentId, Json
from engine.store import around, happenings, pinned, timers
from engine.store.around import Around
from engine.store.connection import Connection
from engine.store.happenings import What
from engine.store.pinned import Packed
from engine.store.timers import Timer

AT_ONCE_MAX = 100
"""Incidents served in one pass; more wait for the next tick."""


class Pinning:
    """Keeps what the recorder has of incidents."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    async def look(self, due: Sequence[Timer]) -> None:
        """Serve these timers. Raises StoreBusyOrFull; they stay due then."""
        due, config = due[:AT_ONCE_MAX], self._environment.recorder
        asked = Around(
            incidents=tuple(IncidentId(str(timer.body["incident"])) for timer in due),
            before_us=int(config.before),
            after_us=int(config.after),
            events_max=int(config.pinned_events_max),
            now_us=self._environment.clock.now_us(),
        )
        answer = await self._environment.store.apart(around.__name__, msgspec.msgpack.encode(asked))
        found = msgspec.msgpack.decode(answer, type=list[Packed])

        def commit(connection: Connection) -> None:
            for timer in due:
                timers.drop(connection, timer.name)
            self._keep(connection, found)

        await self._environment.store.write(commit)

    def _keep(self, connection: Connection, found: Sequence[Packed]) -> None:
        gone = pinned.keep(connection, found, kept_bytes_max=int(self._environment.recorder.pinned_bytes_max))
        at_us = self._environment.clock.now_us()
        reason = "its recorded events were given up for those of newer incidents (recorder.pinned_bytes_max)"
        for incident in gone:
            happenings.put(connection, incident, What.PINNED, at_us=at_us, reason=reason, body={"events": 0})
        for each in found:
            body: dict[str, Json] = {"events": each.events, "left_out": each.left_out}
            reason = f"{each.events} recorded events that concern its key are kept"
            happenings.put(connection, each.incident, What.PINNED, at_us=each.at_us, reason=reason, body=body)
