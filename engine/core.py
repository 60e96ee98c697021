"""An event, or the passing of time, to signals, incidents and intents: detect, correlate and decide in one.

The same core runs in the daemon (`engine.pipeline`), in `engine.replay` and in `engine.ruletest`. It is deterministic
and does no I/O: time comes in, and what it must not forget goes out by `drain_changes`.
"""

from collections import Counter
from collections.abc import Iterable

from engine import correlate, decide, detect
from engine.clock import SECOND_US
from engine.config import IntakeConfig, LimitsConfig
from engine.model import Event, Fault, Incident, IncidentId, Intent, Key, Mode, Signal, Struct
from engine.rulefile.rules import RuleSet
from engine.statechange import Space, StateChange

REOPEN_LATE_MAX_US = 86_400 * SECOND_US
"""How long past its time a closed incident is still there for events that come late."""


class CoreStep(Struct, frozen=True, gc=False):
    """What one input gave, each tuple in the order in which it came about.

    `opened` holds incidents as they opened, `updated` open incidents that changed, as they now are; `reopened` those of
    them that were closed. `skipped` are steps that their own `when` left out: recorded with the reason, never executed.
    """

    signals: tuple[Signal, ...] = ()
    opened: tuple[Incident, ...] = ()
    updated: tuple[Incident, ...] = ()
    intents: tuple[Intent, ...] = ()
    skipped: tuple[Intent, ...] = ()
    faults: tuple[Fault, ...] = ()
    reopened: tuple[Incident, ...] = ()


EMPTY = CoreStep()


class _Gathered:
    """What the parts of one step gave so far."""

    __slots__ = ("faults", "intents", "opened", "reopened", "signals", "skipped", "updated")

    def __init__(self) -> None:
        self.signals: list[Signal] = []
        self.opened: list[Incident] = []
        self.updated: dict[IncidentId, Incident] = {}
        self.reopened: list[Incident] = []
        self.intents: list[Intent] = []
        self.skipped: list[Intent] = []
        self.faults: list[Fault] = []

    def step(self) -> CoreStep:
        return CoreStep(
            tuple(self.signals),
            tuple(self.opened),
            tuple(self.updated.values()),
            tuple(self.intents),
            tuple(self.skipped),
            tuple(self.faults),
            tuple(self.reopened),
        )


def _undecided_step(detected: detect.Detected, correlated: correlate.Correlated) -> CoreStep:
    """Of an event that set off no timer and asks for no steps: as most are that give a signal."""
    fired = correlated.fired
    if not fired:
        return CoreStep(detected.signals, (), correlated.updated, (), (), detected.faults)
    opened = tuple([each.incident for each in fired if each.fresh])
    again = tuple([each.incident for each in fired if each.again])
    return CoreStep(detected.signals, opened, correlated.updated, (), (), detected.faults, again)


