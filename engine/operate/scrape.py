"""The daemon as it stands, to the gauges, at the moment somebody asks for the metrics.

What only moves by counting is counted where it happens; how many leases are in force, what a budget still allows or
whether a door is open is read here, so that no gauge can be stale. `engine.app` builds one; the control socket and the
HTTP port serve what `render` gives.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from engine.clock import SECOND_US
from engine.model import IncidentState, LeaseState
from engine.operate import views
from engine.operate.control import Reader
from engine.operate.metrics import Metrics
from engine.operate.shown import BudgetRow, Live, Stored
from engine.store.connection import Connection


class Scrape:
    """One registry, made current each time. Scrapes at the same time wait for each other."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        status: Callable[[], Awaitable[Live]],
        read: Reader,
        stored: Callable[[Connection], Stored],
        evictions: Callable[[], Counter[str]],
        paused: Callable[[], bool],
    ) -> None:
        """`status` is `Steering.status`, `read` is `Store.read`, `stored` as in the control server."""
        self._metrics = metrics
        self._status = status
        self._read = read
        self._stored = stored
        self._evictions = evictions
        self._paused = paused
        self._kinds: set[str] = set()
        self._doors: set[str] = set()
        self._evicted: Counter[str] = Counter()
        self._lock = asyncio.Lock()

    async def render(self) -> bytes:
        """The text format of Prometheus. Raises StoreError where the store can't be read."""
        async with self._lock:
            live = await self._status()
            stored, leases = await self._read(
                lambda connection: (self._stored(connection), views.leases_by_kind(connection))
            )
            self._refresh(live, stored, leases)
            return self._metrics.render()

    def _refresh(self, live: Live, stored: Stored, leases: dict[str, int]) -> None:
        metrics = self._metrics
        for door in live.doors:
            metrics.door(door.name, connected=door.connected)
        names = {door.name for door in live.doors}
        for gone in self._doors - names:
            metrics.door_gone(gone)
        self._doors = names
        metrics.rules_loaded(rules=live.rules.rules, at_us=round(live.rules.loaded.timestamp() * SECOND_US))
        metrics.acting(mode=live.mode, paused=self._paused())
        self._kinds |= leases.keys()
        metrics.held(
            incidents_open=sum(count for state, count in stored.incidents.items() if state is not IncidentState.CLOSED),
            leases={kind: leases.get(kind, 0) for kind in self._kinds},
            in_conflict=stored.leases.get(LeaseState.CONFLICT, 0),
        )
        metrics.life(
            overdue=stored.overdue,
            notices=stored.notices,
            recorded=stored.recorded.events if stored.recorded is not None else 0,
            watched=stored.watched,
        )
        metrics.set_aside(len(stored.set_aside))
        for budget in stored.budgets:
            self._budget(budget)
        metrics.queue("events", live.in_flight)
        metrics.queue("steps", stored.steps_under_way)
        metrics.queue("steps-held", stored.steps_held)
        metrics.queue("deadletters", stored.deadletters)
        evicted = self._evictions()
        for owner, count in (evicted - self._evicted).items():
            metrics.evicted(owner, count)
        self._evicted = evicted

    def _budget(self, budget: BudgetRow) -> None:
        if budget.held_max:
            self._metrics.budget(kind=budget.kind, budget="held", left=max(0, budget.held_max - budget.held))
        if budget.per_hour_max:
            left = max(0, budget.per_hour_max - budget.last_hour)
            self._metrics.budget(kind=budget.kind, budget="per_hour", left=left)
