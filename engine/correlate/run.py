"""Signals to incidents: rules that fire open one or feed the open one; docs/rules.md, Exact meaning, 19 to 27.

`engine.core` calls this. The signals of one event come together: those that speak against a match are remembered
before any is made.
"""

from collections.abc import Sequence

import msgspec

from engine.correlate.joins import Join, Joins
from engine.correlate.match import MatchState, Pending, remember_unwanted, take
from engine.correlate.opened import Open
from engine.correlate.state import CorrelateState
from engine.model import Incident, IncidentState, Key, Mode, PlaybookId, Severity, Signal, Struct, incident_id
from engine.rulefile.rules import Rule


class Fired(Struct, frozen=True, gc=False):
    """A rule that fired: the incident it opened (`fresh`), opened again (`again`) or fed, and what is to be decided.

    `playbook` is None where there is none, or where it was decided for this incident before. `steps_before` counts the
    steps of each phase that were decided before, so that each step has a place of its own.
    """

    incident: Incident
    rule: Rule
    fresh: bool
    at_us: int
    completing: Signal
    matched: tuple[Signal, ...]
    playbook: PlaybookId | None = None
    steps_before: tuple[int, int, int] = (0, 0, 0)
    again: bool = False


class Correlated(Struct, frozen=True, gc=False):
    """What signals did: the rules that fired, in order, and the open incidents that changed, as they now are."""

    fired: tuple[Fired, ...] = ()
    updated: tuple[Incident, ...] = ()


_NOTHING = Correlated()


