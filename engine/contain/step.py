"""One intent to its outcome: check, guards, apply, verify, lease, in the order of docs/architecture.md.

Every move is committed before the next effect. `Steps.run` starts wherever the store says the intent has come to, so
that a fresh step and one found after a crash go the same way. `engine.contain.executor` calls it, one step of an
incident at a time.
"""

import contextlib

import msgspec

from engine.config import BudgetConfig
from engine.contain import guards
from engine.contain.calls import Call, Calls, Doubtful
from engine.contain.chronicle import Chronicle
from engine.contain.environment import Environment
from engine.contain.guards import Refusal, Switch
from engine.contain.leases import doubt, grant, new_lease
from engine.contain.slots import Locks, priority_of
from engine.model import (
    AlreadyInPlace,
    Applied,
    Failed,
    InForce,
    Intent,
    IntentId,
    IntentState,
    LeaseState,
    Mode,
    NotInForce,
    Plan,
    Receipt,
    Refused,
    Unknown,
    Unverified,
    Verdict,
    Verification,
    lease_id,
)
from engine.store import intents, leases
from engine.store.connection import Connection
from engine.store.intents import Hold, IntentRecord, Move

NOTED_MAX = 100_000
"""Intents whose durable time is remembered; past this the oldest go without one."""
_START = (IntentState.INTENDED,)
_NO_BUDGET = BudgetConfig()


