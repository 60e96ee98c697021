"""The recorded events around incidents, found in one pass over the flight recorder and packed to be kept.

`engine.contain.pinning` has it run as a process of its own (`engine.store.apart`): a pass reads up to all that the
recorder holds. Request and answer are msgpack.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from engine.model import Event, IncidentId, Struct
from engine.store import apart, incidents, pinned, recorder
from engine.store.connection import Connection
from engine.store.pinned import Packed, Pinned

SPARE = 2
"""Of an incident's events so many times as may be kept are held during the pass, then the nearest chosen anew."""


class Around(Struct, frozen=True):
    """For which incidents events are looked for, how long before and after their opening, and how many are kept."""

    incidents: tuple[IncidentId, ...]
    before_us: int
    after_us: int
    events_max: int
    now_us: int


class _Wanted:
    """Of one incident: which values its events have, from when until when, and those found so far."""

    def __init__(self, asked: Around, values: tuple[str, ...], around_us: int, before: Pinned | None) -> None:
        self.values = values
        self.from_us = around_us - asked.before_us
        self.until_us = around_us + max(1, asked.after_us)
        self._around_us = around_us
        self._before = before
        self._events_max = asked.events_max
        kept = () if before is None else before.events
        self._found = {(event.source, event.id): event for event in kept}
        self._known = frozenset(self._found)
        self._first_us = min([self.from_us, *(event.time_us for event in kept)])
        self._left_out = 0

    def add(self, event: Event) -> None:
        """One more; where that gets too many, the farthest go."""
        if (event.source, event.id) in self._known:
            return
        self._found[event.source, event.id] = event
        if len(self._found) > SPARE * self._events_max:
            self._choose()

    def pinned(self, incident: IncidentId, now_us: int) -> Pinned | None:
        """The events nearest to the opening, in the order of their times; None where they are those kept already."""
        self._choose()
        events = tuple(sorted(self._found.values(), key=lambda each: (each.time_us, each.source, each.id)))
        left_out = self._left_out
        if self._before is not None:
            left_out = max(left_out, self._before.left_out)
            if (self._before.events, self._before.left_out) == (events, left_out):
                return None
        return Pinned(
            incident=incident,
            at_us=now_us,
            from_us=self._first_us,
            until_us=self.until_us,
            events=events,
            left_out=left_out,
        )

    def _choose(self) -> None:
        nearest = sorted(self._found.items(), key=lambda item: abs(item[1].time_us - self._around_us))
        self._found = dict(nearest[: self._events_max])
        self._left_out += len(nearest) - len(self._found)


def collect(connection: Connection, asked: Around) -> list[Packed]:
    """What is to be kept for each of these incidents, where that changed. One pass serves all."""
    found = ((name, _wanted(connection, name, asked)) for name in sorted(set(asked.incidents)))
    wanted = {name: each for name, each in found if each is not None}
    if not wanted:
        return []
    by_value = _by_value(wanted.values())
    everything = [each for each in wanted.values() if not each.values]
    passing = recorder.scan(
        connection,
        from_us=min(each.from_us for each in wanted.values()),
        until_us=max(each.until_us for each in wanted.values()),
        mentioning=None if everything else [each.values for each in wanted.values()],
    )
    for _, event in passing:
        values = recorder.values_of(event)
        touched = [each for value in values & by_value.keys() for each in by_value[value]]
        for each in (*everything, *touched):
            if each.from_us <= event.time_us < each.until_us and values.issuperset(each.values):
                each.add(event)
    chosen = (each.pinned(name, asked.now_us) for name, each in wanted.items())
    return [pinned.pack(each) for each in chosen if each is not None]


def _wanted(connection: Connection, name: IncidentId, asked: Around) -> _Wanted | None:
    incident = incidents.get(connection, name)
    if incident is None:
        return None
    return _Wanted(asked, recorder.of_key(incident.key), incident.around_us, pinned.pinned_of(connection, name))


def _by_value(wanted: Iterable[_Wanted]) -> Mapping[str, Sequence[_Wanted]]:
    """Each incident under one of its values: an event that concerns it has all of them."""
    by_value: dict[str, list[_Wanted]] = {}
    for each in wanted:
        if each.values:
            by_value.setdefault(each.values[0], []).append(each)
    return by_value


def answer(connection: Connection, request: bytes) -> bytes:
    """`collect` for another process."""
    return msgspec.msgpack.encode(collect(connection, msgspec.msgpack.decode(request, type=Around)))


if __name__ == "__main__":
    apart.serve(answer)
