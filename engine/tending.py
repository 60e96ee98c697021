"""What is said of incidents and of the watch list, to the core, the store and the leases: acknowledge, close, watch, ….

`engine.steering` hands on what people say, `engine.app` what containment finds: an incident that recovered may be
closed by itself. What concerns the core is changed in it and in the store at once, between two batches.
"""

from engine.clock import Clock, format_duration
from engine.contain import steering
from engine.contain.service import Contain
from engine.contain.steering import Closing, NotPossible
from engine.core import Core
from engine.model import Incident, IncidentId, IncidentState, Key, LeaseState, Phase, Resolution, format_key
from engine.operate.contract import Act, Advance, Close, Done, NotDone, NotFound, WatchKey
from engine.pipeline import Pipeline
from engine.running import Running
from engine.store import incidents, intents, watches
from engine.store.connection import Connection
from engine.store.database import Store
from engine.store.watches import Watched

NOWHERE = "there is no incident {}; `halon incidents list --all` shows them"


class Tending:
    """Looks after incidents and the watch list."""

    def __init__(
        self, *, running: Running, store: Store, core: Core, pipeline: Pipeline, contain: Contain, clock: Clock
    ) -> None:
        self._running = running
        self._store = store
        self._core = core
        self._pipeline = pipeline
        self._contain = contain
        self._clock = clock

    async def restore(self) -> None:
        """Tell the core at start what is watched."""
        for each in await self._store.read(watches.find):
            self._core.watch(each.key, since_us=each.since_us, until_us=each.until_us)

    async def acknowledge(self, incident: IncidentId, *, who: str, reason: str) -> Act:
        """Somebody looks after the incident now: on record, and a contained one is being investigated."""
        if await self._get(incident) is None:
            return NotFound(NOWHERE.format(incident))
        try:
            state = await self._contain.acknowledge(incident, who=who, reason=reason)
        except NotPossible as error:
            return NotDone(str(error))
        return Done(f"{who} looks after {incident}, which is {state.value}")

    async def advance(self, incident: IncidentId, wanted: Advance, *, who: str) -> Act:
        """A person moves the incident on, by default to where it goes next."""
        if await self._get(incident) is None:
            return NotFound(NOWHERE.format(incident))
        try:
            was, now = await self._contain.advance(incident, wanted.to, who=who, reason=wanted.reason)
        except NotPossible as error:
            return NotDone(str(error))
        return Done(f"{incident} was {was.value} and is {now.value}")

    async def close(self, incident: IncidentId, wanted: Close, *, who: str) -> Act:
        """End an incident: its leases are let go of, and its key may be watched from then on."""
        found = await self._get(incident)
        if found is None:
            return NotFound(NOWHERE.format(incident))
        if found.state is IncidentState.CLOSED:
            return NotDone(f"{incident} is closed already, as {found.resolution}")
        problem = await self._wrong_duplicate(incident, wanted)
        if problem is not None:
            return problem
        config, now_us = self._running.config.incidents, self._clock.now_us()
        again = wanted.resolution in config.reopen and config.reopen_within > 0
        until_us = now_us + config.reopen_within if again else None
        watched = self._watched(found, wanted, who=who, now_us=now_us)
        closing = Closing(
            who=who,
            resolution=wanted.resolution,
            reason=wanted.reason,
            duplicate_of=wanted.duplicate_of,
            watched=watched,
        )

        def close(core: Core) -> None:
            core.close(incident, reopen_until_us=until_us)
            if watched is not None:
                core.watch(watched.key, since_us=watched.since_us, until_us=watched.until_us)

        await self._pipeline.change_core(
            close, lambda connection: steering.close(connection, incident, closing, at_us=now_us)
        )
        ended = await self._contain.let_go(incident, who=who)
        said = [f"{incident} is closed as {wanted.resolution.value}"]
        for lease in ended:
            if lease.state is LeaseState.RELEASED:
                said.append(f"{lease.target.name} is released")
            elif lease.holders:
                said.append(f"{lease.target.name} stays in force for {', '.join(lease.holders)}")
            else:
                said.append(f"{lease.target.name} could NOT be released: {lease.detail}")
        if watched is not None:
            said.append(f"{format_key(watched.key)} is watched for {format_duration(watched.until_us - now_us)}")
        return Done("; ".join(said))

    async def close_recovered(self, incident: IncidentId) -> None:
        """Close an incident by itself, each of whose recover steps was verified."""
        reason = "every recover step was read back from its target"
        await self.close(incident, Close(resolution=Resolution.RESOLVED, reason=reason), who="halon")

    async def reopen(self, incident: IncidentId, *, who: str, reason: str) -> Act:
        """Open a closed incident again; what it contained is not put back by that."""
        found = await self._get(incident)
        if found is None:
            return NotFound(NOWHERE.format(incident))
        if found.state is not IncidentState.CLOSED:
            return NotDone(f"{incident} is not closed; it is {found.state.value}")
        records = await self._store.read(lambda connection: intents.of_incident(connection, incident))
        first, second, third = (
            max((each.intent.step + 1 for each in records if each.intent.phase is phase), default=0) for phase in Phase
        )
        config, now_us = self._running.config.incidents, self._clock.now_us()
        within_us = {
            Phase.CONTAIN: int(config.contain_within),
            Phase.INVESTIGATE: int(config.investigate_within),
            Phase.RECOVER: int(config.recover_within),
        }
        opened: list[Incident] = []

        def again(core: Core) -> None:
            incident_again = core.reopen(found, (first, second, third))
            if incident_again is not None:
                opened.append(incident_again)

        def write(connection: Connection) -> None:
            for each in opened:
                steering.reopen(connection, each, who=who, reason=reason, at_us=now_us, within_us=within_us)

        await self._pipeline.change_core(again, write)
        if not opened:
            return NotDone(
                f"another {found.incident} of {format_key(found.key)} is open; close it as a duplicate first"
            )
        return Done(f"{incident} is open again; nothing of what it contained is put back by that")

    async def watch(self, wanted: WatchKey, *, who: str) -> Act:
        """Put a key on the watch list."""
        key, now_us = _key(wanted), self._clock.now_us()
        if not key:
            return NotDone("name a key, as in `model=m-17`: the watch list is not for everything")
        watched = Watched(key=key, since_us=now_us, until_us=now_us + wanted.for_us, who=who, reason=wanted.reason)

        def watch(core: Core) -> None:
            core.watch(key, since_us=watched.since_us, until_us=watched.until_us)

        await self._pipeline.change_core(watch, lambda connection: watches.put(connection, watched))
        return Done(f"{format_key(key)} is watched for {format_duration(wanted.for_us)}")

    async def unwatch(self, wanted: WatchKey, *, who: str) -> Act:
        """Take a key off the watch list."""
        key, now_us = _key(wanted), self._clock.now_us()
        there = any(each.key == key for each in await self._store.read(watches.find))
        if not there:
            return NotFound(f"{format_key(key)} is not on the watch list; `halon watch list` shows it")

        def unwatch(core: Core) -> None:
            core.unwatch(key)

        await self._pipeline.change_core(
            unwatch, lambda connection: watches.drop(connection, key, at_us=now_us, who=who, reason=wanted.reason)
        )
        return Done(f"{format_key(key)} is not watched any more")

    def _watched(self, incident: Incident, wanted: Close, *, who: str, now_us: int) -> Watched | None:
        """The entry of the watch list that the closing makes."""
        length_us = wanted.watch_us
        if length_us is None:
            resolved = wanted.resolution is Resolution.RESOLVED
            length_us = int(self._running.config.incidents.watch_for) if resolved else 0
        if not length_us or not incident.key:
            return None
        return Watched(
            key=incident.key,
            since_us=now_us,
            until_us=now_us + length_us,
            who=who,
            reason=f"{incident.incident} was closed as {wanted.resolution.value}",
            incident=incident.id,
        )

    async def _wrong_duplicate(self, incident: IncidentId, wanted: Close) -> Act | None:
        if not wanted.duplicate_of:
            return None
        if wanted.resolution is not Resolution.DUPLICATE:
            return NotDone(f"`--of` goes with the resolution `duplicate`, not with `{wanted.resolution.value}`")
        if wanted.duplicate_of == incident:
            return NotDone(f"{incident} is no duplicate of itself")
        if await self._get(IncidentId(wanted.duplicate_of)) is None:
            return NotFound(NOWHERE.format(wanted.duplicate_of))
        return None

    async def _get(self, incident: IncidentId) -> Incident | None:
        return await self._store.read(lambda connection: incidents.get(connection, incident))


def _key(wanted: WatchKey) -> Key:
    return tuple(sorted(wanted.key.items()))
