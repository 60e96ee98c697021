"""The passing of time to what is due: leases that end, approvals that ran out, holds that are over, deadlines.

The service calls `tick` once a second. What is due is read from the store each time, so what passed while the daemon
was down comes up at the first tick, in the order of its time.
"""

from collections.abc import Callable, Sequence, Set

from engine.clock import format_duration
from engine.config import BudgetConfig
from engine.contain import guards, steering
from engine.contain.chronicle import Chronicle
from engine.contain.environment import Environment
from engine.contain.guards import Switch
from engine.contain.leases import Leases
from engine.contain.lifecycle import is_recovered, recovery_waits
from engine.contain.overdue import Overdue
from engine.contain.slots import priority_of
from engine.model import IncidentId, IncidentState, Intent, LeaseId, LeaseState, Struct, lease_id
from engine.store import incidents, intents, leases, timers, watches
from engine.store.connection import Connection
from engine.store.intents import Hold, IntentRecord, Move
from engine.store.timers import Timer
from engine.store.watches import Watched

LiveLeases = frozenset[tuple[str, LeaseId]]


class _Due(Struct, frozen=True):
    """What the store says at one moment."""

    live: LiveLeases
    expired: tuple[LeaseId, ...]
    overdue: tuple[IntentRecord, ...]
    over: tuple[tuple[IntentRecord, str], ...]
    timers: tuple[Timer, ...]
    recovered: tuple[IncidentId, ...]
    unwatched: tuple[Watched, ...]


