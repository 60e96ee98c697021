"""A world to act on, an action that can be told to misbehave, and the containment engine on a real SQLite file."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec

from engine.action import Action, ActionContext, Catalogue, Params
from engine.clock import SECOND_US, VirtualClock
from engine.config import Config, ContainConfig, GuardsConfig, IncidentsConfig, RecorderConfig
from engine.contain import steering
from engine.contain.environment import Escalation
from engine.contain.secrets import Secrets
from engine.contain.service import Contain
from engine.contain.steering import Closing, NotPossible
from engine.model import (
    AlreadyInPlace,
    Applied,
    Conflict,
    Failed,
    Incident,
    IncidentId,
    IncidentState,
    InForce,
    Intent,
    IntentState,
    Lease,
    Mode,
    NotInForce,
    Phase,
    Plan,
    Refused,
    Resolution,
    RuleId,
    Severity,
    Target,
    Undone,
    Unknown,
    Verdict,
    intent_id,
    make_key,
)
from engine.store import audit, intents, leases
from engine.store import incidents as stored
from engine.store.batch import BatchChanges, BatchLimits, commit_batch
from engine.store.database import Store
from engine.store.recorder import RecorderLimits

START_US = VirtualClock().now_us()


class World:
    """What the fake action acts on: which targets are held, and every effect that ever happened to them.

    `script` holds what the next calls of `apply` do: `ok`, `retryable`, `fail`, `throw`, `hang`, `hang-after`
    (takes effect, never answers), `throw-after`, `fail-after`, `lose` (says applied
    without effect), `refuse`, `nonsense`.
    """

    def __init__(self) -> None:
        self.held: set[str] = set()
        self.effects: list[str] = []
        self.undone: list[str] = []
        self.script: deque[str] = deque()
        self.checks = 0
        self.running = 0
        self.running_max = 0
        self.order: list[str] = []
        self.unreadable = 0
        self.undo_script: deque[str] = deque()
        self.check_script: deque[str] = deque()
        self.gate: asyncio.Event | None = None
        self.share: Callable[[str], float | None] = lambda _: None
        self.text = ""


class HoldParams(Params, frozen=True):
    """Which target."""

    name: str
    size: int = 1


def holding(
    world: World, name: str = "fake.hold", *, kind: str = "training", reversible: bool = True
) -> type[Action[HoldParams]]:
    """A class of action on `world`."""

    class Hold(Action[HoldParams]):
        """Holds a target of the world."""

        params = HoldParams
        privileges = "none"
        example = '{ do = "fake.hold", name = "a" }'

        async def check(self, params: HoldParams, context: ActionContext) -> Plan | Refused | Failed:
            world.checks += 1
            match world.check_script.popleft() if world.check_script else "ok":
                case "retryable":
                    return Failed("cannot be reached", retryable=True)
                case "refuse":
                    return Refused("not today")
                case "throw":
                    raise OSError("no such target")
            return Plan(
                target=Target(kind, params.name, {"pool": "p"}),
                would=f"hold {params.name}",
                receipt={"prior": params.name in world.held},
                in_place=params.name in world.held,
                serving_share_after=world.share(params.name),
            )

        async def apply(self, params: HoldParams, plan: Plan, context: ActionContext):  # type: ignore[no-untyped-def]
            world.order.append(params.name)
            world.running += 1
            world.running_max = max(world.running_max, world.running)
            try:
                return await self._apply(params, plan)
            finally:
                world.running -= 1

        async def _apply(self, params: HoldParams, plan: Plan):  # type: ignore[no-untyped-def]
            if world.gate is not None:
                await world.gate.wait()
            await asyncio.sleep(0)
            what = world.script.popleft() if world.script else "ok"
            match what:
                case "retryable":
                    return Failed("refused the connection", retryable=True)
                case "fail":
                    return Failed("wrong credentials" + world.text)
                case "throw":
                    raise RuntimeError("boom" + world.text)
                case "hang":
                    await asyncio.Event().wait()
                case "refuse":
                    return Refused("the target forbids it")
                case "nonsense":
                    return None
                case "lose":
                    return Applied({**plan.receipt, "by": "apply"})
            if params.name in world.held:
                return AlreadyInPlace(plan.receipt)
            world.held.add(params.name)
            world.effects.append(params.name)
            match what:
                case "hang-after":
                    await asyncio.Event().wait()
                case "throw-after":
                    raise RuntimeError("boom after")
                case "fail-after":
                    return Failed("connection lost")
            return Applied({**plan.receipt, "by": "apply"}, "held" + world.text)

        async def verify(self, params: HoldParams, receipt: object, context: ActionContext):  # type: ignore[no-untyped-def]
            if world.unreadable:
                world.unreadable -= 1
                return Unknown("cannot be read")
            return InForce("it is held") if params.name in world.held else NotInForce("it is not held")

        async def undo(self, params: HoldParams, receipt: object, context: ActionContext):  # type: ignore[no-untyped-def]
            match world.undo_script.popleft() if world.undo_script else "ok":
                case "conflict":
                    return Conflict("someone else changed it")
                case "fail":
                    return Failed("cannot be reached")
                case "retryable":
                    return Failed("cannot be reached", retryable=True)
                case "lie":
                    return Undone()
            world.held.discard(params.name)
            world.undone.append(params.name)
            return Undone("let go")

    Hold.name = name
    Hold.target_kind = kind
    Hold.reversible = reversible
    return Hold


def incident(name: str = "inc-1", severity: Severity = Severity.HIGH, at_us: int = START_US) -> Incident:
    """An open incident."""
    return Incident(
        id=IncidentId(name),
        incident="data-poisoning",
        rule=RuleId("r"),
        severity=severity,
        key=make_key({"run": name}),
        state=IncidentState.OPEN,
        opened_us=at_us,
        updated_us=at_us,
    )


def intent(of: Incident, step: int = 0, *, target: str = "a", action: str = "fake.hold", **changes: object) -> Intent:
    """A step that was decided for an incident, holding `target`."""
    phase = changes.get("phase", Phase.CONTAIN)
    assert isinstance(phase, Phase)
    base = Intent(
        id=intent_id(of.id, phase, step, action),
        incident=of.id,
        incident_type=of.incident,
        rule=of.rule,
        key=of.key,
        severity=of.severity,
        phase=phase,
        step=step,
        action=action,
        params={"name": target},
        verdict=Verdict.ENFORCE,
        at_us=of.opened_us,
        trigger_us=of.opened_us - 5,
    )
    return msgspec.structs.replace(base, **changes)


class Acting:
    """The engine of acting with all around it, for one test."""

    def __init__(self, contain: Contain, store: Store, clock: VirtualClock, told: list[Escalation]) -> None:
        self.contain = contain
        self.store = store
        self.clock = clock
        self.told = told

    async def decide(self, *decided: Intent, of: Incident | None = None) -> None:
        """Make intents durable with their incidents, as the pipeline does, and hand them in."""
        await commit(self.store, *decided, of=of, at_us=self.clock.now_us())
        self.contain.submit(decided)

    async def close(self, name: str, *, who: str = "ann", resolution: str = "resolved") -> list[Lease]:
        """Close an incident and let go of what only it holds, as the daemon does. Raises NotPossible."""
        closing = Closing(who=who, resolution=Resolution(resolution))
        at_us = self.clock.now_us()
        closed = await self.store.write(
            lambda connection: steering.close(connection, IncidentId(name), closing, at_us=at_us)
        )
        if not closed:
            raise NotPossible(f"{name} is not to be closed")
        return await self.contain.let_go(IncidentId(name), who=who)

    async def settle(self) -> None:
        """Return once nothing moves any more without time passing."""
        await settle(self.store)

    async def finish(self, limit_s: float = 600.0) -> None:
        """Let time pass until no step is under way."""
        done = asyncio.ensure_future(self.contain.idle())
        passed = 0.0
        await settle(self.store)
        while not done.done():
            assert passed < limit_s, "still at work"
            await self.pass_s(0.5)
            passed += 0.5

    async def pass_s(self, seconds: float, step_s: float = 1.0) -> None:
        """Let time pass, and what it brings about happen, a little at a time."""
        left = seconds
        while left > 0:
            await self.clock.advance_s(min(step_s, left))
            await settle(self.store)
            left -= step_s

    async def state(self, which: Intent) -> IntentState:
        """How far an intent has come."""
        return (await self.record(which)).state

    async def record(self, which: Intent) -> intents.IntentRecord:
        """All that became of an intent."""
        found = await self.store.read(lambda connection: intents.get(connection, which.id))
        assert found is not None
        return found

    async def incident(self, of: Incident) -> Incident:
        """The incident as the store has it."""
        found = await self.store.read(lambda connection: stored.get(connection, of.id))
        assert found is not None
        return found

    async def leases(self, *states: object) -> list:  # type: ignore[type-arg]
        """Live leases, or those in the given states."""
        if states:
            return await self.store.read(lambda connection: leases.find(connection, states=states))  # type: ignore[arg-type]
        return await self.store.read(leases.find)

    async def audited(self) -> list[str]:
        """The kinds of all audit records, in order; the chain must be sound."""
        assert await self.store.read(audit.verify) is None
        return [record.kind for record in await self.store.read(lambda connection: audit.records(connection))]


async def commit(store: Store, *decided: Intent, of: Incident | None = None, at_us: int = START_US) -> None:
    """One batch with these intents and, unless one is given, an incident for each of theirs."""
    opened = {each.incident: of or incident(each.incident, each.severity, each.at_us) for each in decided}
    batch = BatchChanges(at_us=at_us, matched_us=at_us, incidents=tuple(opened.values()), intents=decided)
    # Tests count writes: nothing is recorded that would be pinned.
    limits = BatchLimits(recorder=RecorderLimits(events_max=0))
    await store.write(lambda connection: commit_batch(connection, batch, limits))


async def settle(store: Store) -> None:
    """Let the loop and the store's threads do all that is ready, until neither has anything left to do."""
    quiet = 0
    while quiet < 50:
        quiet = 0 if store.under_way else quiet + 1
        if store.under_way:
            await store.read(lambda _: None)
        else:
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def acting(
    folder: Path,
    *actions: type[Action],  # type: ignore[type-arg]
    contain: ContainConfig | None = None,
    guards: GuardsConfig | None = None,
    store: Store | None = None,
    clock: VirtualClock | None = None,
    secrets: Secrets | None = None,
    protected: Callable[[Target], bool] = lambda _: False,
    incidents: IncidentsConfig | None = None,
    recorder: RecorderConfig | None = None,
) -> AsyncIterator[Acting]:
    """The engine running on a real database in `folder`; at the end it is cancelled as it stands, like a crash."""
    opened = store or await Store.open(folder / "halon.db")
    time = clock or VirtualClock()
    told: list[Escalation] = []
    engine = Contain(
        store=opened,
        catalogue=Catalogue({each.name: each for each in actions}),
        settings={},
        clock=time,
        config=Config(
            contain=contain or ContainConfig(),
            guards=guards or GuardsConfig(),
            incidents=incidents or IncidentsConfig(),
            recorder=recorder or RecorderConfig(),
        ),
        secrets=secrets or Secrets(),
        notify=told.append,
        state_dir=folder,
        protected=protected,
        jitter=lambda: 0.5,
    )
    running = asyncio.ensure_future(engine.run())
    try:
        waiting = asyncio.ensure_future(engine.ready.wait())
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await running
        yield Acting(engine, opened, time, told)
        if running.done():
            await running
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        if store is None:
            await opened.close()


def run(scenario: Awaitable[None]) -> None:
    """Run a scenario on a loop of its own."""

    async def all_of_it() -> None:
        await scenario

    asyncio.run(all_of_it())


__all__ = ["SECOND_US", "Acting", "Mode", "World", "acting", "commit", "holding", "incident", "intent", "run", "settle"]
