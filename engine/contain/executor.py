"""Incidents with work to do to their steps carried out: one task per incident, the most severe first, bounded.

`wake` says that an incident may have something to do; what that is stands in the store, is worked out by
`engine.contain.order`, and done by `engine.contain.step`. The service wakes incidents; nobody waits for them.
"""

import asyncio
import functools
import heapq

import structlog

from engine.contain.calls import Calls
from engine.contain.chronicle import Chronicle
from engine.contain.environment import Environment
from engine.contain.leases import Leases
from engine.contain.lifecycle import Waits, recovery_waits
from engine.contain.order import NextMove, Run, Skip, Undo, Wait, next_move
from engine.contain.slots import Priority
from engine.contain.step import Steps
from engine.model import IncidentId, IntentId, IntentState, LeaseState
from engine.store import incidents, intents
from engine.store.connection import Connection
from engine.store.errors import StoreBusyOrFull
from engine.store.incidents import Stage
from engine.store.intents import Hold, IntentRecord, Move

CHAINS_MAX = 1_024
"""Incidents worked on at once; more wait their turn, the most severe first."""
STORE_RETRY_S = 1.0
"""A store that is busy or full is asked again after this; the step stays where it is until then."""

_log = structlog.get_logger(__name__)


class Executor:
    """Works through incidents."""

    def __init__(
        self, environment: Environment, calls: Calls, steps: Steps, lease_book: Leases, chronicle: Chronicle
    ) -> None:
        self._environment = environment
        self._calls = calls
        self._steps = steps
        self._leases = lease_book
        self._chronicle = chronicle
        self._group: asyncio.TaskGroup | None = None
        self._waiting: list[tuple[Priority, int, IncidentId]] = []
        self._order = 0
        self._again: set[IncidentId] = set()
        self._tasks: dict[IncidentId, asyncio.Task[None]] = {}
        self._stopping = False
        self._idle = asyncio.Event()
        self._idle.set()

    def attach(self, group: asyncio.TaskGroup) -> None:
        """Run incidents as tasks of this group from now on."""
        self._group = group
        self._dispatch()

    def wake(self, incident: IncidentId, priority: Priority) -> None:
        """Look at this incident, or look at it again after the step that it is at."""
        if incident in self._tasks:
            self._again.add(incident)
            return
        self._order += 1
        heapq.heappush(self._waiting, (priority, self._order, incident))
        self._idle.clear()
        self._dispatch()

    async def idle(self) -> None:
        """Return once no incident is worked on and none waits for its turn."""
        await self._idle.wait()

    def stop_taking(self) -> None:
        """Begin no further step."""
        self._stopping = True
        self._waiting.clear()
        self._note_idle()

    def cancel(self) -> None:
        """Leave every step where it is."""
        for task in self._tasks.values():
            task.cancel()

    def _dispatch(self) -> None:
        while self._group is not None and self._waiting and len(self._tasks) < CHAINS_MAX and not self._stopping:
            priority, _, incident = heapq.heappop(self._waiting)
            if incident in self._tasks:
                self._again.add(incident)
                continue
            task = self._group.create_task(self._work(incident), name=f"contain {incident}")
            self._tasks[incident] = task
            task.add_done_callback(functools.partial(self._done, incident, priority))

    def _done(self, incident: IncidentId, priority: Priority, task: "asyncio.Task[None]") -> None:
        del self._tasks[incident]
        if task.cancelled() or task.exception() is not None:
            self.stop_taking()  # the group is coming down, and takes no task any more
        if incident in self._again and not self._stopping:
            self._again.discard(incident)
            self.wake(incident, priority)
        self._dispatch()
        self._note_idle()

    def _note_idle(self) -> None:
        if not self._tasks and not self._waiting:
            self._idle.set()

    async def _work(self, incident: IncidentId) -> None:
        """Do what is next for an incident until there is nothing."""
        undone: set[IntentId] = set()
        parked: tuple[IntentId, int] | None = None
        while not self._stopping:
            self._again.discard(incident)
            try:
                move = await self._next(incident, undone)
                if move is None:
                    return
                if isinstance(move, Run):
                    place = (move.record.intent.id, move.record.updated_us)
                    if place == parked:
                        return  # it could not go on: acting is paused
                    parked = place
                await self._do(move, undone)
            except StoreBusyOrFull as error:
                _log.error("the store does not take what was done; trying again", incident=incident, error=str(error))
                parked = None
                await self._environment.clock.sleep_s(STORE_RETRY_S)

    async def _next(self, incident: IncidentId, undone: set[IntentId]) -> NextMove | None:
        def look(connection: Connection) -> tuple[Stage, list[IntentRecord], Waits | None] | None:
            stage = incidents.stage_of(connection, incident)
            if stage is None:
                return None
            waits = recovery_waits(stage, intents.progress(connection, incident))
            return stage, intents.of_incident(connection, incident), waits

        found = await self._environment.store.read(look)
        if found is None:
            return None
        stage, records, waits = found
        return next_move(stage, records, waits, kind_of=self._calls.kind_of, undone=undone)

    async def _do(self, move: NextMove, undone: set[IntentId]) -> None:
        match move:
            case Run(record=record):
                await self._steps.run(record)
            case Wait(record=record, hold=hold, reason=reason):
                change = self._change(IntentState.HELD, reason, hold=hold)
                await self._chronicle.move(record.intent, (IntentState.INTENDED,), change)
            case Skip(records=records, reason=reason):
                for record in records:
                    change = self._change(IntentState.SKIPPED, reason)
                    await self._chronicle.move(record.intent, (IntentState.INTENDED, IntentState.HELD), change)
            case Undo(record=record, reason=reason):
                undone.add(record.intent.id)
                await self._undo(record, reason)

    async def _undo(self, record: IntentRecord, reason: str) -> None:
        assert record.lease is not None
        lease = await self._leases.leave(record.lease, record.intent.incident, who="halon")
        if lease is None or lease.state is LeaseState.CONFLICT:
            return  # it could not be taken back; the lease says why, and was escalated
        others = f"; {lease.target.name} is still held by {', '.join(lease.holders)}" if lease.holders else ""
        change = self._change(IntentState.UNDONE, reason + others)
        await self._chronicle.move(record.intent, (IntentState.VERIFIED, IntentState.UNVERIFIED), change)

    def _change(self, to: IntentState, reason: str, *, hold: Hold | None = None) -> Move:
        return Move(to=to, at_us=self._environment.clock.now_us(), reason=reason, hold=hold)