class Core:
    """The pure core with its state."""

    def __init__(
        self,
        rules: RuleSet,
        limits: LimitsConfig | None = None,
        intake: IntakeConfig | None = None,
        mode: Mode = Mode.ENFORCE,
    ) -> None:
        limits, intake = limits or LimitsConfig(), intake or IntakeConfig()
        self._rules = rules
        self.mode = mode
        # A time further ahead than the lateness allowed would make honest events of its key too late to count.
        self._ahead_max_us = min(intake.future_max, intake.lateness_max)
        self._core_us = 0
        self._index = detect.RulesIndex(rules.signals)
        self._finders = self._index.by_type
        self._windows = detect.DetectState(rules.signals, keys_max=limits.keys_max, lateness_us=intake.lateness_max)
        joins = correlate.Joins(rules)
        self._matches = correlate.CorrelateState(
            joins, matches_max=limits.matches_per_rule_max, evidence_max=limits.signals_per_incident_max
        )
        self._correlator = correlate.Correlator(joins, self._matches)

    @property
    def rules(self) -> RuleSet:
        """The rules in force."""
        return self._rules

    @property
    def core_us(self) -> int:
        """Core time: what timers run by."""
        return self._core_us

    def event(self, event: Event, now_us: int) -> CoreStep:
        """Judge an event that arrived at `now_us`, after the timers that were due before it."""
        core_us = at_us = event.time_us
        if at_us > now_us:
            core_us = now_us
            if at_us > now_us + self._ahead_max_us:
                at_us = now_us
        if core_us > self._core_us:
            self._core_us = core_us
        else:
            core_us = self._core_us
        try:
            find = self._finders[event.type]
        except KeyError:
            find = self._index.candidates
        watches = find(event)
        windows, matches = self._windows, self._matches
        # Most events come to nothing: they are told so before anything is made for them.
        if (windows.queue or matches.queue) and self._may_be_due(core_us):
            gathered = _Gathered()
            self._fire_timers(gathered, before_us=core_us)
            detected = detect.detect(watches, windows, event, at_us)
            gathered.faults += detected.faults
            self._correlate(gathered, detected.signals)
        elif watches:
            detected = detect.detect(watches, windows, event, at_us)
            # What the event set in the past, as a late one may, is due already.
            due = (windows.queue or matches.queue) and self._may_be_due(core_us)
            if detected is detect.NOTHING and not due:
                return EMPTY
            correlated = self._correlator.correlate(detected.signals)
            if not due and not matches.queue and not any(each.playbook for each in correlated.fired):
                return _undecided_step(detected, correlated)
            gathered = _Gathered()
            gathered.faults += detected.faults
            gathered.signals += detected.signals
            self._decide(gathered, correlated)
        else:
            return EMPTY
        if (windows.queue or matches.queue) and self._may_be_due(core_us):
            self._fire_timers(gathered, before_us=core_us)
        return gathered.step()

    def tick(self, now_us: int) -> CoreStep:
        """Time has come to `now_us`: fire what is due.

        Call it when no event that arrived before `now_us` is still waiting: a timer may tell of silence.
        """
        self._core_us = max(self._core_us, now_us)
        gathered = _Gathered()
        self._fire_timers(gathered, before_us=self._core_us + 1)
        return gathered.step()

    def set_back(self, now_us: int) -> None:
        """The clock was set back to `now_us`: without this, all that was due by the wrong time would fire at once."""
        self._core_us = min(self._core_us, now_us)

    def jump(self, to_us: int, by_us: int) -> None:
        """The clock was set by `by_us` to `to_us` and no time passed: timers keep their distance from now.

        Else every silence that a rule asks for would seem to have lasted, or would go unheard until the clock is where
        it was.
        """
        self._core_us = min(self._core_us, to_us)
        self._windows.jump(to_us, by_us)
        self._matches.jump(to_us, by_us)

    def next_due_us(self) -> int | None:
        """When `tick` wants to be called next if no event comes before; None for never."""
        windows_us, matches_us = self._windows.due_us(), self._matches.due_us()
        if windows_us is None or matches_us is None:
            return matches_us if windows_us is None else windows_us
        return min(windows_us, matches_us)

    def reconfigure(self, limits: LimitsConfig, intake: IntakeConfig, mode: Mode) -> None:
        """Other limits from now on. A lower one holds for what is new; what is kept goes as it falls quiet."""
        self.mode = mode
        self._ahead_max_us = min(intake.future_max, intake.lateness_max)
        self._windows.reconfigure(keys_max=limits.keys_max, lateness_us=intake.lateness_max)
        self._matches.reconfigure(matches_max=limits.matches_per_rule_max, evidence_max=limits.signals_per_incident_max)

    def swap_rules(self, rules: RuleSet) -> None:
        """Take new rules; what belongs to unchanged signals and rules stays, and so do open incidents."""
        self._index = detect.RulesIndex(rules.signals)
        self._finders = self._index.by_type
        joins = correlate.Joins(rules)
        self._windows.swap(rules.signals)
        self._matches.swap(joins)
        self._correlator = correlate.Correlator(joins, self._matches)
        self._rules = rules

    def close(self, incident: IncidentId, *, reopen_until_us: int | None = None) -> bool:
        """An incident was closed; a rule that fires up to `reopen_until_us` opens it again. False if it wasn't open."""
        self._matches.forget_closed(self._core_us - REOPEN_LATE_MAX_US)
        return self._matches.close(incident, reopen_until_us=reopen_until_us)

    def reopen(self, incident: Incident, steps: tuple[int, int, int]) -> Incident | None:
        """A person opens a closed incident again: as it is then, or None where another of its type and key is open.

        `steps` counts those of each phase that it has.
        """
        return self._matches.reopen(incident, steps)

    def adopt(self, incident: Incident, steps: tuple[int, int, int]) -> bool:
        """Take over an open incident of the store that no row of state told of, as its playbook was decided then.

        Else the next evidence would open another of its type and key. False where one is open here.
        """
        return self._matches.adopt(incident, steps)

    def watch(self, key: Key, *, since_us: int, until_us: int) -> None:
        """Watch a key more closely for a time."""
        self._windows.watchlist.add(key, since_us=since_us, until_us=until_us)

    def unwatch(self, key: Key) -> bool:
        """Watch a key no more closely; False where it was not watched."""
        return self._windows.watchlist.remove(key)

    def open_incidents(self) -> list[Incident]:
        """The open incidents, oldest first."""
        return self._matches.incidents()

    def evictions(self) -> Counter[str]:
        """How many keys `signal.ID` and `rule.ID` had to forget because they had too many."""
        windows = {f"signal.{name}": count for name, count in self._windows.evictions.items()}
        matches = {f"rule.{name}": count for name, count in self._matches.evictions.items()}
        return Counter(windows | matches)

    def sizes(self) -> tuple[int, int]:
        """How many windows and partial matches are kept."""
        return len(self._windows), len(self._matches)

    def drain_changes(self) -> list[StateChange]:
        """The state that changed since the last call, each (space, owner, key) once: what must be durable."""
        return self._windows.drain() + self._matches.drain()

    def restore(self, rows: Iterable[StateChange], core_us: int = 0) -> list[str]:
        """Take over what was drained before, once, at start. Returns a sentence for each kind that fits no rule."""
        windows: list[StateChange] = []
        matches: list[StateChange] = []
        for row in rows:
            (windows if row.space is Space.WINDOWS else matches).append(row)
        self._core_us = max(self._core_us, core_us)
        return [*self._windows.restore(windows), *self._matches.restore(matches)]

    def _may_be_due(self, before_us: int) -> bool:
        """Whether a timer may be due before that time; False is certain, and most events are told so at little cost."""
        windows, matches = self._windows.queue, self._matches.queue
        return (bool(windows) and windows[0][0] < before_us) or (bool(matches) and matches[0][0] < before_us)

    def _fire_timers(self, gathered: _Gathered, *, before_us: int) -> None:
        while True:
            windows_us, matches_us = self._windows.due_us(), self._matches.due_us()
            if windows_us is not None and windows_us < before_us and (matches_us is None or windows_us <= matches_us):
                signal = detect.fire_timer(self._windows)
                if signal is not None:
                    self._correlate(gathered, (signal,))
            elif matches_us is not None and matches_us < before_us:
                self._decide(gathered, self._correlator.fire_wait())
            else:
                return

    def _correlate(self, gathered: _Gathered, signals: tuple[Signal, ...]) -> None:
        if signals:
            gathered.signals += signals
            self._decide(gathered, self._correlator.correlate(signals))

    def _decide(self, gathered: _Gathered, correlated: correlate.Correlated) -> None:
        for fired in correlated.fired:
            if fired.fresh:
                gathered.opened.append(fired.incident)
            elif fired.again:
                gathered.reopened.append(fired.incident)
            playbook = None if fired.playbook is None else self._rules.playbooks.get(fired.playbook)
            if playbook is None:
                continue
            decided = decide.decide(
                playbook,
                incident=fired.incident,
                rule=fired.rule,
                completing=fired.completing,
                matched=fired.matched,
                at_us=fired.at_us,
                mode=self.mode,
                steps_before=fired.steps_before,
            )
            gathered.intents += decided.intents
            gathered.skipped += decided.skipped
            gathered.faults += decided.faults
        for incident in correlated.updated:
            gathered.updated[incident.id] = incident
