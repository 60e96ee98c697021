"""Committed batches to log lines, metrics and the figures of `halon status`. The pipeline calls it after a commit."""

from collections import deque
from collections.abc import Callable, Iterable

from engine.clock import SECOND_US, Clock
from engine.core import CoreStep
from engine.intake.heartbeat import DOOR as HEARTBEAT
from engine.logs import DecisionLog, get_logger
from engine.model import Incident, IncidentId, Intent
from engine.operate.metrics import Metrics
from engine.pipeline import Batch
from engine.rulefile.rules import RuleSet
from engine.store.intents import Move

_WINDOW_S = 10


class Observer:
    """Looks on; keeps events per second for the last ten seconds."""

    def __init__(self, clock: Clock, metrics: Metrics, *, failed: Callable[[str], None] = lambda _: None) -> None:
        self._clock = clock
        self._metrics = metrics
        self._failed = failed
        self._decisions = DecisionLog(clock)
        self._log = get_logger("halon.pipeline")
        self._seconds: deque[tuple[int, int]] = deque(maxlen=_WINDOW_S + 1)
        self.events_total = 0
        self.lag_us = 0
        """From the arrival of the newest batch's first message to its commit, in microseconds."""

    def committed(self, batch: Batch, *, commit_s: float) -> None:
        """One line per decision, and the counts."""
        now_us = self._clock.now_us()
        if batch.received:
            self.lag_us = max(0, now_us - batch.changes.at_us)
            self._count(batch, now_us)
            self._metrics.batch(events=batch.events, commit_s=commit_s, lag_s=self.lag_us / SECOND_US)
        for letter in batch.changes.deadletters:
            self._metrics.deadletter(letter.source)
            self._log.warning("dead letter", door=letter.source, topic=letter.topic, reason=letter.reason)
        absorbed: dict[IncidentId, Incident] = {}
        for step in batch.steps:
            self._tell(step, absorbed)
        for incident in absorbed.values():
            self._decisions.absorbed(incident)

    def commit_failed(self, reason: str) -> None:
        """The store does not take a batch; nothing is acknowledged until it does."""
        self._metrics.commit_failed()
        self._failed(reason)
        self._log.error("the store does not take a batch; intake waits, nothing is acknowledged", reason=reason)

    def moved(self, intent: Intent, change: Move) -> None:
        """An intent went on; where that ended it, its outcome is counted, and the time it took."""
        if change.to.settled:
            latency_us = change.at_us - (intent.trigger_us or intent.at_us)
            self._metrics.settled(intent, change.to, latency_us=latency_us)

    def reloaded(self, rules: RuleSet, *, taken: bool, doors: Iterable[str] = ()) -> None:
        """New rules and doors took over, or were refused; `rules` run now."""
        self._metrics.expect(rules, doors)
        self._metrics.reloaded(taken=taken)

    def events_per_s(self) -> float:
        """The mean rate over the last ten whole seconds."""
        now = self._clock.now_us() // SECOND_US
        return sum(events for second, events in self._seconds if now - _WINDOW_S <= second < now) / _WINDOW_S

    def _count(self, batch: Batch, now_us: int) -> None:
        second = now_us // SECOND_US
        new = sum(count for (door, _, verdict), count in batch.judged.items() if verdict == "new" and door != HEARTBEAT)
        self.events_total += new
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1] = (second, self._seconds[-1][1] + new)
        else:
            self._seconds.append((second, new))
        for (source, event_type, verdict), count in batch.judged.items():
            self._metrics.event(source=source, event_type=event_type, verdict=verdict, count=count)

    def _tell(self, step: CoreStep, absorbed: dict[IncidentId, Incident]) -> None:
        """What a step came to. Of what an incident absorbed in the whole batch one line is enough: its last state."""
        for fault in step.faults:
            self._decisions.fault(fault)
            self._metrics.fault(fault)
        for signal in step.signals:
            self._decisions.signal(signal)
            self._metrics.signal(signal)
        for incident in step.opened:
            self._decisions.incident(incident)
            self._metrics.incident(incident)
        for incident in step.reopened:
            self._metrics.reopened(incident)
        again = {incident.id for incident in step.reopened}
        for incident in step.updated:
            if incident.id in again:
                self._decisions.incident(incident, "reopened")
            else:
                absorbed[incident.id] = incident
        for intent in (*step.intents, *step.skipped):
            self._decisions.intent(intent)
            self._metrics.intent(intent)