class Correlator:
    """The rules and what they remember. A call gathers what fires and what changes, and leaves with it."""

    def __init__(self, joins: Joins, state: CorrelateState) -> None:
        self._joins = joins
        self._state = state
        self._fired: list[Fired] = []
        self._touched: dict[str, Open] = {}

    def correlate(self, signals: Sequence[Signal]) -> Correlated:
        """The signals of one event, in order, to the rules that fire and the incidents that change."""
        if self._joins.unwanted:
            for signal in signals:
                for join in self._joins.unwanted.get(signal.signal, ()):
                    key = join.key_of(signal.key)
                    remember_unwanted(join, self._state.touch(join, key), signal)
        for signal in signals:
            self._take(signal)
        return self._result() if self._fired or self._touched else _NOTHING

    def fire_wait(self) -> Correlated:
        """Deal with the wait that is over next."""
        self._end_wait(*self._state.pop_due())
        return self._result()

    def _take(self, signal: Signal) -> None:
        """One wanted signal: absorbed by the open incidents of its rules' types, then given to the rules."""
        wanted = self._joins.wanted.get(signal.signal)
        if wanted is None:
            return
        self._absorb_by_type(wanted, signal)
        for join in wanted:
            key = signal.key if len(signal.key) == join.names_len else join.key_of(signal.key)
            if join.memoryless:
                self._fire(join, key, (signal,), signal, signal.at_us)
                continue
            state = self._state.touch(join, key)
            matched = take(join, state, signal)
            if matched is not None:
                self._complete(join, key, state, matched, signal)

    def _absorb_by_type(self, wanted: Sequence[Join], signal: Signal) -> None:
        absorbed: tuple[str, ...] = ()
        for join in wanted:
            opened = self._state.find_open(join.incident, join.key_of(signal.key))
            if opened is not None and opened.incident.id not in absorbed:
                absorbed = (*absorbed, opened.incident.id)
                self._absorb(opened, (signal,), signal.at_us)

    def _complete(self, join: Join, key: Key, state: MatchState, matched: tuple[Signal, ...], signal: Signal) -> None:
        """A match is there: fire, or wait whether something voids it."""
        end_us = matched[-1].at_us if join.sequence else max(each.at_us for each in matched)
        wait_us = join.rule.when.wait_us
        if not wait_us:
            state.forget()
            self._fire(join, key, matched, signal, end_us)
        elif state.pending is None:
            state.pending = Pending(due_us=end_us + wait_us, end_us=end_us, signals=matched, completing=signal)
            self._state.schedule(join.rule.id, key, state)

    def _end_wait(self, join: Join, key: Key, state: MatchState) -> None:
        """A wait is over and nothing voided its match."""
        pending = state.pending
        assert pending is not None, "a wait that ended had a match"
        state.forget()
        self._fire(join, key, pending.signals, pending.completing, pending.due_us)

    def _fire(self, join: Join, key: Key, matched: tuple[Signal, ...], completing: Signal, at_us: int) -> None:
        """Open the incident, or feed the open one."""
        rule = join.rule
        opened = self._state.find_open(rule.incident, key)
        closed = self._state.find_closed(rule.incident, key, at_us) if opened is None else None
        fresh = opened is None and closed is None
        if closed is not None:
            opened = closed
            self._reopen(closed, rule)
        if opened is None:
            opened = self._open(rule, key, matched, completing, at_us)
        else:
            self._complete_evidence(opened, matched, at_us)
            self._raise(opened, rule)
        playbook = _undecided(opened, rule)
        before = opened.steps
        if playbook is not None:
            self._state.changed(opened)
            opened.decided[playbook] = rule.mode
            more = self._joins.steps(playbook)
            opened.steps = (before[0] + more[0], before[1] + more[1], before[2] + more[2])
        again = closed is not None
        self._fired.append(Fired(opened.incident, rule, fresh, at_us, completing, matched, playbook, before, again))

    def _open(self, rule: Rule, key: Key, matched: tuple[Signal, ...], completing: Signal, at_us: int) -> Open:
        event = completing.event
        trigger = f"{completing.signal}@{completing.at_us}" if event is None else f"{event.source}\0{event.id}"
        incident = Incident(
            incident_id(rule.incident, key, f"{trigger}\0{at_us}"),
            rule.incident,
            rule.id,
            rule.severity,
            key,
            IncidentState.OPEN,
            opened_us=at_us,
            updated_us=at_us,
            signals=matched[: self._state.evidence_max],
            absorbed=len(matched),
            mode=rule.mode,
            playbook=rule.playbook,
            tags=rule.tags,
        )
        opened = Open(incident=incident)
        self._state.open(opened)
        return opened

    def _reopen(self, closed: Open, rule: Rule) -> None:
        """A closed incident is open again: its steps count no more, and half of the evidence gives way to the new."""
        incident = closed.incident
        closed.incident = msgspec.structs.replace(
            incident,
            signals=incident.signals[: self._state.evidence_max // 2],
            mode=rule.mode,
            reopened=incident.reopened + 1,
            steps_from=closed.steps,
        )
        closed.decided = {}
        self._state.open(closed)
        self._note(closed)

    def _complete_evidence(self, opened: Open, matched: Sequence[Signal], at_us: int) -> None:
        """Signals from before the incident that now speak for it too, while there is room for them."""
        signals = opened.incident.signals
        room = max(0, self._state.evidence_max - len(signals))
        # The newest is most often the signal that was taken in a moment ago: it spares comparing it with all.
        newest = signals[-1] if signals else None
        missing = [each for each in matched if each is not newest and each not in signals] if room else []
        if missing:
            self._absorb(opened, missing[:room], at_us)

    def _absorb(self, opened: Open, signals: Sequence[Signal], at_us: int) -> None:
        incident = opened.incident
        room = max(0, self._state.evidence_max - len(incident.signals))
        opened.incident = msgspec.structs.replace(
            incident,
            signals=(*incident.signals, *signals[:room]) if room else incident.signals,
            absorbed=incident.absorbed + len(signals),
            updated_us=max(incident.updated_us, at_us),
        )
        self._note(opened)

    def _raise(self, opened: Open, rule: Rule) -> None:
        """The worst severity and the strictest mode of the rules that fired count; tags of all are kept."""
        incident = opened.incident
        if (
            rule.severity.rank <= incident.severity.rank
            and (incident.mode is Mode.ENFORCE or rule.mode is not Mode.ENFORCE)
            and (incident.playbook or not rule.playbook)
            and (rule.tags == incident.tags or set(rule.tags) <= set(incident.tags))
        ):
            return  # nothing of it is new, as where the rule that opened it fires again
        severity: Severity = max(incident.severity, rule.severity, key=lambda each: each.rank)
        mode = Mode.ENFORCE if rule.mode is Mode.ENFORCE else incident.mode
        tags = tuple(dict.fromkeys((*incident.tags, *rule.tags)))
        playbook = incident.playbook or rule.playbook
        raised = msgspec.structs.replace(incident, severity=severity, mode=mode, tags=tags, playbook=playbook)
        if raised != incident:
            opened.incident = raised
            self._note(opened)

    def _note(self, opened: Open) -> None:
        self._touched[opened.incident.id] = opened
        self._state.changed(opened)

    def _result(self) -> Correlated:
        """What came of it all, handed out."""
        made = Correlated(tuple(self._fired), tuple([each.incident for each in self._touched.values()]))
        self._fired.clear()
        self._touched.clear()
        return made


def _undecided(opened: Open, rule: Rule) -> PlaybookId | None:
    """The rule's playbook, unless it was decided for this incident before in a mode that is as strict."""
    playbook = rule.playbook
    if playbook is None:
        return None
    before = opened.decided.get(playbook)
    return None if before is not None and (before is Mode.ENFORCE or rule.mode is Mode.OBSERVE) else playbook
