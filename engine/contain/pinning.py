"""The recorded events around an incident to a copy that stays: of the time before as it opens, of the time after later.

`engine.contain.housekeeping` hands in the timers that are due. All are served by one pass over the flight recorder.
"""

from collections.abc import Iterable, Mapping, Sequence

from engine.contain.environment import Environment
from engine.model import Event, IncidentId, Json, Struct
from engine.store import happenings, incidents, recorder, timers
from engine.store.connection import Connection
from engine.store.happenings import What
from engine.store.recorder import Pinned
from engine.store.timers import Timer

AT_ONCE_MAX = 100
"""Incidents served in one pass; more wait for the next tick."""


class _Wanted(Struct, frozen=True):
    """Of which values events are kept, from when until when, and which of them come first."""

    incident: IncidentId
    values: tuple[str, ...]
    from_us: int
    until_us: int
    around_us: int
    kept: tuple[Event, ...] = ()
    left_out: int = 0


class Pinning:
    """Keeps what the recorder has of incidents."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    async def look(self, due: Sequence[Timer]) -> None:
        """Serve these timers."""
        due, now_us = due[:AT_ONCE_MAX], self._environment.clock.now_us()
        named = {IncidentId(str(timer.body["incident"])) for timer in due}
        pinned = await self._environment.store.read(lambda connection: self._collect(connection, named, now_us))

        def commit(connection: Connection) -> None:
            for timer in due:
                timers.drop(connection, timer.name)
            for each in pinned:
                self._keep(connection, each)

        await self._environment.store.write(commit)

    def _keep(self, connection: Connection, pinned: Pinned) -> None:
        before = recorder.pinned_of(connection, pinned.incident)
        if before is not None and before.events == pinned.events:
            return
        gone = recorder.pin(connection, pinned, kept_bytes_max=self._environment.recorder.pinned_bytes_max)
        body: dict[str, Json] = {"events": len(pinned.events), "left_out": pinned.left_out}
        for incident in gone:
            reason = "its recorded events were given up for those of newer incidents (recorder.pinned_bytes_max)"
            happenings.put(connection, incident, What.PINNED, at_us=pinned.at_us, reason=reason, body={"events": 0})
        reason = f"{len(pinned.events)} recorded events that concern its key are kept"
        happenings.put(connection, pinned.incident, What.PINNED, at_us=pinned.at_us, reason=reason, body=body)

    def _collect(self, connection: Connection, named: Iterable[IncidentId], now_us: int) -> list[Pinned]:
        wanted = [each for each in (self._wanted(connection, name) for name in sorted(named)) if each is not None]
        if not wanted:
            return []
        found: dict[IncidentId, dict[tuple[str, str], Event]] = {
            each.incident: {(event.source, event.id): event for event in each.kept} for each in wanted
        }
        by_value = _by_value(wanted)
        everything = [each for each in wanted if not each.values]
        first_us, last_us = min(each.from_us for each in wanted), max(each.until_us for each in wanted)
        mentioning = None if everything else [each.values for each in wanted]
        for _, event in recorder.scan(connection, from_us=first_us, until_us=last_us, mentioning=mentioning):
            values = recorder.values_of(event)
            touched = [each for value in values & by_value.keys() for each in by_value[value]]
            for each in (*everything, *touched):
                if each.from_us <= event.time_us < each.until_us and values.issuperset(each.values):
                    found[each.incident][event.source, event.id] = event
        most = self._environment.recorder.pinned_events_max
        return [_nearest(each, list(found[each.incident].values()), most, now_us) for each in wanted]

    def _wanted(self, connection: Connection, name: IncidentId) -> _Wanted | None:
        incident = incidents.get(connection, name)
        if incident is None:
            return None
        around_us = incident.updated_us if incident.reopened else incident.opened_us
        before = recorder.pinned_of(connection, name)
        config = self._environment.recorder
        return _Wanted(
            incident=name,
            values=recorder.of_key(incident.key),
            from_us=around_us - config.before,
            until_us=around_us + max(1, config.after),
            around_us=around_us,
            kept=before.events if before is not None else (),
            left_out=before.left_out if before is not None else 0,
        )


def _by_value(wanted: Iterable[_Wanted]) -> Mapping[str, list[_Wanted]]:
    """Each incident under one of its values: an event that concerns it has all of them."""
    by_value: dict[str, list[_Wanted]] = {}
    for each in wanted:
        if each.values:
            by_value.setdefault(each.values[0], []).append(each)
    return by_value


def _nearest(wanted: _Wanted, events: Sequence[Event], most: int, now_us: int) -> Pinned:
    """The events nearest to the opening, in the order of their times."""
    chosen = sorted(events, key=lambda each: abs(each.time_us - wanted.around_us))[:most]
    times = [wanted.from_us, *(each.time_us for each in wanted.kept)]
    return Pinned(
        incident=wanted.incident,
        at_us=now_us,
        from_us=min(times),
        until_us=wanted.until_us,
        events=tuple(sorted(chosen, key=lambda each: (each.time_us, each.source, each.id))),
        left_out=max(wanted.left_out, len(events) - len(chosen)),
    )