class Housekeeping:
    """Finds what is due and does what concerns the store alone. `wake` hears of each intent that may go on."""

    def __init__(
        self,
        environment: Environment,
        switch: Switch,
        lease_book: Leases,
        chronicle: Chronicle,
        wake: Callable[[Intent], None],
    ) -> None:
        self._environment = environment
        self._switch = switch
        self._leases = lease_book
        self._chronicle = chronicle
        self._wake = wake
        self.live: LiveLeases = frozenset()
        """(target kind, id) of the leases in force at the last tick."""
        self._overdue = Overdue(environment, chronicle)
        self.pins: Sequence[Timer] = ()
        """At which recorded events are to be kept, as of the last tick."""
        self.recovered: tuple[IncidentId, ...] = ()
        """Incidents that are to be closed by themselves, as of the last tick."""
        self._first = True

    async def tick(self) -> list[LeaseId]:
        """Look once; returns the leases that are now to be ended."""
        now_us = self._environment.clock.now_us()
        paused = self._switch.refusal() is not None
        ended = frozenset(self._leases.ended_kinds)
        due = await self._environment.store.read(
            lambda connection: self._look(connection, ended, now_us, paused=paused)
        )
        self._leases.ended_kinds -= ended
        self.live, self._first = due.live, False
        for record in due.overdue:
            await self._deny(record, now_us)
        for record, why in due.over:
            await self._set_free(record, why, now_us)
        await self._overdue.look([each for each in due.timers if each.name.startswith(timers.DEADLINE)], now_us)
        if due.unwatched:
            await self._environment.store.write(lambda connection: _unwatch(connection, due.unwatched, now_us))
        self.pins = [each for each in due.timers if each.name.startswith(timers.PIN)]
        self.recovered = due.recovered
        # Letting go is acting too: while acting is paused, what is in force stays in force.
        return [] if paused else [*due.expired, *_releases(due.timers)]

    def _look(self, connection: Connection, ended: Set[str], now_us: int, *, paused: bool) -> _Due:
        live = frozenset(
            (lease.target.kind, lease.id) for lease in leases.find(connection, states=(LeaseState.IN_FORCE,))
        )
        held = sorted(
            intents.held(connection, *(set(Hold) - {Hold.APPROVAL, Hold.DECISION})),
            key=lambda record: priority_of(record.intent),
        )
        return _Due(
            live=live,
            expired=tuple(lease.id for lease in leases.expired(connection, now_us)),
            overdue=tuple(intents.overdue(connection, now_us)),
            over=() if paused else tuple(self._over(connection, held, live, ended, now_us)),
            timers=tuple(timers.due(connection, now_us)),
            recovered=tuple(self._recovered(connection)),
            unwatched=tuple(watches.ended(connection, now_us)),
        )

    def _over(
        self, connection: Connection, held: Sequence[IntentRecord], live: LiveLeases, ended: Set[str], now_us: int
    ) -> list[tuple[IntentRecord, str]]:
        """The holds whose reason is gone. One per kind of target and tick for budgets, lest all rush for one place."""
        over: list[tuple[IntentRecord, str]] = []
        budgets: set[str] = set()
        for record in held:
            if incidents.state_of(connection, record.intent.incident) is IncidentState.CLOSED:
                continue  # it was woken to be skipped
            why = self._why_over(connection, record, live, ended, now_us)
            kind = record.plan.target.kind if record.plan is not None else ""
            if why is None or (record.hold is Hold.BUDGET and kind in budgets):
                continue
            if record.hold is Hold.BUDGET:
                budgets.add(kind)
            over.append((record, why))
        return over

    def _why_over(
        self, connection: Connection, record: IntentRecord, live: LiveLeases, ended: Set[str], now_us: int
    ) -> str | None:
        """Why an intent need not wait any more, or None."""
        plan = record.plan
        match record.hold:
            case Hold.PAUSE:
                return "acting goes on"
            case Hold.CONTAINMENT | Hold.INVESTIGATION:
                stage = incidents.stage_of(connection, record.intent.incident)
                progress = intents.progress(connection, record.intent.incident)
                waits = None if stage is None else recovery_waits(stage, progress)
                return "what comes before it is done" if waits is None or waits.hold is not record.hold else None
            case Hold.PROTECTED if plan is not None:
                return "no longer protected" if guards.protected(self._environment, plan.target) is None else None
            case Hold.LEASE if plan is not None:
                wanted = lease_id(record.intent.action, plan.target)
                return "the other lease ended" if all(lease != wanted for _, lease in live) else None
            case Hold.SERVING if plan is not None:
                return "a lease of its kind ended" if self._first or plan.target.kind in ended else None
            case Hold.BUDGET if plan is not None:
                budget = self._environment.guards.budget.get(plan.target.kind, BudgetConfig())
                refusal = guards.reserve(connection, target=plan.target, share_after=1.0, budget=budget, now_us=now_us)
                return "the budget has room" if refusal is None else None
            case _:
                return None

    async def _deny(self, record: IntentRecord, now_us: int) -> None:
        waited = format_duration(self._environment.approval_us(record.intent.phase))

        def commit(connection: Connection) -> tuple[Intent, Move] | None:
            known = intents.get(connection, record.intent.id)
            if known is None or known.updated_us != record.updated_us or known.hold is not record.hold:
                return None  # approved or denied since it was looked at
            reason = f"nobody approved it within {waited}"
            return steering.deny(connection, record.intent.id, who="halon", reason=reason, at_us=now_us)

        denied = await self._environment.store.write(commit)
        if denied is not None:
            self._chronicle.tell(*denied)
            self._wake(record.intent)

    def _recovered(self, connection: Connection) -> list[IncidentId]:
        if not self._environment.incidents.close_recovered:
            return []
        stages = ((each, incidents.stage_of(connection, each)) for each in incidents.recovering(connection))
        return [
            each
            for each, stage in stages
            if stage is not None and is_recovered(stage, intents.progress(connection, each))
        ]

    async def _set_free(self, record: IntentRecord, why: str, now_us: int) -> None:
        if await self._environment.store.write(
            lambda connection: steering.set_free(connection, record, why=why, at_us=now_us)
        ):
            self._wake(record.intent)


def _unwatch(connection: Connection, ended: Sequence[Watched], now_us: int) -> None:
    """What was watched for its time is taken off the list; the core has its own clock for that."""
    for each in ended:
        watches.drop(connection, each.key, at_us=now_us, who="halon", reason="its time is over")


def _releases(due: Sequence[Timer]) -> list[LeaseId]:
    named = (timer.body.get("lease") for timer in due if timer.name.startswith(timers.RELEASE))
    return [LeaseId(lease) for lease in named if isinstance(lease, str)]
