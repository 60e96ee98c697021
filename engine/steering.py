"""What operators tell the daemon, to its parts: the `Steering` that the control socket serves. `engine.app` builds it.

Each act that changes something is in the audit log with who did it, in the transaction that changes it.
"""

from collections.abc import Awaitable, Callable

import structlog

from engine.clock import SECOND_US, Clock, to_datetime
from engine.cloudevents import Malformed, decode_event
from engine.contain.service import Contain
from engine.contain.steering import NotPossible
from engine.core import Core
from engine.intake.contract import OWN_DOORS, DeadLetter, Doors, Once, Received
from engine.intake.feed import Fed, Feed, NotFed
from engine.intake.http import DOOR as HTTP
from engine.model import Event, IncidentId, IntentId, Json, LeaseId, LeaseState, Mode
from engine.observer import Observer
from engine.operate.contract import Act, Advance, Close, Done, Handed, Handing, NotDone, NotFound, Taken, WatchKey
from engine.operate.shown import Door, Live, LoadedRules
from engine.pipeline import Pipeline
from engine.reload import Reload
from engine.running import Running
from engine.store import audit, deadletters, intents, leases
from engine.store.connection import Connection
from engine.store.database import Store
from engine.store.deadletters import DeadLetter as StoredLetter
from engine.tending import Tending

_log = structlog.get_logger("halon.steering")


