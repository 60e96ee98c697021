"""The views that pass over the control socket: what the running daemon knows, and what the store knows.

`engine.operate.views` and its kin make them, `engine.operate.control` serves them, `engine.cli` prints them. Times are
aware datetimes in UTC, which are RFC 3339 text in JSON; lengths of time carry their unit in the name.
"""

from datetime import datetime

import msgspec

from engine.model import (
    IncidentId,
    IncidentState,
    IncidentType,
    IntentId,
    IntentState,
    Json,
    LeaseId,
    LeaseState,
    Mode,
    Phase,
    RuleId,
    Severity,
    Struct,
    Verdict,
)

# --- What the running daemon knows ---------------------------------------------------------------------------------


class Door(Struct, frozen=True):
    """A way by which events come in, and how it stands."""

    name: str
    kind: str
    connected: bool
    detail: str = ""
    events: int = 0


class LoadedRules(Struct, frozen=True):
    """The rules that run now; `error` is set where a later reload was refused."""

    rules: int
    signals: int
    playbooks: int
    files: int
    digest: str
    loaded: datetime
    error: str = ""


class Live(Struct, frozen=True):
    """What only the running daemon knows: doors, rates, lag, mode, rules."""

    version: str
    pid: int
    started: datetime
    mode: Mode
    rules: LoadedRules
    doors: tuple[Door, ...] = ()
    events: int = 0
    events_per_s: float = 0.0
    lag_s: float = 0.0
    in_flight: int = 0
    in_flight_max: int = 0
    steps_running: int = 0
    commit_failing: str = ""
    keys_held: int = 0
    evictions: int = 0
    restart_needed: tuple[str, ...] = ()
    """Keys of the config that were changed since the start and take a restart."""


# --- What the store knows ------------------------------------------------------------------------------------------


class FaultRow(Struct, frozen=True):
    """How often a rule or signal could not be evaluated, and why it last could not."""

    owner: str
    field: str
    count: int
    reason: str
    last: datetime
    last_event: str = ""


class BudgetRow(Struct, frozen=True):
    """How much of a budget is used; a `*_max` of 0 means no limit."""

    kind: str
    held: int
    held_max: int
    last_hour: int
    per_hour_max: int


class Pause(Struct, frozen=True):
    """That all acting is stopped, by whom and since when."""

    who: str
    since: datetime


class Recorded(Struct, frozen=True):
    """What the flight recorder holds."""

    events: int
    bytes: int
    since: datetime | None = None


class Stored(Struct, frozen=True):
    """What the database says. `incidents` counts by state; `leases` by state; `steps_held` wait for something.

    `overdue` counts missed deadlines that are not made good, by phase; `notices` by state.
    """

    incidents: dict[IncidentState, int]
    leases: dict[LeaseState, int]
    steps_held: int
    steps_under_way: int
    deadletters: int
    paused: Pause | None = None
    faults: tuple[FaultRow, ...] = ()
    budgets: tuple[BudgetRow, ...] = ()
    overdue: dict[Phase, int] = {}
    notices: dict[str, int] = {}
    recorded: Recorded | None = None
    watched: int = 0
    set_aside: tuple[str, ...] = ()
    """Names of damaged stores that are kept beside the database, the oldest first."""


class Status(Struct, frozen=True):
    """`halon status`: `live` is missing where the daemon does not run and only the database was read."""

    stored: Stored
    live: Live | None = None


class IncidentRow(Struct, frozen=True):
    """One incident in a list; `signals` counts all that it absorbed."""

    id: IncidentId
    incident: IncidentType
    rule: RuleId
    severity: Severity
    key: dict[str, str]
    state: IncidentState
    opened: datetime
    updated: datetime
    signals: int
    mode: Mode
    contained: datetime | None = None
    closed: datetime | None = None
    resolution: str = ""
    acked_by: str = ""
    reopened: int = 0
    duplicate_of: str = ""
    due: "DeadlineView | None" = None


class DeadlineView(Struct, frozen=True):
    """By when a phase has to be done; `met` when it was, `missed` when it was found late, `level` how often that was
    said.
    """

    phase: Phase
    due: datetime
    met: datetime | None = None
    missed: datetime | None = None
    level: int = 0


class StoryLine(Struct, frozen=True):
    """One line of an incident's story. `after_ms` is the time since the event that set it off; `who` a person."""

    at: datetime
    kind: str
    text: str
    who: str = ""
    after_ms: float | None = None


