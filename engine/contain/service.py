"""`Contain`: durable intents to verified containment, from the daemon's start to its end; the face of this package.

`engine.app` builds it and runs it under its TaskGroup; `engine.pipeline` submits intents once they are durable;
`engine.operate` steers. At start it takes up what an earlier run left (see `_recover`), leases first.
"""

import asyncio
import functools
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from random import SystemRandom
from typing import Any

import structlog

from engine.action import Catalogue
from engine.clock import SECOND_US, Clock
from engine.config import Config
from engine.contain import steering
from engine.contain.calls import Calls
from engine.contain.chronicle import Chronicle
from engine.contain.environment import Environment, Moved, Notify, Protected
from engine.contain.executor import Executor
from engine.contain.guards import Switch
from engine.contain.herald import Herald
from engine.contain.housekeeping import Housekeeping
from engine.contain.leases import Leases
from engine.contain.pinning import Pinning
from engine.contain.reconcile import Reconciler
from engine.contain.secrets import Secrets
from engine.contain.slots import Locks, priority_of
from engine.contain.steering import NotPossible
from engine.contain.step import Steps
from engine.model import IncidentId, IncidentState, Intent, IntentId, Json, Lease, LeaseId, LeaseState
from engine.store import intents, leases, state
from engine.store.connection import Connection
from engine.store.database import Store
from engine.store.errors import StoreBusyOrFull
from engine.store.intents import IntentRecord

Recovered = Callable[[IncidentId], Coroutine[Any, Any, object]]

TICK_S = 1.0
"""How often time is looked at: the resolution of leases, deadlines and the pause file."""

_RANDOM = SystemRandom()
_log = structlog.get_logger(__name__)


