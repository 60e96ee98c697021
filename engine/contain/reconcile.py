"""Live leases to targets read back: what someone undid is put in place again, a few times, and then escalated.

The service calls `due` on every tick and runs `reconcile` for each lease that it names, all under the target's lock.
"""

import contextlib
from collections.abc import Collection

from engine.config import BudgetConfig
from engine.contain import guards
from engine.contain.calls import Call, Calls
from engine.contain.chronicle import Chronicle, lose_containment, settle_incident
from engine.contain.environment import Cause, Environment, Escalation
from engine.contain.guards import Refusal, Switch
from engine.contain.leases import Leases
from engine.contain.slots import URGENT, Locks
from engine.model import (
    AlreadyInPlace,
    Applied,
    InForce,
    Lease,
    LeaseId,
    LeaseState,
    Mode,
    NotInForce,
    Plan,
    Receipt,
    Refused,
    Unknown,
)
from engine.store import leases
from engine.store.connection import Connection

_NO_BUDGET = BudgetConfig()
UNREADABLE_MAX = 3
"""After so many readings in a row that failed, someone is told; once, until it can be read again."""


class Reconciler:
    """Reads live leases back."""

    def __init__(
        self,
        environment: Environment,
        calls: Calls,
        locks: Locks,
        switch: Switch,
        lease_book: Leases,
        chronicle: Chronicle,
    ) -> None:
        self._environment = environment
        self._calls = calls
        self._locks = locks
        self._switch = switch
        self._leases = lease_book
        self._chronicle = chronicle
        self._next_us: dict[LeaseId, int] = {}
        self._unreadable: dict[LeaseId, int] = {}

    def due(self, live: Collection[LeaseId], now_us: int) -> list[LeaseId]:
        """The leases to be read back now; each comes again after the interval, give or take a fifth."""
        for gone in self._next_us.keys() - set(live):
            del self._next_us[gone]
            self._unreadable.pop(gone, None)
        for lease in live:
            self._next_us.setdefault(lease, now_us + self._interval_us())
        found = [lease for lease, next_us in self._next_us.items() if next_us <= now_us]
        for lease in found:
            self._next_us[lease] = now_us + self._interval_us()
        return found

    def _interval_us(self) -> int:
        return round(self._environment.contain.reconcile_every * (0.8 + 0.4 * self._environment.jitter()))

    async def reconcile(self, lease: LeaseId) -> None:
        """Read one lease back, and mend it where that is allowed."""
        known = await self._get(lease)
        if known is None:
            return
        async with self._locks.target(known.target, URGENT):
            known = await self._get(lease)
            if known is None:
                return
            call = self._leases.call(known)
            if isinstance(call, Refused):
                await self._unread(known, call.reason)
                return
            match await self._calls.verify(call, known.receipt):
                case InForce(detail=detail):
                    self._unreadable.pop(lease, None)
                    if known.lost:
                        await self._change(known, "in-force", detail=f"in force again: {detail}", lost=False)
                case Unknown(reason=reason):
                    await self._unread(known, reason)
                case NotInForce(detail=detail):
                    self._unreadable.pop(lease, None)
                    await self._mend(call, known, detail)

    async def _get(self, lease: LeaseId) -> Lease | None:
        """The lease, while it is in force and its time is not over."""
        known = await self._environment.store.read(lambda connection: leases.get(connection, lease))
        in_force = known is not None and known.state is LeaseState.IN_FORCE
        return known if known is not None and in_force and known.expires_us > self._now_us() else None

    async def _mend(self, call: Call, lease: Lease, detail: str) -> None:
        """Someone undid it: write the drift down, then apply again, as long as the bound and the guards allow."""
        if lease.drifts >= self._environment.contain.reapply_max:
            await self._give_up(lease, f"it was undone {lease.drifts + 1} times: {detail}")
            return
        forbidden = self._forbidden(lease)
        if forbidden:
            await self._drift_without_mending(lease, f"{detail}; not applied again: {forbidden}")
            return
        async with contextlib.AsyncExitStack() as held:
            plan = await self._calls.check(call)
            if isinstance(plan, Plan) and (pool := guards.needs_pool(plan, self._budget(lease))) is not None:
                # What would be left serving must be seen after whoever acted on the pool before.
                waited = await held.enter_async_context(self._locks.hold("pool", f"{lease.target.kind}/{pool}", URGENT))
                plan = await self._calls.check(call) if waited else plan
            if isinstance(plan, Plan):
                await self._put_back(call, lease, plan, detail)
            else:
                drifted = await self._change(lease, "drifted", drifts=lease.drifts + 1, detail=_undone(detail))
                reason = plan.reason if isinstance(plan, Refused) else plan.error
                await self._drift_without_mending(drifted, f"{detail}; it cannot be applied again: {reason}")

    async def _put_back(self, call: Call, lease: Lease, plan: Plan, detail: str) -> None:
        """Reserve the act and write the drift down in one, then apply again and read back."""
        now_us = self._now_us()

        def commit(connection: Connection) -> Lease | Refusal:
            refusal = guards.reserve_again(
                connection, lease=lease, plan=plan, budget=self._budget(lease), now_us=now_us
            )
            if refusal is not None:
                return refusal
            return leases.change(
                connection, lease.id, at_us=now_us, kind="drifted", drifts=lease.drifts + 1, detail=_undone(detail)
            )

        drifted = await self._environment.store.write(commit)
        if isinstance(drifted, Refusal):
            await self._drift_without_mending(lease, f"{detail}; not applied again: {drifted.reason}")
            return
        answer = await self._calls.apply(call, plan)
        receipt = answer.receipt if isinstance(answer, Applied | AlreadyInPlace) else plan.receipt
        # Whatever apply said, only what is read back counts.
        if isinstance(await self._calls.verify(call, receipt), InForce):
            said = f"applied again after: {detail}"
            await self._change(drifted, "reapplied", detail=said, receipt=receipt, lost=False)
            self._tell(
                lease,
                f"it was undone and applied again ({drifted.drifts} of at most "
                f"{self._environment.contain.reapply_max} times): {detail}",
            )
        else:
            await self._drift_without_mending(drifted, f"{detail}; applying again did not put it in force: {answer}")

    def _budget(self, lease: Lease) -> BudgetConfig:
        return self._environment.guards.budget.get(lease.target.kind, _NO_BUDGET)

    def _forbidden(self, lease: Lease) -> str:
        refusal = self._switch.refusal() or guards.protected(self._environment, lease.target)
        if refusal is not None:
            return refusal.reason
        return "guards.mode is `observe`" if self._environment.guards.mode is Mode.OBSERVE else ""

    async def _drift_without_mending(self, lease: Lease, detail: str) -> None:
        """It is not in force now and we may or could not change that: its incidents are not contained any more."""
        if lease.detail == detail and lease.lost:
            return  # said already
        await self._change(lease, "not-in-force", detail=detail, lost=True)
        self._tell(lease, detail)

    async def _give_up(self, lease: Lease, detail: str) -> None:
        await self._change(lease, "given-up", state=LeaseState.CONFLICT, detail=detail, lost=True)
        self._tell(lease, f"{detail}; it is not applied again")

    async def _unread(self, lease: Lease, reason: str) -> None:
        self._unreadable[lease.id] = self._unreadable.get(lease.id, 0) + 1
        if self._unreadable[lease.id] == UNREADABLE_MAX:
            self._tell(lease, f"whether it is in force cannot be read back: {reason}")

    async def _change(
        self,
        lease: Lease,
        kind: str,
        *,
        detail: str,
        state: LeaseState | None = None,
        drifts: int | None = None,
        receipt: Receipt | None = None,
        lost: bool | None = None,
    ) -> Lease:
        now_us = self._now_us()

        def commit(connection: Connection) -> Lease:
            changed = leases.change(
                connection,
                lease.id,
                at_us=now_us,
                kind=kind,
                state=state,
                detail=detail,
                drifts=drifts,
                receipt=receipt,
                adopted=False if receipt is not None else None,
                lost=lost,
            )
            for holder in lease.holders:
                if lost:
                    lose_containment(
                        connection,
                        holder,
                        now_us,
                        f"{lease.id} is not in force: {detail}",
                        contain_within_us=self._environment.incidents.contain_within,
                    )
                elif lease.lost and lost is not None:
                    settle_incident(connection, holder, now_us)
            return changed

        return await self._environment.store.write(commit)

    def _tell(self, lease: Lease, reason: str) -> None:
        self._chronicle.escalate(
            Escalation(
                cause=Cause.DRIFT,
                reason=f"{lease.action} on {lease.target.name}: {reason}",
                at_us=self._now_us(),
                incident=lease.holders[0] if lease.holders else None,
                lease=lease.id,
            )
        )

    def _now_us(self) -> int:
        return self._environment.clock.now_us()


def _undone(detail: str) -> str:
    return detail or "undone by someone"
