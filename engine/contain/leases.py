"""Verified effects to leases, and leases to restored targets: acquired with holders, ended by the last one's going,
by expiry or by an operator.

A lease that cannot be ended stays listed in doubt (`conflict`) with the reason; it is never shown as released.
`engine.contain.step` grants leases inside the transaction that verifies an intent; the service ends them.
"""

from engine.clock import SECOND_US
from engine.contain.calls import Call, Calls
from engine.contain.chronicle import Chronicle, lose_containment, settle_incident
from engine.contain.environment import Cause, Environment, Escalation
from engine.contain.slots import URGENT, Locks
from engine.model import (
    Conflict,
    Failed,
    IncidentId,
    InForce,
    Intent,
    Lease,
    LeaseId,
    LeaseState,
    NotInForce,
    Plan,
    Receipt,
    Refused,
    Undoing,
    Undone,
    lease_id,
)
from engine.store import leases, timers
from engine.store.connection import Connection
from engine.store.timers import Timer

RETRY_US = 300 * SECOND_US
"""A lease that could not be ended for a failure of the target's is tried again after this, as long as it is live."""


def new_lease(intent: Intent, plan: Plan, receipt: Receipt, *, adopted: bool, now_us: int, default_us: int) -> Lease:
    """The lease of an effect; `adopted` where it was in place before anything was done."""
    held_us = default_us if intent.hold_us is None else intent.hold_us
    return Lease(
        id=lease_id(intent.action, plan.target),
        action=intent.action,
        target=plan.target,
        params=intent.params,
        receipt=receipt,
        intent=intent.id,
        holders=(intent.incident,),
        state=LeaseState.IN_FORCE,
        acquired_us=now_us,
        expires_us=now_us + held_us,
        adopted=adopted,
        detail="found in place; letting go leaves it so" if adopted else "",
    )


def grant(connection: Connection, lease: Lease, *, at_us: int) -> None:
    """Put a lease in force, or join the live one; what was found in place because we did it earlier stays ours."""
    live = leases.get(connection, lease.id)
    if live is not None and live.state is LeaseState.IN_FORCE and lease.adopted:
        lease = Lease(
            id=live.id,
            action=live.action,
            target=live.target,
            params=live.params,
            receipt=live.receipt,
            intent=live.intent,
            holders=lease.holders,
            state=LeaseState.IN_FORCE,
            acquired_us=live.acquired_us,
            expires_us=lease.expires_us,
            adopted=live.adopted,
            detail=live.detail,
        )
    acquired = leases.acquire(connection, lease, at_us=at_us)
    timers.drop(connection, timers.RELEASE + lease.id)
    if live is not None and live.lost:
        for holder in acquired.holders:
            settle_incident(connection, holder, at_us)  # what was lost is in force again


def doubt(connection: Connection, lease: Lease, *, at_us: int, reason: str) -> None:
    """Keep hold of an effect that may be in force, so that it is seen, counted, and let go of when its time is over."""
    live = leases.get(connection, lease.id)
    if live is not None and live.state is not LeaseState.RELEASED:
        leases.change(connection, lease.id, at_us=at_us, kind="doubted", state=LeaseState.CONFLICT, detail=reason)
        return
    leases.acquire(connection, lease, at_us=at_us)
    leases.change(connection, lease.id, at_us=at_us, kind="doubted", state=LeaseState.CONFLICT, detail=reason)
    timers.put(connection, Timer(name=timers.RELEASE + lease.id, due_us=lease.expires_us, body={"lease": lease.id}))


