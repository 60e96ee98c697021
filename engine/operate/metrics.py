"""Turns what happens in the daemon into Prometheus metrics; the pipeline and the containment call the methods.

Names follow Prometheus' conventions with base units. Labels that come from outside (sources, event types) are bounded:
past LABEL_VALUES_MAX distinct values per label, the rest is counted as `other`.
"""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from engine.clock import SECOND_US
from engine.model import Fault, Incident, Intent, IntentState, Mode, Phase, Signal
from engine.rulefile.rules import RuleSet

CONTENT_TYPE = CONTENT_TYPE_LATEST
LABEL_VALUES_MAX = 200
LABEL_CHARS_MAX = 100
OTHER = "other"
VIOLATION = "halon.source.violation"
"""As in engine.intake.permits, which this layer does not know."""
SETTLED = tuple(state for state in IntentState if state.settled)

_COMMIT_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_CONTAIN_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)
_BATCH_BUCKETS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000)


class Metrics:
    """One registry with everything the daemon counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        made = self.registry
        self._values: dict[str, set[str]] = {}
        self._events = Counter(
            "halon_events",
            "Events by door, type and verdict (new, duplicate)",
            ("source", "type", "verdict"),
            registry=made,
        )
        self._lag = Gauge("halon_event_lag_seconds", "Arrival to commit of the last batch", registry=made)
        self._queue = Gauge(
            "halon_queue_length",
            "What waits, by queue (events, steps, steps-held, deadletters)",
            ("queue",),
            registry=made,
        )
        self._batch = Histogram(
            "halon_batch_events", "Events in one transaction", registry=made, buckets=_BATCH_BUCKETS
        )
        self._commit = Histogram("halon_commit_seconds", "Time of one commit", registry=made, buckets=_COMMIT_BUCKETS_S)
        self._commit_failures = Counter(
            "halon_commit_failures", "Commits that failed and are tried again", registry=made
        )
        self._signals = Counter("halon_signals", "Signals by id", ("signal",), registry=made)
        self._incidents = Counter("halon_incidents", "Incidents opened", ("incident", "severity"), registry=made)
        self._incidents_open = Gauge("halon_incidents_open", "Incidents that are not closed", registry=made)
        self._reopened = Counter("halon_incidents_reopened", "Incidents that came again", ("incident",), registry=made)
        self._overdue = Gauge(
            "halon_deadlines_overdue", "Missed deadlines that are not made good, by phase", ("phase",), registry=made
        )
        self._notices = Gauge(
            "halon_notices",
            "Notices to people that are kept, by state (waiting, sent, failed)",
            ("state",),
            registry=made,
        )
        self._recorded = Gauge("halon_recorded_events", "Events that the flight recorder holds", registry=made)
        self._set_aside = Gauge(
            "halon_store_set_aside", "Damaged stores that are kept beside the one in use", registry=made
        )
        self._watched = Gauge("halon_watched_keys", "Keys that are watched more closely", registry=made)
        self._intents = Counter("halon_intents", "Steps decided", ("action", "verdict"), registry=made)
        self._outcomes = Counter(
            "halon_outcomes",
            "Steps that ended, by how; only `verified` is containment",
            ("action", "outcome"),
            registry=made,
        )
        self._leases = Gauge("halon_leases_held", "Leases in force", ("kind",), registry=made)
        self._conflicts = Gauge(
            "halon_leases_in_conflict", "Leases whose target is not as it should be, or can't be read", registry=made
        )
        self._budget = Gauge("halon_budget_left", "What a budget still allows", ("kind", "budget"), registry=made)
        self._faults = Counter("halon_faults", "Evaluations that failed, by rule or signal", ("owner",), registry=made)
        self._evictions = Counter("halon_key_evictions", "Keys dropped at a limit", ("owner",), registry=made)
        self._deadletters = Counter("halon_deadletters", "Messages that are no events", ("source",), registry=made)
        self._contained = Histogram(
            "halon_containment_seconds",
            "Time from event to verified containment",
            registry=made,
            buckets=_CONTAIN_BUCKETS_S,
        )
        self._door = Gauge("halon_door_connected", "1 where a door for events is connected", ("door",), registry=made)
        self._loaded = Gauge(
            "halon_rules_loaded_timestamp_seconds", "When the rules that run were loaded", registry=made
        )
        self._rules = Gauge("halon_rules", "Rules that run", registry=made)
        self._reloads = Counter("halon_reloads", "Reloads by whether they took", ("taken",), registry=made)
        self._acting = Gauge("halon_acting", "1 where steps are executed: neither paused nor observing", registry=made)

    def expect(self, rules: RuleSet, doors: Iterable[str] = ()) -> None:
        """Begin at 0 what these rules and doors may count: an increase from nothing is none to Prometheus."""
        for door in doors:
            self._events.labels(self._bounded("source", door), self._bounded("type", VIOLATION), "new")
            self._deadletters.labels(self._bounded("source", door))
        for owner in (*rules.signals, *rules.rules):
            self._faults.labels(self._bounded("owner", owner))
        for rule in rules.rules.values():
            self._incidents.labels(self._bounded("incident", rule.incident), rule.severity.value)
        for playbook in rules.playbooks.values():
            for step in (*playbook.contain, *playbook.investigate, *playbook.recover):
                for state in SETTLED:
                    self._outcomes.labels(step.action, state.value)
        for taken in ("true", "false"):
            self._reloads.labels(taken)

    def event(self, *, source: str, event_type: str, verdict: str, count: int = 1) -> None:
        """An event came in by the door `source`; `verdict` is new or duplicate."""
        self._events.labels(self._bounded("source", source), self._bounded("type", event_type), verdict).inc(count)

    def batch(self, *, events: int, commit_s: float, lag_s: float) -> None:
        """A batch was committed."""
        self._batch.observe(events)
        self._commit.observe(commit_s)
        self._lag.set(lag_s)

    def commit_failed(self) -> None:
        """A commit failed; intake waits."""
        self._commit_failures.inc()

    def queue(self, name: str, length: int) -> None:
        """How much waits in a queue."""
        self._queue.labels(name).set(length)

    def signal(self, signal: Signal) -> None:
        """A detector found something."""
        self._signals.labels(self._bounded("signal", signal.signal)).inc()

    def incident(self, incident: Incident) -> None:
        """An incident opened."""
        self._incidents.labels(self._bounded("incident", incident.incident), incident.severity.value).inc()

    def reopened(self, incident: Incident) -> None:
        """An incident came again after it was closed."""
        self._reopened.labels(self._bounded("incident", incident.incident)).inc()

    def life(self, *, overdue: dict[Phase, int], notices: dict[str, int], recorded: int, watched: int) -> None:
        """How incidents are looked after now, and what is recorded and watched."""
        for phase, count in overdue.items():
            self._overdue.labels(phase.value).set(count)
        for state, count in notices.items():
            self._notices.labels(state).set(count)
        self._recorded.set(recorded)
        self._watched.set(watched)

    def set_aside(self, stores: int) -> None:
        """How many damaged stores lie beside the one in use, until someone takes them away."""
        self._set_aside.set(stores)

    def intent(self, intent: Intent) -> None:
        """A step was decided."""
        self._intents.labels(intent.action, intent.verdict.value).inc()

    def settled(self, intent: Intent, state: IntentState, *, latency_us: int) -> None:
        """A step ended so; `latency_us` from the event counts as time to containment only where it was verified."""
        self._outcomes.labels(intent.action, state.value).inc()
        if state is IntentState.VERIFIED and intent.phase is Phase.CONTAIN:
            self._contained.observe(max(0, latency_us) / SECOND_US)

    def fault(self, fault: Fault) -> None:
        """An evaluation failed."""
        self._faults.labels(self._bounded("owner", fault.owner)).inc()

    def evicted(self, owner: str, count: int = 1) -> None:
        """Keys were dropped at a limit."""
        self._evictions.labels(self._bounded("owner", owner)).inc(count)

    def deadletter(self, source: str) -> None:
        """A message was no event."""
        self._deadletters.labels(self._bounded("source", source)).inc()

    def door(self, name: str, *, connected: bool) -> None:
        """A door connected or lost its connection."""
        self._door.labels(name).set(connected)

    def door_gone(self, name: str) -> None:
        """A door was taken out: it is neither connected nor not."""
        self._door.remove(name)

    def rules_loaded(self, *, rules: int, at_us: int) -> None:
        """A rule set took over."""
        self._rules.set(rules)
        self._loaded.set(at_us / SECOND_US)

    def reloaded(self, *, taken: bool) -> None:
        """A reload took or was refused."""
        self._reloads.labels(str(taken).lower()).inc()

    def acting(self, *, mode: Mode, paused: bool) -> None:
        """Whether steps are executed now."""
        self._acting.set(mode is Mode.ENFORCE and not paused)

    def held(self, *, incidents_open: int, leases: dict[str, int], in_conflict: int) -> None:
        """What is open and in force now; `leases` by target kind, 0 for a kind that has none left."""
        self._incidents_open.set(incidents_open)
        self._conflicts.set(in_conflict)
        for kind, count in leases.items():
            self._leases.labels(self._bounded("kind", kind)).set(count)

    def budget(self, *, kind: str, budget: str, left: int) -> None:
        """What a budget still allows; `budget` is held or per_hour."""
        self._budget.labels(self._bounded("kind", kind), budget).set(left)

    def render(self) -> bytes:
        """The text format of Prometheus."""
        return generate_latest(self.registry)

    def _bounded(self, label: str, value: str) -> str:
        known = self._values.setdefault(label, set())
        if value in known:
            return value
        if len(known) >= LABEL_VALUES_MAX or len(value) > LABEL_CHARS_MAX:
            return OTHER
        known.add(value)
        return value