class Contain:
    """Carries intents out, keeps leases, and obeys operators."""

    def __init__(
        self,
        *,
        store: Store,
        catalogue: Catalogue,
        settings: Mapping[str, Mapping[str, Json]],
        clock: Clock,
        config: Config,
        secrets: Secrets,
        notify: Notify,
        moved: Moved = lambda _intent, _move: None,
        state_dir: Path,
        protected: Protected = lambda _: False,
        jitter: Callable[[], float] = _RANDOM.random,
    ) -> None:
        self._environment = Environment(
            store=store,
            clock=clock,
            contain=config.contain,
            guards=config.guards,
            incidents=config.incidents,
            recorder=config.recorder,
            notify=notify,
            moved=moved,
            protected=protected,
            state_dir=state_dir,
            jitter=jitter,
        )
        self._calls = Calls(
            catalogue=catalogue,
            settings=settings,
            clock=clock,
            secrets=secrets,
            state_dir=state_dir,
            parallel_max=config.contain.parallel_max,
        )
        self._switch = Switch(state_dir)
        locks, chronicle = Locks(), Chronicle(self._environment)
        self._leases = Leases(self._environment, self._calls, locks, chronicle)
        self._steps = Steps(self._environment, self._calls, locks, self._switch, chronicle)
        self._executor = Executor(self._environment, self._calls, self._steps, self._leases, chronicle)
        self._reconciler = Reconciler(self._environment, self._calls, locks, self._switch, self._leases, chronicle)
        self._housekeeping = Housekeeping(self._environment, self._switch, self._leases, chronicle, self._wake)
        self._chronicle = chronicle
        self._herald = Herald(self._environment, self._calls)
        self._pinning = Pinning(self._environment)
        self._group: asyncio.TaskGroup | None = None
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._stop = asyncio.Event()
        self._stop_within_s = config.daemon.stop_within / SECOND_US
        self.recovered: Recovered = _nobody
        """Is told of an incident that is to be closed by itself."""
        self.ready = asyncio.Event()
        """Set once leases, holds and timers of the last run are taken up: intake may begin."""

    def reconfigure(self, config: Config, protected: Protected) -> None:
        """Other bounds from now on; what is under way and what is held is judged by them at its next look."""
        self._environment.contain, self._environment.guards = config.contain, config.guards
        self._environment.incidents, self._environment.recorder = config.incidents, config.recorder
        self._environment.protected = protected
        self._calls.reconfigure(config.actions, parallel_max=config.contain.parallel_max)
        self._stop_within_s = config.daemon.stop_within / SECOND_US

    async def run(self) -> None:
        """Work until `stop` is called or the task is cancelled. What runs then is left as the store has it."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._calls.attach(group)
            await self._recover()
            self._executor.attach(group)
            keeper = group.create_task(self._keep_house(), name="contain housekeeping")
            self.ready.set()
            await self._stop.wait()
            keeper.cancel()
            await self._drain(group)

    async def stop(self) -> None:
        """Begin nothing more; what runs gets `daemon.stop_within`, then it is parked. `run` returns after that."""
        self._executor.stop_taking()
        self._stop.set()

    async def idle(self) -> None:
        """Return once no step is under way and none waits for its turn (held ones wait for someone else)."""
        await self._executor.idle()

    def submit(self, decided: Sequence[Intent]) -> None:
        """Carry these out; they must be durable in the store. Handing one in twice does nothing the second time."""
        now_us = self._environment.clock.now_us()
        for intent in decided:
            self._steps.note_durable(intent.id, now_us)
        for incident in {intent.incident: intent for intent in decided}.values():
            self._wake(incident)

    async def approve(self, intent: IntentId, *, who: str, digest: str | None = None) -> None:
        """Let a held intent act. Raises NotPossible."""
        now_us = self._environment.clock.now_us()
        approved = await self._environment.store.write(
            lambda connection: steering.approve(connection, intent, who=who, digest=digest, at_us=now_us)
        )
        self._wake(approved)

    async def deny(self, intent: IntentId, *, who: str, reason: str = "") -> None:
        """Refuse a held intent. Raises NotPossible."""
        now_us = self._environment.clock.now_us()
        denied, change = await self._environment.store.write(
            lambda connection: steering.deny(connection, intent, who=who, reason=reason, at_us=now_us)
        )
        self._chronicle.tell(denied, change)
        self._wake(denied)

    async def release(self, lease: LeaseId, *, who: str) -> Lease:
        """End a lease now, whoever holds it; the lease as it is then (`released`, or in doubt). Raises NotPossible."""
        ended = await self._leases.release(lease, who=who)
        if ended is None:
            raise NotPossible(f"no lease {lease}")
        return ended

    async def pause(self, *, who: str) -> None:
        """Stop all new acting at once; it stays so over a restart."""
        self._switch.paused_by = who
        now_us = self._environment.clock.now_us()
        await self._environment.store.write(lambda connection: steering.pause(connection, who=who, at_us=now_us))

    async def resume(self, *, who: str) -> None:
        """Act again; what was held back by the pause goes on."""
        now_us = self._environment.clock.now_us()
        await self._environment.store.write(lambda connection: steering.resume(connection, who=who, at_us=now_us))
        self._switch.paused_by = ""
        await self._tick()
        await self._wake_unsettled()

    async def acknowledge(self, incident: IncidentId, *, who: str, reason: str) -> IncidentState:
        """Somebody looks after an incident now; the state in which it is then. Raises NotPossible."""
        now_us = self._environment.clock.now_us()
        return await self._environment.store.write(
            lambda connection: steering.acknowledge(connection, incident, who=who, reason=reason, at_us=now_us)
        )

    async def advance(
        self, incident: IncidentId, to: IncidentState | None, *, who: str, reason: str
    ) -> tuple[IncidentState, IncidentState]:
        """A person moves an incident on; from where to where. Steps that waited for that go on. Raises NotPossible."""
        now_us = self._environment.clock.now_us()
        moved = await self._environment.store.write(
            lambda connection: steering.advance(connection, incident, to, who=who, reason=reason, at_us=now_us)
        )
        await self._tick()
        return moved

    async def let_go(self, incident: IncidentId, *, who: str) -> list[Lease]:
        """A closed incident gives up its steps and leases: the last that was put in force first, each read back.

        The leases as they are then; one that could not be ended does not keep the others in force.
        """

        def look(connection: Connection) -> tuple[list[IntentRecord], list[Lease]]:
            return intents.of_incident(connection, incident), leases.held_by(connection, incident)

        records, held = await self._environment.store.read(look)
        for record in records:
            self._wake(record.intent)
        place = {record.lease: at for at, record in enumerate(records)}
        held.sort(key=lambda lease: (lease.acquired_us, place.get(lease.id, -1)), reverse=True)
        ended = [await self._leases.leave(lease.id, incident, who=who) for lease in held]
        return [lease for lease in ended if lease is not None]

    @property
    def paused(self) -> str:
        """Why acting is paused; empty while it is not."""
        refusal = self._switch.refusal()
        return "" if refusal is None else refusal.reason

    async def _recover(self) -> None:
        """Take up what the last run left: the pause, leases being ended, then every intent that is not settled."""

        def look(connection: Connection) -> tuple[str, list[Lease], list[IncidentId]]:
            pause = state.paused(connection)
            ending = leases.find(connection, states=(LeaseState.RELEASING,))
            return pause.who if pause else "", ending, leases.held_by_closed(connection)

        self._switch.paused_by, releasing, closed = await self._environment.store.read(look)
        for lease in releasing:
            self._release_soon(lease.id)
        for incident in closed:
            # It ended between the closing and the letting go.
            self._start(f"let go of {incident}", functools.partial(self.let_go, incident, who="halon"))
        await self._tick()
        await self._wake_unsettled()

    async def _wake_unsettled(self) -> None:
        for record in await self._environment.store.read(intents.unsettled):
            self._wake(record.intent)

    def _wake(self, intent: Intent) -> None:
        self._executor.wake(intent.incident, priority_of(intent))

    async def _keep_house(self) -> None:
        was_paused = bool(self.paused)
        while True:
            await self._environment.clock.sleep_s(TICK_S)
            try:
                await self._tick()
                if was_paused and not self.paused:
                    await self._wake_unsettled()  # the pause file is gone: what was parked goes on
                was_paused = bool(self.paused)
                self._read_back()
            except StoreBusyOrFull as error:
                _log.error("the store cannot be looked at; trying again", error=str(error))

    async def _tick(self) -> None:
        for lease in await self._housekeeping.tick():
            self._release_soon(lease)
        for notice in await self._herald.waiting():
            self._start(f"notice {notice.id}", functools.partial(self._herald.send, notice))
        if self._housekeeping.pins:
            # Looking through the recorder takes its time, for which nothing else waits.
            self._start("recorded events", functools.partial(self._pinning.look, self._housekeeping.pins))
        for incident in self._housekeeping.recovered:
            self._start(f"close {incident}", functools.partial(self.recovered, incident))

    def _read_back(self) -> None:
        """Start a reading of each lease that is due for one."""
        live = {lease for _, lease in self._housekeeping.live}
        for lease in self._reconciler.due(live, self._environment.clock.now_us()):
            self._start(lease, functools.partial(self._reconciler.reconcile, lease))

    def _release_soon(self, lease: LeaseId) -> None:
        self._start(lease, functools.partial(self._leases.release, lease, who="halon"))

    def _start(self, what: str, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """One task per lease, notice or incident at a time; what is due while one runs is found due again later."""
        if what in self._under_way or self._group is None:
            return
        self._under_way[what] = self._group.create_task(self._tend(what, work), name=f"tend {what}")

    async def _tend(self, what: str, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
        try:
            await work()
        except StoreBusyOrFull as error:
            _log.error("the store does not take what became of it", what=what, error=str(error))
        finally:
            del self._under_way[what]

    async def _drain(self, group: asyncio.TaskGroup) -> None:
        """Give what runs its time to end, then leave it where it is."""
        timer = group.create_task(self._environment.clock.sleep_s(self._stop_within_s), name="contain stop timer")
        ended = group.create_task(self._quiet(), name="contain drained")
        await asyncio.wait({timer, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            _log.warning("steps are still under way and are parked; they are taken up at the next start")
        for task in (timer, ended, *self._under_way.values()):
            task.cancel()
        self._executor.cancel()

    async def _quiet(self) -> None:
        """Return once no step and no lease is being worked on."""
        await self._executor.idle()
        if self._under_way:
            await asyncio.wait(self._under_way.values())


async def _nobody(incident: IncidentId) -> None:
    """Nobody closes incidents by themselves."""
    del incident
