"""The partial matches per (rule, key) and the open incidents per (type, key): made, evicted, written down, read back.

`run` works on them; `engine.core` drains what changed and restores it at start.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from operator import attrgetter

import msgspec

from engine.correlate import match
from engine.correlate.joins import Join, Joins
from engine.correlate.match import MatchState
from engine.correlate.opened import EVIDENCE_OWNER, INCIDENT_OWNER, PART_LEN, Gathering, Open, part_key, rows
from engine.model import Incident, IncidentId, IncidentState, IncidentType, Key, RuleId
from engine.statechange import Space, StateChange

_HEAP_SLACK = 1_024
CLOSED_MAX = 10_000
"""Closed incidents that may be reopened; past this the one closed first is forgotten."""


class _Table:
    """The partial matches of a rule. `by_use`: in the order of their last use, which is kept once they are many."""

    __slots__ = ("by_use", "states")

    def __init__(self) -> None:
        self.states: dict[Key, MatchState] = {}
        self.by_use = False


class CorrelateState:
    """All partial matches and open incidents. `evictions` counts the keys each rule had to forget."""

    def __init__(self, joins: Joins, *, matches_max: int, evidence_max: int) -> None:
        self._joins = joins
        self._matches_max = matches_max
        self.evidence_max = evidence_max
        self._tables: dict[RuleId, _Table] = {}
        self.queue: list[tuple[int, RuleId, Key]] = []
        """A heap of timers. Some are stale, none is missing: before the first of these times no timer is due."""
        self._open: dict[tuple[IncidentType, Key], Open] = {}
        self._by_id: dict[IncidentId, tuple[IncidentType, Key]] = {}
        self._closed: dict[tuple[IncidentType, Key], Open] = {}
        self._written: dict[IncidentId, int] = {}
        """Which incidents have rows, and how many parts of their evidence stand there."""
        self._dirty: list[MatchState] = []
        self._dirty_open: dict[tuple[IncidentType, Key], Open] = {}
        self._gone: dict[tuple[str, Key], StateChange] = {}
        self._used = 0
        self.evictions: Counter[RuleId] = Counter()

    def reconfigure(self, *, matches_max: int, evidence_max: int) -> None:
        """Other bounds from now on."""
        self._matches_max = matches_max
        self.evidence_max = evidence_max

    def __len__(self) -> int:
        return sum(len(table.states) for table in self._tables.values())

    def touch(self, join: Join, key: Key) -> MatchState:
        """What the rule remembers for the key, made if need be; the key touched longest ago goes when too many."""
        table = self._tables.get(join.rule.id)
        if table is None:
            table = self._tables[join.rule.id] = _Table()
        state = table.states.get(key)
        if state is None:
            state = self._enter(join.rule.id, table, key)
        elif table.by_use:
            del table.states[key]
            table.states[key] = state
        self._used += 1
        state.used = self._used
        if not state.dirty:
            state.dirty = True
            self._dirty.append(state)
        return state

    def _enter(self, rule: RuleId, table: _Table, key: Key) -> MatchState:
        """A new state for a new key, in the place of the one touched longest ago if need be."""
        if not table.by_use and 2 * len(table.states) >= self._matches_max:
            # Far from the limit nobody asks for the order: it is made once, and kept from here on.
            table.states = {each.key: each for each in sorted(table.states.values(), key=attrgetter("used"))}
            table.by_use = True
        if len(table.states) >= self._matches_max:
            oldest = next(iter(table.states))
            table.states.pop(oldest).dirty = False
            self._gone[rule, oldest] = _gone(rule, oldest)
            self.evictions[rule] += 1
        state = table.states[key] = MatchState(rule, key)
        return state

    def _peek(self, rule: RuleId, key: Key) -> MatchState | None:
        table = self._tables.get(rule)
        return None if table is None else table.states.get(key)

    def schedule(self, rule: RuleId, key: Key, state: MatchState) -> None:
        """Put the end of a wait in the queue."""
        if state.pending is None or state.queued_us == state.pending.due_us:
            return
        state.queued_us = state.pending.due_us
        heapq.heappush(self.queue, (state.pending.due_us, rule, key))
        if len(self.queue) > 2 * len(self) + _HEAP_SLACK:
            self._rebuild_heap()

    def due_us(self) -> int | None:
        """When the next wait is over."""
        while self.queue:
            due_us, rule, key = self.queue[0]
            state = self._peek(rule, key)
            if state is not None and state.queued_us == due_us:
                if state.pending is not None and state.pending.due_us == due_us:
                    return due_us
                state.queued_us = None
                heapq.heappop(self.queue)
                self.schedule(rule, key, state)
            else:
                heapq.heappop(self.queue)
        return None

    def pop_due(self) -> tuple[Join, Key, MatchState]:
        """The wait that is over next, taken from the queue."""
        due_us = self.due_us()
        assert due_us is not None, "called only when a wait is over"
        _, rule, key = heapq.heappop(self.queue)
        state = self._tables[rule].states[key]
        state.queued_us = None
        self._mark(state)
        return self._joins.by_rule[rule], key, state

    def jump(self, to_us: int, by_us: int) -> None:
        """The clock was set by `by_us` to `to_us`: waits keep their distance from now."""
        for rule, key in {(rule, key) for _, rule, key in self.queue}:
            table = self._tables.get(rule)
            state = None if table is None else table.states.get(key)
            pending = None if state is None else state.pending
            if state is None or pending is None:
                continue
            if pending.due_us <= to_us if by_us > 0 else pending.end_us > to_us:
                end_us = pending.end_us + min(by_us, 0)
                state.pending = msgspec.structs.replace(pending, due_us=pending.due_us + by_us, end_us=end_us)
                self._mark(state)
                self.schedule(rule, key, state)

    def _mark(self, state: MatchState) -> None:
        if not state.dirty:
            state.dirty = True
            self._dirty.append(state)

    def find_open(self, incident: IncidentType, key: Key) -> Open | None:
        """The open incident of a type and key."""
        return self._open.get((incident, key))

    def open(self, opened: Open) -> None:
        """Enter an incident: a new one, or one that was closed."""
        incident = opened.incident
        place = (incident.incident, incident.key)
        assert place not in self._open, "one incident of a type and key at a time"
        opened.reopen_until_us = None
        replaced = self._closed.pop(place, None)
        if replaced is not None and self._leave_evidence(replaced.incident.id):
            self._written[incident.id] = 0  # its row is there; reopened, it has other evidence than before
        self._open[place] = opened
        self._by_id[incident.id] = place
        self._dirty_open[place] = opened

    def find_closed(self, incident: IncidentType, key: Key, at_us: int) -> Open | None:
        """The incident of a type and key that was closed and may be reopened at that time."""
        closed = self._closed.get((incident, key))
        if closed is None or closed.reopen_until_us is None or at_us > closed.reopen_until_us:
            return None
        return closed

    def changed(self, opened: Open) -> None:
        """An open incident was changed."""
        self._dirty_open[opened.incident.incident, opened.incident.key] = opened

    def incidents(self) -> list[Incident]:
        """The open incidents, oldest first."""
        return sorted((each.incident for each in self._open.values()), key=lambda each: (each.opened_us, each.id))

    def close(self, incident: IncidentId, *, reopen_until_us: int | None = None) -> bool:
        """Forget an open incident, and what the rules of its type remember for its key; False if it is not open.

        With `reopen_until_us` it is kept to be reopened.
        """
        place = self._by_id.pop(incident, None)
        if place is None:
            return False
        closed, (kind, key) = self._open.pop(place), place
        if reopen_until_us is None:
            self._forget(closed)
        else:
            closed.reopen_until_us = reopen_until_us
            self._closed[place] = self._dirty_open[place] = closed
            if len(self._closed) > CLOSED_MAX:
                self._forget(self._closed.pop(next(iter(self._closed))))
        for join in self._joins.by_type.get(kind, ()):
            state = self._peek(join.rule.id, key)
            if state is not None:
                state.forget()
                self._mark(state)
        return True

    def reopen(self, incident: Incident, steps: tuple[int, int, int]) -> Incident | None:
        """Open a closed incident again without a rule; None where another of its type and key is open."""
        if self.find_open(incident.incident, incident.key) is not None:
            return None
        again = msgspec.structs.replace(
            incident,
            state=IncidentState.OPEN,
            contained_us=None,
            closed_us=None,
            resolution="",
            reopened=incident.reopened + 1,
            steps_from=steps,
        )
        self.open(Open(incident=again, steps=steps))
        return again

    def adopt(self, incident: Incident, steps: tuple[int, int, int]) -> bool:
        """Take over an incident that is open in the store and of which no row told; False where one is open here."""
        if self.find_open(incident.incident, incident.key) is not None:
            return False
        decided = {} if incident.playbook is None else {incident.playbook: incident.mode}
        self.open(Open(incident=incident, decided=decided, steps=steps))
        return True

    def forget_closed(self, before_us: int) -> None:
        """Forget the closed incidents that could be reopened up to a time before `before_us` only."""
        for place, each in list(self._closed.items()):
            if each.reopen_until_us is None or each.reopen_until_us < before_us:
                self._forget(self._closed.pop(place))

    def _forget(self, gone: Open) -> None:
        """An incident that is neither open nor to be reopened has no row."""
        kind, key = gone.incident.incident, gone.incident.key
        self._dirty_open.pop((kind, key), None)
        if self._leave_evidence(gone.incident.id):
            self._gone[INCIDENT_OWNER + kind, key] = _gone(INCIDENT_OWNER + kind, key)

    def _leave_evidence(self, incident: IncidentId) -> bool:
        """The parts of its evidence go; False where nothing of it was written."""
        written = self._written.pop(incident, None)
        for part in range(written or 0):
            key = part_key(incident, part)
            self._gone[EVIDENCE_OWNER, key] = _gone(EVIDENCE_OWNER, key)
        return written is not None

    def swap(self, joins: Joins) -> None:
        """Take new rules; matches of rules whose meaning is unchanged stay, the others go. Incidents stay."""
        for rule, table in list(self._tables.items()):
            new = joins.rules.get(rule)
            if new is None or new.digest != self._joins.rules[rule].digest:
                for key, state in table.states.items():
                    state.dirty = False
                    self._gone[rule, key] = _gone(rule, key)
                del self._tables[rule]
        self._joins = joins
        self._rebuild_heap()

    def drain(self) -> list[StateChange]:
        """What changed since the last call, each (owner, key) once."""
        gone = self._gone
        changes: list[StateChange] = []
        for state in self._dirty:
            if state.dirty:
                state.dirty = False
                rule, key = state.rule, state.key
                digest = self._joins.rules[rule].digest
                changes.append(StateChange(Space.MATCHES, rule, key, digest, state.dump(), match.FORMAT))
                if gone:
                    gone.pop((rule, key), None)  # it went and came again
        for opened in self._dirty_open.values():
            incident = opened.incident.id
            made, self._written[incident] = rows(opened, self._written.get(incident, 0))
            changes += made
            for each in made if gone else ():
                gone.pop((each.owner, each.key), None)
        changes += gone.values()
        self._dirty.clear()
        self._dirty_open.clear()
        gone.clear()
        return changes

    def restore(self, changes: Iterable[StateChange]) -> Iterator[str]:
        """Take over what was drained. Yields a sentence for each row that fits no rule and is thrown away."""
        loaded: list[tuple[RuleId, Key, MatchState]] = []
        gathering = Gathering()
        for row in changes:
            fault = self._load(row, loaded, gathering)
            if fault:
                yield f"{fault}: what {row.owner} remembered for {dict(row.key)} is thrown away"
                self._gone[row.owner, row.key] = _gone(row.owner, row.key)
        short: list[Open] = []
        for opened, parts, missing in gathering.incidents():
            self._take_over(opened, 0 if missing else parts)
            if missing:
                short.append(opened)
                yield f"{missing * PART_LEN} signals of the evidence of {opened.incident.id} are missing"
        for opened in short:
            self.changed(opened)  # what there is of it is written anew
        for key in gathering.strays():
            self._gone[EVIDENCE_OWNER, key] = _gone(EVIDENCE_OWNER, key)
        for rule, key, state in sorted(loaded, key=lambda each: each[2].used):
            self._tables.setdefault(rule, _Table()).states[key] = state
            self._used = max(self._used, state.used)
        self._rebuild_heap()

    def _take_over(self, kept: Open, parts: int) -> None:
        """An incident that was open, or could be reopened, with so many parts of its evidence written."""
        if kept.reopen_until_us is None:
            self.open(kept)
        else:
            self._closed[kept.incident.incident, kept.incident.key] = kept
        self._written[kept.incident.id] = parts
        self._dirty_open.clear()

    def _load(self, row: StateChange, loaded: list[tuple[RuleId, Key, MatchState]], gathering: Gathering) -> str:
        """Take one row over; why not, if not."""
        if row.state is None or row.version != match.FORMAT:
            return "an unknown version"
        try:
            if row.owner.startswith((INCIDENT_OWNER, EVIDENCE_OWNER)):
                gathering.take(row)
                return ""
            rule = self._joins.rules.get(RuleId(row.owner))
            if rule is None or rule.digest != row.digest:
                return "of other rules"
            state = MatchState(rule.id, row.key)
            state.load(row.state)
        except msgspec.DecodeError as error:
            return f"unreadable ({error})"
        loaded.append((rule.id, row.key, state))
        return ""

    def _rebuild_heap(self) -> None:
        self.queue = []
        for rule, table in self._tables.items():
            for key, state in table.states.items():
                state.queued_us = None if state.pending is None else state.pending.due_us
                if state.queued_us is not None:
                    self.queue.append((state.queued_us, rule, key))
        heapq.heapify(self.queue)


def _gone(owner: str, key: Key) -> StateChange:
    return StateChange(space=Space.MATCHES, owner=owner, key=key, digest="", state=None)