class Steer:
    """The running daemon as its control socket sees it."""

    def __init__(
        self,
        *,
        version: str,
        pid: int,
        running: Running,
        reload: Reload,
        store: Store,
        core: Core,
        pipeline: Pipeline,
        contain: Contain,
        tending: Tending,
        doors: Doors,
        feed: Feed,
        clock: Clock,
        observer: Observer,
    ) -> None:
        self._version = version
        self._pid = pid
        self._running = running
        self._reload = reload
        self._store = store
        self._core = core
        self._pipeline = pipeline
        self._contain = contain
        self._tending = tending
        self._doors = doors
        self._feed = feed
        self._clock = clock
        self._observer = observer
        self._started_us = clock.now_us()

    async def status(self) -> Live:
        """What only the running daemon knows."""
        rules = self._core.rules
        doors = [door for door in self._doors.status() if door.name not in OWN_DOORS]
        in_flight = sum(door.in_flight for door in doors)
        windows, matches = self._core.sizes()
        return Live(
            version=self._version,
            pid=self._pid,
            started=to_datetime(self._started_us),
            mode=self._running.mode,
            rules=LoadedRules(
                rules=len(rules.rules),
                signals=len(rules.signals),
                playbooks=len(rules.playbooks),
                files=len(rules.files),
                digest=rules.digest,
                loaded=to_datetime(self._reload.loaded_us),
                error=self._reload.error,
            ),
            doors=tuple(
                Door(
                    name=door.name,
                    kind="http" if door.name == HTTP else "mqtt",
                    connected=door.connected,
                    detail=door.problem,
                    events=door.received_total,
                )
                for door in doors
            ),
            events=self._observer.events_total,
            events_per_s=self._observer.events_per_s(),
            lag_s=self._observer.lag_us / SECOND_US,
            in_flight=in_flight,
            in_flight_max=self._running.config.intake.in_flight_max * max(1, len(doors)),
            commit_failing=self._pipeline.commit_failing,
            keys_held=windows + matches,
            evictions=sum(self._core.evictions().values()),
            restart_needed=self._running.restart_needed,
        )

    async def release_lease(self, lease: LeaseId, *, who: str, reason: str) -> Act:
        """Undo what a lease holds, and read the target back."""
        known = await self._store.read(lambda connection: leases.get(connection, lease))
        if known is None:
            return NotFound(f"there is no lease {lease}; `halon leases list` shows them")
        if known.state is LeaseState.RELEASED:
            return NotDone(f"{lease} was released before: {known.detail}")
        await self._note("steering.release", who, {"lease": lease, "reason": reason})
        try:
            ended = await self._contain.release(lease, who=who)
        except NotPossible as error:
            return NotDone(str(error))
        if ended.state is LeaseState.RELEASED:
            return Done(f"released {ended.target.kind} {ended.target.name}: {ended.detail or 'read back'}")
        return NotDone(f"{lease} is {ended.state.value}: {ended.detail}; `halon leases list` shows it")

    async def approve(self, intent: IntentId, *, who: str) -> Act:
        """Let a step that waits for a person go ahead."""
        return await self._on_intent(
            intent, lambda: self._contain.approve(intent, who=who), f"{intent} is approved and goes ahead"
        )

    async def deny(self, intent: IntentId, *, who: str, reason: str) -> Act:
        """Refuse a step that waits for a person."""
        return await self._on_intent(
            intent, lambda: self._contain.deny(intent, who=who, reason=reason), f"{intent} is denied"
        )

    async def acknowledge(self, incident: IncidentId, *, who: str, reason: str) -> Act:
        """Somebody looks after the incident now."""
        return await self._tending.acknowledge(incident, who=who, reason=reason)

    async def advance(self, incident: IncidentId, wanted: Advance, *, who: str) -> Act:
        """A person moves the incident on."""
        return await self._tending.advance(incident, wanted, who=who)

    async def close_incident(self, incident: IncidentId, wanted: Close, *, who: str) -> Act:
        """End an incident; what it alone holds is released."""
        return await self._tending.close(incident, wanted, who=who)

    async def reopen(self, incident: IncidentId, *, who: str, reason: str) -> Act:
        """Open a closed incident again."""
        return await self._tending.reopen(incident, who=who, reason=reason)

    async def watch(self, wanted: WatchKey, *, who: str) -> Act:
        """Put a key on the watch list."""
        return await self._tending.watch(wanted, who=who)

    async def unwatch(self, wanted: WatchKey, *, who: str) -> Act:
        """Take a key off the watch list."""
        return await self._tending.unwatch(wanted, who=who)

    async def pause(self, *, who: str, reason: str) -> Act:
        """Stop all acting: intents are held back, leases stay as they are."""
        await self._note("steering.pause", who, {"reason": reason})
        await self._contain.pause(who=who)
        return Done("acting is paused; detection goes on. `halon resume` ends it")

    async def resume(self, *, who: str) -> Act:
        """Act again, held intents first."""
        await self._contain.resume(who=who)
        still = self._contain.paused
        return NotDone(still) if still else Done("acting goes on")

    async def reload(self, *, who: str) -> Act:
        """Read rules and config again; bad ones leave the old ones running, and come back as diagnostics."""
        return await self._reload.reload(who=who)

    async def drop_deadletter(self, number: int, *, who: str) -> Act:
        """Forget one dead letter."""
        at_us = self._clock.now_us()

        def drop(connection: Connection) -> int:
            gone = deadletters.drop(connection, number)
            if gone:
                audit.append(connection, "steering.drop-deadletter", at_us, {"number": number, "who": who})
            return gone

        if not await self._store.write(drop):
            return NotFound(f"there is no dead letter {number}; `halon deadletters list` shows them")
        return Done(f"dead letter {number} is dropped")

    async def retry_deadletter(self, number: int, *, who: str) -> Act:
        """Take a dead letter in again, under the config of now: it goes once its events are durable, else it stays."""
        letter = await self._store.read(lambda connection: deadletters.get(connection, number))
        if letter is None:
            return NotFound(f"there is no dead letter {number}; `halon deadletters list` shows them")
        if not letter.whole:
            kept = f"only {len(letter.payload)} of its {letter.payload_bytes} bytes were kept"
            return NotDone(f"dead letter {number} can't be tried again: {kept}; its sender has to send it again")
        events: list[Event] = []
        for item in self._pipeline.decoder.decode(_received(letter, self._clock.now_us())):
            match item:
                case DeadLetter(reason=reason):
                    return NotDone(f"dead letter {number} is still no event: {reason}")
                case Event():
                    events.append(item)
                case Once():
                    pass  # of a message that is tried again its age and number are not asked
        fed = await self._feed.feed(events)
        if isinstance(fed, NotFed):
            return NotDone(f"dead letter {number} stays: {fed.reason}")
        at_us = self._clock.now_us()

        def settle(connection: Connection) -> None:
            deadletters.drop(connection, number)
            body: dict[str, Json] = {"number": number, "new": fed.new, "duplicates": fed.duplicates, "who": who}
            audit.append(connection, "steering.retry-deadletter", at_us, body)

        await self._store.write(settle)
        return Done(f"dead letter {number} is taken: {_counted(fed)}")

    async def hand_in(self, handed: Handed, *, who: str) -> Handing:
        """Take events of a recording in. The first and the last part of a run are on record."""
        if self._running.mode is Mode.ENFORCE and not handed.enforce:
            return NotDone(
                "the daemon enforces: what these events match would be contained on real targets. Let it observe"
                " (`guards.mode`), or say --enforce if that is what is meant"
            )
        raw = b"[" + b",".join(map(bytes, handed.events)) + b"]"
        events = decode_event(raw, arrived_us=self._clock.now_us())
        if isinstance(events, Malformed):
            return NotDone(events.reason)
        about: dict[str, Json] = {"recording": handed.recording, "run": handed.run}
        if handed.first:
            await self._note("steering.replay-began", who, about)
        fed = await self._feed.feed(events) if events else Fed(new=0, duplicates=0)
        if isinstance(fed, NotFed):
            return NotDone(fed.reason)
        if handed.last:
            await self._note("steering.replay-ended", who, about)
        return Taken(new=fed.new, duplicates=fed.duplicates)

    async def _on_intent(self, intent: IntentId, act: Callable[[], Awaitable[None]], done: str) -> Act:
        if await self._store.read(lambda connection: intents.get(connection, intent)) is None:
            return NotFound(f"there is no step {intent}; `halon explain INCIDENT` shows the steps")
        try:
            await act()
        except NotPossible as error:
            return NotDone(str(error))
        return Done(done)

    async def _note(self, kind: str, who: str, body: dict[str, Json]) -> None:
        at_us = self._clock.now_us()
        await self._store.write(lambda connection: audit.append(connection, kind, at_us, {"who": who, **body}))


def _received(letter: StoredLetter, now_us: int) -> Received:
    """A dead letter as its door received it."""
    return Received(
        door=letter.source,
        token=0,
        topic=letter.topic,
        payload=letter.payload,
        received_us=now_us,
        size_bytes=len(letter.payload),
        content_type=letter.content_type,
        properties=letter.properties,
        retained=letter.retained,
        proved=letter.proved,
        retried=True,
    )


def _counted(fed: Fed) -> str:
    duplicates = f", {fed.duplicates} seen before" if fed.duplicates else ""
    return f"{fed.new} new {'event' if fed.new == 1 else 'events'}{duplicates}"