class Leases:
    """Ends leases."""

    def __init__(self, environment: Environment, calls: Calls, locks: Locks, chronicle: Chronicle) -> None:
        self._environment = environment
        self._calls = calls
        self._locks = locks
        self._chronicle = chronicle
        self.ended_kinds: set[str] = set()
        """Kinds of targets of which a lease ended lately: steps that wait for a pool of such a kind look again."""

    def call(self, lease: Lease) -> Call | Refused:
        """The call of a lease's action with its recorded parameters."""
        return self._calls.prepare(
            lease.action,
            lease.params,
            intent=lease.intent,
            incident=lease.holders[0] if lease.holders else IncidentId(""),
            priority=URGENT,
            timeout_us=self._environment.contain.step_timeout,
        )

    async def leave(self, lease: LeaseId, incident: IncidentId, *, who: str) -> Lease | None:
        """One incident lets go; the last one to do so ends the lease. The lease as it is then."""
        store, now_us = self._environment.store, self._environment.clock.now_us()
        left = await store.write(lambda connection: leases.drop_holder(connection, lease, incident, at_us=now_us))
        if left:
            return await store.read(lambda connection: leases.get(connection, lease))
        return await self.release(lease, who=who)

    async def release(self, lease: LeaseId, *, who: str) -> Lease | None:
        """End a lease: restore the target from the receipt, and read back that it was. The lease as it is then.

        None where there is no such lease. What someone else changed since is left as it is, and said.
        """
        known = await self._environment.store.read(lambda connection: leases.get(connection, lease))
        if known is None or known.state is LeaseState.RELEASED:
            return known
        async with self._locks.target(known.target, URGENT):
            known = await self._environment.store.read(lambda connection: leases.get(connection, lease))
            if known is None or known.state is LeaseState.RELEASED:
                return known
            again = known.state is not LeaseState.IN_FORCE
            known = await self._change(known, "releasing", LeaseState.RELEASING, known.detail, who)
            if known.adopted:
                return await self._change(known, "released", LeaseState.RELEASED, "left as it was found", who)
            return await self._end(known, await self._undo(known, again=again), who)

    async def _undo(self, lease: Lease, *, again: bool) -> Undoing:
        """Undo, and read back; `again`: an earlier try may have succeeded, so the target is asked first."""
        call = self.call(lease)
        if isinstance(call, Refused):
            return Failed(call.reason)
        if again and isinstance(await self._calls.verify(call, lease.receipt), NotInForce):
            return Undone("it was not in force any more")
        tries = 0
        while True:
            tries += 1
            answer = await self._calls.undo(call, lease.receipt)
            if not isinstance(answer, Failed) or not answer.retryable or tries > self._environment.contain.retries:
                break
            await self._environment.clock.sleep_s(self._environment.backoff_s(tries))
        if isinstance(answer, Undone) and isinstance(await self._calls.verify(call, lease.receipt), InForce):
            return Failed("undo said it was done, but reading the target back shows the effect still in force")
        return answer

    async def _end(self, lease: Lease, answer: Undoing, who: str) -> Lease:
        match answer:
            case Undone(detail=detail):
                return await self._change(lease, "released", LeaseState.RELEASED, detail, who)
            case Conflict(reason=reason):
                ended = await self._change(lease, "conflict", LeaseState.CONFLICT, reason, who)
            case Failed(error=error):
                ended = await self._change(lease, "not-released", LeaseState.CONFLICT, error, who, retry=True)
        self._chronicle.escalate(
            Escalation(
                cause=Cause.LEASE,
                reason=f"{lease.action} on {lease.target.name} could not be undone: {ended.detail}",
                at_us=self._environment.clock.now_us(),
                incident=lease.holders[0] if lease.holders else None,
                lease=lease.id,
            )
        )
        return ended

    async def _change(
        self, lease: Lease, kind: str, state: LeaseState, detail: str, who: str, *, retry: bool = False
    ) -> Lease:
        now_us = self._environment.clock.now_us()

        def commit(connection: Connection) -> Lease:
            timers.drop(connection, timers.RELEASE + lease.id)
            if retry:
                timers.put(
                    connection,
                    Timer(name=timers.RELEASE + lease.id, due_us=now_us + RETRY_US, body={"lease": lease.id}),
                )
            if state is LeaseState.RELEASED:
                for holder in lease.holders:
                    lose_containment(
                        connection,
                        holder,
                        now_us,
                        f"{lease.id} was released by {who}" if who != "halon" else f"{lease.id} has expired",
                        contain_within_us=self._environment.incidents.contain_within,
                    )
            return leases.change(
                connection, lease.id, at_us=now_us, kind=kind, who=who, state=state, detail=detail, lost=False
            )

        changed = await self._environment.store.write(commit)
        if state is LeaseState.RELEASED:
            self.ended_kinds.add(lease.target.kind)
        return changed