class Steps:
    """Carries out single intents."""

    def __init__(
        self, environment: Environment, calls: Calls, locks: Locks, switch: Switch, chronicle: Chronicle
    ) -> None:
        self._environment = environment
        self._calls = calls
        self._locks = locks
        self._switch = switch
        self._chronicle = chronicle
        self._durable_us: dict[IntentId, int] = {}

    def note_durable(self, intent: IntentId, now_us: int) -> None:
        """Remember when an intent was known to be durable, until its first move writes it down."""
        self._durable_us[intent] = now_us
        while len(self._durable_us) > NOTED_MAX:
            del self._durable_us[next(iter(self._durable_us))]

    async def run(self, record: IntentRecord) -> None:
        """Carry an intent as far as it can come now: settled, held, or left where it is because acting is paused."""
        intent = record.intent
        call = self._calls.prepare(
            intent.action,
            intent.params,
            intent=intent.id,
            incident=intent.incident,
            priority=priority_of(intent),
            timeout_us=intent.timeout_us,
        )
        if isinstance(call, Refused):
            await self._refuse(intent, record.state, call)
            return
        match record.state:
            case IntentState.INTENDED:
                await self._begin(call, record)
            case IntentState.APPLYING:
                assert record.plan is not None
                async with self._locks.target(record.plan.target, call.priority):
                    await self._resume(call, intent, record.plan)
            case IntentState.APPLIED:
                assert record.plan is not None
                assert record.receipt is not None
                async with self._locks.target(record.plan.target, call.priority):
                    adopted = record.plan.in_place and isinstance(record.outcome, AlreadyInPlace)
                    await self._verify(call, intent, record.plan, record.receipt, adopted=adopted)
            case _:
                raise AssertionError(f"{intent.id} is {record.state}, and nothing is to be done for it")

    async def _begin(self, call: Call, record: IntentRecord) -> None:
        """From `intended`: look first, then pass the guards one by one."""
        intent = record.intent
        if intent.verdict is Verdict.OBSERVE or self._environment.guards.mode is Mode.OBSERVE:
            await self._observe(call, intent)
            return
        waits = self._waits(record) or self._switch.refusal()
        if waits is not None:
            await self._hold(intent, waits)
            return
        plan = await self._check(call, intent)
        if not isinstance(plan, Plan):
            await self._refuse(intent, IntentState.INTENDED, plan)
            return
        async with contextlib.AsyncExitStack() as held:
            waited = await held.enter_async_context(self._locks.target(plan.target, call.priority))
            pool = guards.needs_pool(plan, self._budget(plan))
            if pool is not None:
                name = f"{plan.target.kind}/{pool}"
                waited = await held.enter_async_context(self._locks.hold("pool", name, call.priority)) or waited
            if waited:
                # Whoever was before us may have changed what we saw: the prior state must be looked at again.
                fresh = await self._check(call, intent)
                if not isinstance(fresh, Plan):
                    await self._refuse(intent, IntentState.INTENDED, fresh)
                    return
                if (fresh.target.kind, fresh.target.name) != (plan.target.kind, plan.target.name):
                    await self._refuse(
                        intent, IntentState.INTENDED, Failed("the target changed while it was waited for")
                    )
                    return
                plan = fresh
            await self._pass_guards(call, record, plan)

    async def _pass_guards(self, call: Call, record: IntentRecord, plan: Plan) -> None:
        intent = record.intent
        refusal = guards.protected(self._environment, plan.target) or self._switch.refusal()
        if refusal is not None:
            await self._hold(intent, refusal, plan)
            return
        now_us = self._environment.clock.now_us()
        applying = Move(
            to=IntentState.APPLYING,
            at_us=now_us,
            reason=plan.would,
            plan=plan,
            durable_us=self._durable_us.pop(intent.id, None),
        )

        def commit(connection: Connection) -> tuple[Refusal | None, Plan]:
            live = leases.get(connection, lease_id(intent.action, plan.target)) if call.action.reversible else None
            planned = plan
            if live is not None and live.state is LeaseState.IN_FORCE:
                if plan.in_place:
                    # Another incident of ours did it: what undoes it is that one's receipt.
                    planned = msgspec.structs.replace(plan, receipt=live.receipt)
                elif live.params != intent.params:
                    reason = f"{live.id} holds {plan.target.name} with other parameters; release it first"
                    return Refusal(hold=Hold.LEASE, reason=reason), plan
            if not plan.in_place and not record.override:
                budget = self._budget(plan)
                refused = guards.reserve(
                    connection,
                    target=plan.target,
                    share_after=plan.serving_share_after,
                    budget=budget,
                    now_us=now_us,
                )
                if refused is not None:
                    return refused, plan
            intents.move(connection, intent.id, expected=_START, change=msgspec.structs.replace(applying, plan=planned))
            return None, planned

        refusal, planned = await self._environment.store.write(commit)
        if refusal is not None:
            await self._hold(intent, refusal, plan)
            return
        self._chronicle.tell(intent, applying)
        await self._apply(call, intent, planned)

    async def _resume(self, call: Call, intent: Intent, plan: Plan) -> None:
        """From `applying`, found after a stop: it may have happened. Ask the target before doing it again."""
        found = await self._read_back(call, intent, plan.receipt)
        match found:
            case InForce(detail=detail):
                outcome = AlreadyInPlace if plan.in_place else Applied
                await self._applied(call, intent, plan, outcome(plan.receipt, f"found in force: {detail}"))
            case NotInForce():
                protected = guards.protected(self._environment, plan.target)
                if protected is not None:
                    await self._refuse(intent, IntentState.APPLYING, Refused(protected.reason))
                elif self._environment.guards.mode is Mode.OBSERVE:
                    await self._refuse(intent, IntentState.APPLYING, Refused("guards.mode is `observe` now"))
                elif self._switch.refusal() is None:
                    await self._apply(call, intent, plan)
            case Unknown(reason=reason):
                await self._unverified(
                    call, intent, plan, plan.receipt, IntentState.APPLYING, f"it may be in force: {reason}"
                )

    async def _apply(self, call: Call, intent: Intent, plan: Plan) -> None:
        """Act; again only where it is proven that nothing happened."""
        tries = 0
        while True:
            tries += 1
            answer = await self._calls.apply(call, plan)
            match answer:
                case Applied() | AlreadyInPlace():
                    await self._applied(call, intent, plan, answer)
                    return
                case Refused():
                    await self._refuse(intent, IntentState.APPLYING, answer)
                    return
                case Failed(retryable=True):
                    failure = answer
                case Failed(error=error) | Doubtful(reason=error):
                    found = await self._calls.verify(call, plan.receipt)
                    if isinstance(found, InForce):
                        await self._applied(call, intent, plan, Applied(plan.receipt, f"in force, though: {error}"))
                        return
                    under_way = isinstance(answer, Doubtful) and not answer.ended
                    if isinstance(found, Unknown) or under_way:
                        reason = found.reason if isinstance(found, Unknown) else "the call is still under way"
                        await self._unverified(
                            call, intent, plan, plan.receipt, IntentState.APPLYING, f"{error}; {reason}"
                        )
                        return
                    failure = Failed(error, retryable=isinstance(answer, Doubtful))
            if not failure.retryable or tries > intent.retries:
                await self._refuse(intent, IntentState.APPLYING, failure)
                return
            await self._environment.clock.sleep_s(self._environment.backoff_s(tries))
            if self._switch.refusal() is not None:
                return  # stays in `applying`; it is taken up again when acting is resumed

    async def _applied(self, call: Call, intent: Intent, plan: Plan, outcome: Applied | AlreadyInPlace) -> None:
        # In place before we came: where an earlier lease of ours did it, the plan carries the receipt that undoes it.
        adopted = plan.in_place and isinstance(outcome, AlreadyInPlace)
        receipt = plan.receipt if adopted else outcome.receipt
        change = Move(
            to=IntentState.APPLIED,
            at_us=self._environment.clock.now_us(),
            reason=outcome.detail,
            receipt=receipt,
            outcome=outcome,
        )
        await self._chronicle.move(intent, (IntentState.APPLYING,), change)
        await self._verify(call, intent, plan, receipt, adopted=adopted)

    async def _verify(self, call: Call, intent: Intent, plan: Plan, receipt: Receipt, *, adopted: bool) -> None:
        """From `applied`: only what is read back from the target counts."""
        found = await self._read_back(call, intent, receipt, wanted=True)
        if not isinstance(found, InForce):
            reason = found.reason if isinstance(found, Unknown) else f"reading back shows it is not: {found.detail}"
            await self._unverified(call, intent, plan, receipt, IntentState.APPLIED, f"applied, but {reason}")
            return
        now_us = self._environment.clock.now_us()
        change = Move(to=IntentState.VERIFIED, at_us=now_us, reason=found.detail)
        if not call.action.reversible:
            await self._chronicle.move(intent, (IntentState.APPLIED,), change)
            return
        lease = new_lease(
            intent, plan, receipt, adopted=adopted, now_us=now_us, default_us=self._environment.contain.lease
        )
        change = msgspec.structs.replace(change, lease=lease.id)
        await self._chronicle.move(
            intent, (IntentState.APPLIED,), change, lambda connection: grant(connection, lease, at_us=now_us)
        )

    async def _read_back(self, call: Call, intent: Intent, receipt: Receipt, *, wanted: bool = False) -> Verification:
        """Ask the target, a few times while it cannot be read; with `wanted` also while it does not show yet."""
        tries = 0
        while True:
            tries += 1
            found = await self._calls.verify(call, receipt)
            if isinstance(found, InForce) or (isinstance(found, NotInForce) and not wanted) or tries > intent.retries:
                return found
            await self._environment.clock.sleep_s(self._environment.backoff_s(tries))

    async def _unverified(
        self, call: Call, intent: Intent, plan: Plan, receipt: Receipt, state: IntentState, reason: str
    ) -> None:
        """Not known to be in force: said so, and kept hold of where it could be undone."""
        now_us = self._environment.clock.now_us()
        change = Move(to=IntentState.UNVERIFIED, at_us=now_us, reason=reason, outcome=Unverified(reason))
        if not call.action.reversible:
            await self._chronicle.move(intent, (state,), change)
            return
        lease = new_lease(
            intent, plan, receipt, adopted=False, now_us=now_us, default_us=self._environment.contain.lease
        )
        change = msgspec.structs.replace(change, lease=lease.id)
        await self._chronicle.move(
            intent, (state,), change, lambda connection: doubt(connection, lease, at_us=now_us, reason=reason)
        )

    async def _check(self, call: Call, intent: Intent) -> Plan | Refused | Failed:
        """Look at the target; as nothing is changed by that, it may always be tried again."""
        tries = 0
        while True:
            tries += 1
            found = await self._calls.check(call)
            if not isinstance(found, Failed) or not found.retryable or tries > intent.retries:
                return found
            await self._environment.clock.sleep_s(self._environment.backoff_s(tries))

    async def _observe(self, call: Call, intent: Intent) -> None:
        """Only look, and write down what would have been done."""
        found = await self._check(call, intent)
        match found:
            case Plan(would=would):
                reason = f"would {would}"
            case Refused(reason=why):
                reason = f"would be refused: {why}"
            case Failed(error=why):
                reason = f"would fail: {why}"
        change = Move(
            to=IntentState.OBSERVED,
            at_us=self._environment.clock.now_us(),
            reason=reason,
            plan=found if isinstance(found, Plan) else None,
            durable_us=self._durable_us.pop(intent.id, None),
        )
        await self._chronicle.move(intent, _START, change)

    def _waits(self, record: IntentRecord) -> Refusal | None:
        """Whether a person must say yes first, and has not."""
        intent = record.intent
        if record.approved_by:
            return None
        if intent.approve:
            return Refusal(hold=Hold.APPROVAL, reason=intent.reason or "waits for approval")
        if intent.verdict is Verdict.HOLD:
            return Refusal(hold=Hold.DECISION, reason=intent.reason or "held by the decision")
        return None

    async def _hold(self, intent: Intent, refusal: Refusal, plan: Plan | None = None) -> None:
        now_us = self._environment.clock.now_us()
        waits_us = self._environment.approval_us(intent.phase)
        until_us = now_us + waits_us if refusal.hold is Hold.APPROVAL else None
        change = Move(
            to=IntentState.HELD,
            at_us=now_us,
            reason=refusal.reason,
            hold=refusal.hold,
            hold_until_us=until_us,
            plan=plan,
            durable_us=self._durable_us.pop(intent.id, None),
        )
        await self._chronicle.move(intent, _START, change)

    async def _refuse(self, intent: Intent, state: IntentState, answer: Refused | Failed) -> None:
        """The end of a step that did nothing, or did not succeed."""
        refused = isinstance(answer, Refused)
        change = Move(
            to=IntentState.REFUSED if refused else IntentState.FAILED,
            at_us=self._environment.clock.now_us(),
            reason=answer.reason if isinstance(answer, Refused) else answer.error,
            outcome=answer,
            durable_us=self._durable_us.pop(intent.id, None),
        )
        await self._chronicle.move(intent, (state,), change)

    def _budget(self, plan: Plan) -> BudgetConfig:
        return self._environment.guards.budget.get(plan.target.kind, _NO_BUDGET)