class Touched(Struct, frozen=True):
    """One thing that an incident touches: a model, a run, a client, …, and what is known of that."""

    kind: str
    name: str
    facts: tuple[str, ...]


class Related(Struct, frozen=True):
    """Another incident that has to do with this one, and how."""

    incident: IncidentId
    type: IncidentType
    key: dict[str, str]
    state: IncidentState
    how: tuple[str, ...]


class NoticeView(Struct, frozen=True):
    """A notice to people: waiting, sent or failed."""

    channel: str
    title: str
    state: str
    made: datetime
    tries: int
    detail: str = ""


class WatchView(Struct, frozen=True):
    """A key on the watch list."""

    key: dict[str, str]
    since: datetime
    until: datetime
    who: str
    reason: str = ""
    incident: IncidentId | None = None


class RecordedEvents(Struct, frozen=True):
    """Recorded events as CloudEvents, in the order of their times; `left_out` counts those past the limit."""

    events: tuple[msgspec.Raw, ...]
    left_out: int = 0


class PinnedView(Struct, frozen=True):
    """How many recorded events are kept with an incident, and from which time; `left_out` were too many."""

    events: int
    since: datetime
    until: datetime
    left_out: int = 0


class EventView(Struct, frozen=True):
    """The event that completed a signal."""

    id: str
    source: str
    type: str
    time: datetime
    subject: str | None = None
    data: Json = None


class EvidenceView(Struct, frozen=True):
    """One signal behind an incident: what was seen, against which threshold, in which events."""

    signal: str
    key: dict[str, str]
    at: datetime
    detail: str
    value: float | None = None
    threshold: float | None = None
    event: EventView | None = None
    event_ids: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


class Station(Struct, frozen=True):
    """A moment on the way from event to verified; `after_ms` counts from the first station."""

    name: str
    at: datetime
    after_ms: float


class StepTransition(Struct, frozen=True):
    """One move of a step from state to state."""

    at: datetime
    state: IntentState
    reason: str = ""


class StepView(Struct, frozen=True):
    """One step of an incident: what was decided, what became of it, and why.

    `place` is the phase and the number of the step in it; `waits_for` says what a held one waits for, and until when.
    """

    intent: IntentId
    place: str
    phase: Phase
    action: str
    params: dict[str, Json]
    verdict: Verdict
    state: IntentState
    decided: datetime
    reason: str = ""
    would: str = ""
    outcome: str = ""
    target: str = ""
    lease: LeaseId | None = None
    approved_by: str = ""
    waits_for: str = ""
    waits_until: datetime | None = None
    tries: int = 0
    stations: tuple[Station, ...] = ()
    transitions: tuple[StepTransition, ...] = ()


class IncidentDetail(Struct, frozen=True):
    """An incident with its evidence and steps: why it fired, why each step was taken or not."""

    incident: IncidentRow
    playbook: str | None
    tags: tuple[str, ...]
    evidence: tuple[EvidenceView, ...]
    steps: tuple[StepView, ...]
    leases: "tuple[LeaseRow, ...]" = ()
    deadlines: tuple[DeadlineView, ...] = ()
    scope: tuple[Touched, ...] = ()
    related: tuple[Related, ...] = ()
    story: tuple[StoryLine, ...] = ()
    notices: tuple[NoticeView, ...] = ()
    pinned: PinnedView | None = None


class LeaseRow(Struct, frozen=True):
    """What is, or was, contained."""

    id: LeaseId
    action: str
    target_kind: str
    target: str
    state: LeaseState
    acquired: datetime
    expires: datetime
    holders: tuple[IncidentId, ...]
    drifts: int = 0
    detail: str = ""
    adopted: bool = False


class DeadLetterRow(Struct, frozen=True):
    """A message that could not be taken for an event."""

    number: int
    at: datetime
    source: str
    topic: str
    reason: str
    payload_bytes: int


class DeadLetterDetail(Struct, frozen=True):
    """A dead letter with the head of its payload: as text where it is UTF-8, else as hexadecimal digits."""

    row: DeadLetterRow
    payload: str
    encoding: str
    cut: bool


class AuditReport(Struct, frozen=True):
    """Whether the audit chain holds; where not, `problem` names the first record that is altered, missing or moved.

    `signed_from` is the first record that is signed with a key (0: none); `key`: whether signatures were checked.
    `checked_from` is the first record that was looked at: those before are in an archive that was not at hand.
    """

    ok: bool
    records: int
    head: str
    problem: str = ""
    signed_from: int = 0
    key: bool = False
    checked_from: int = 1
