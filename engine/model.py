"""The words of Halon as frozen structs: event, signal, incident, intent, outcome, lease, target.

Every boundary between two parts passes these and nothing looser. Times are microseconds since the Unix epoch
(`*_us`), see `engine.clock`. Nothing here does anything but hold, compare and name.
"""

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NewType

import msgspec

if TYPE_CHECKING:
    Json = bool | int | float | str | list["Json"] | dict[str, "Json"] | None
    """A decoded JSON value."""
else:
    Json = Any  # msgspec knows no recursive alias; whatever its JSON decoder returns is of this type

EventId = NewType("EventId", str)
SignalId = NewType("SignalId", str)
RuleId = NewType("RuleId", str)
PlaybookId = NewType("PlaybookId", str)
IncidentType = NewType("IncidentType", str)
IncidentId = NewType("IncidentId", str)
IntentId = NewType("IntentId", str)
LeaseId = NewType("LeaseId", str)

Key = tuple[tuple[str, str], ...]
"""What a signal or incident is about: (name, value) pairs sorted by name; empty for the whole fleet."""


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every value that crosses a boundary: immutable, and strict when decoded."""


class Secret:
    """A value for its reader only: shows as `***` wherever it is printed, formatted or logged; `reveal` gives it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself: call this where it is handed to its reader, and nowhere else."""
        return self._value

    def __repr__(self) -> str:
        return "***"


def make_key(parts: Mapping[str, str]) -> Key:
    """`{"run": "run-7"}` to the canonical key."""
    return tuple(sorted(parts.items()))


def format_key(key: Key) -> str:
    """`run=run-7 model=m-1`, or `(all)` for the empty key: for people."""
    return " ".join(f"{name}={value}" for name, value in key) or "(all)"


class Severity(StrEnum):
    """How bad an incident is; `rank` orders them."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for low to 3 for critical."""
        return _RANKS[self]


_RANKS = {severity: rank for rank, severity in enumerate(Severity)}


class Mode(StrEnum):
    """Whether containment is executed or only recorded."""

    ENFORCE = "enforce"
    OBSERVE = "observe"


class Phase(StrEnum):
    """The part of a playbook that a step stands in."""

    CONTAIN = "contain"
    INVESTIGATE = "investigate"
    RECOVER = "recover"


class OnFailure(StrEnum):
    """What becomes of the rest of a phase when a step fails: stop it, go on, or undo what it applied."""

    STOP = "stop"
    CONTINUE = "continue"
    UNDO = "undo"


class Verdict(StrEnum):
    """What `decide` made of a step: act, only check, or wait (with a reason)."""

    ENFORCE = "enforce"
    OBSERVE = "observe"
    HOLD = "hold"


class IncidentState(StrEnum):
    """The life of an incident; `open` to `closed` in this order."""

    OPEN = "open"
    CONTAINED = "contained"
    INVESTIGATING = "investigating"
    RECOVERING = "recovering"
    CLOSED = "closed"


class Resolution(StrEnum):
    """How an incident ended."""

    RESOLVED = "resolved"
    FALSE_POSITIVE = "false-positive"
    DUPLICATE = "duplicate"
    ACCEPTED_RISK = "accepted-risk"


class IntentState(StrEnum):
    """How far the execution of one intent has come. Only `verified` counts as done."""

    INTENDED = "intended"
    APPLYING = "applying"
    APPLIED = "applied"
    VERIFIED = "verified"
    OBSERVED = "observed"
    HELD = "held"
    REFUSED = "refused"
    FAILED = "failed"
    UNVERIFIED = "unverified"
    SKIPPED = "skipped"
    UNDONE = "undone"

    @property
    def settled(self) -> bool:
        """Whether nothing more will be done for this intent by itself."""
        return self not in {IntentState.INTENDED, IntentState.APPLYING, IntentState.APPLIED, IntentState.HELD}


class LeaseState(StrEnum):
    """Where a lease stands: in force, asked to end, ended, or in doubt (an undo that did not succeed)."""

    IN_FORCE = "in-force"
    RELEASING = "releasing"
    RELEASED = "released"
    CONFLICT = "conflict"


class Event(Struct, frozen=True, gc=False):
    """A CloudEvents 1.0 message. `ext` holds extension attributes; `time_us` is the event's own time."""

    id: str
    source: str
    type: str
    time_us: int
    subject: str | None = None
    data: Json = None
    ext: dict[str, Json] = {}


class Finding(Struct, frozen=True, gc=False):
    """What a detector saw: the value, the threshold it crossed, a sentence, and the ids of the events behind it."""

    detail: str
    value: float | None = None
    threshold: float | None = None
    event_ids: tuple[str, ...] = ()


class Signal(Struct, frozen=True, gc=False):
    """One detector's finding about one key; `event` is the one that completed it (None when a timer did)."""

    signal: SignalId
    key: Key
    at_us: int
    finding: Finding
    event: Event | None = None
    sources: tuple[str, ...] = ()


class Fault(Struct, frozen=True, gc=False):
    """An expression or detector that could not be evaluated on an event: counted and shown, never a silent false."""

    owner: str
    field: str
    reason: str
    at_us: int
    event_id: str = ""


class Incident(Struct, frozen=True, gc=False):
    """Signals that a rule mapped to one incident type for one key.

    `signals` holds the evidence (bounded; `absorbed` counts all that came). At most one incident per (type, key) is
    not closed at any time. Reopened, it keeps its id and its evidence: `steps_from` says how many steps of each phase
    were decided before that, which count for nothing since.
    """

    id: IncidentId
    incident: IncidentType
    rule: RuleId
    severity: Severity
    key: Key
    state: IncidentState
    opened_us: int
    updated_us: int
    signals: tuple[Signal, ...] = ()
    absorbed: int = 0
    mode: Mode = Mode.ENFORCE
    playbook: PlaybookId | None = None
    tags: tuple[str, ...] = ()
    contained_us: int | None = None
    closed_us: int | None = None
    resolution: str = ""

    @property
    def since_us(self) -> int:
        """The time of the oldest evidence: what is older than this was seen to be well."""
        times = [signal.at_us if signal.event is None else signal.event.time_us for signal in self.signals]
        return min([self.opened_us, *times])

    @property
    def around_us(self) -> int:
        """When it opened, or was opened again: around this time events are looked for."""
        return self.updated_us if self.reopened else self.opened_us

    acked_by: str = ""
    duplicate_of: str = ""
    reopened: int = 0
    steps_from: tuple[int, int, int] = (0, 0, 0)


class Intent(Struct, frozen=True, gc=False):
    """A step that was decided and is durably recorded before anything is done; `id` is its idempotency key.

    `trigger_us` is the time of the event that completed the incident, from which latency is counted.
    `hold_us` is how long a reversible effect is leased; None asks for the configured default.
    """

    id: IntentId
    incident: IncidentId
    incident_type: IncidentType
    rule: RuleId
    key: Key
    severity: Severity
    phase: Phase
    step: int
    action: str
    params: dict[str, Json]
    verdict: Verdict
    at_us: int
    reason: str = ""
    on_failure: OnFailure = OnFailure.STOP
    hold_us: int | None = None
    timeout_us: int = 30_000_000
    retries: int = 2
    approve: bool = False
    trigger_us: int = 0


class Target(Struct, frozen=True):
    """What an action acts on: `kind` (endpoint, training, credential, …), a unique `name`, and labels for guards."""

    kind: str
    name: str
    labels: dict[str, str] = {}


Receipt = dict[str, Json]
"""What it takes to verify and undo an effect: plain JSON, references only, never a secret."""


class Plan(Struct, frozen=True):
    """What `check` found: the target, what would be done, the prior state to restore, and whether it is in place."""

    target: Target
    would: str
    receipt: Receipt = {}
    in_place: bool = False
    serving_share_after: float | None = None


class Applied(Struct, frozen=True, tag="applied"):
    """The action took effect; the receipt says what it takes to undo it."""

    receipt: Receipt
    detail: str = ""


class AlreadyInPlace(Struct, frozen=True, tag="already-in-place"):
    """The target was in the wanted state before; nothing was changed."""

    receipt: Receipt
    detail: str = ""


class Refused(Struct, frozen=True, tag="refused"):
    """A guard, or the target's own state, forbids the step; nothing was changed."""

    reason: str


class Failed(Struct, frozen=True, tag="failed"):
    """The step did not succeed. `retryable` only where it is proven that nothing happened."""

    error: str
    retryable: bool = False


class Unverified(Struct, frozen=True, tag="unverified"):
    """The step may have taken effect, but reading the target back did not show it."""

    reason: str


Outcome = Applied | AlreadyInPlace | Refused | Failed | Unverified
"""What one step did: a closed union."""


class InForce(Struct, frozen=True, tag="in-force"):
    """Read back from the target: the effect is there."""

    detail: str = ""


class NotInForce(Struct, frozen=True, tag="not-in-force"):
    """Read back from the target: the effect is not there."""

    detail: str = ""


class Unknown(Struct, frozen=True, tag="unknown"):
    """The target could not be read."""

    reason: str


Verification = InForce | NotInForce | Unknown


class Undone(Struct, frozen=True, tag="undone"):
    """The prior state is restored."""

    detail: str = ""


class Conflict(Struct, frozen=True, tag="conflict"):
    """Someone else changed the target since; it was left as it is."""

    reason: str


Undoing = Undone | Conflict | Failed


class Lease(Struct, frozen=True):
    """A reversible containment in force: its holders (incidents), receipt and expiry. One per (action, target).

    `adopted`: it was in place before Halon acted, so that letting go leaves it as it was found. `lost`: read back last,
    it was not in force, and was not put back.
    """

    id: LeaseId
    action: str
    target: Target
    params: dict[str, Json]
    receipt: Receipt
    intent: IntentId
    holders: tuple[IncidentId, ...]
    state: LeaseState
    acquired_us: int
    expires_us: int
    drifts: int = 0
    detail: str = ""
    adopted: bool = False
    lost: bool = False


def incident_id(incident: IncidentType, key: Key, trigger: str) -> IncidentId:
    """A short id that is the same live, replayed and after a crash: it hashes type, key and the completing trigger."""
    return IncidentId(f"inc-{_digest(incident, _key_text(key), trigger)[:12]}")


def intent_id(incident: IncidentId, phase: Phase, step: int, action: str) -> IntentId:
    """The idempotency key of a step: one per incident, phase and place in the playbook."""
    return IntentId(f"{incident.replace('inc-', 'int-', 1)}.{phase.value[0]}{step}.{_digest(action)[:4]}")


def lease_id(action: str, target: Target) -> LeaseId:
    """One lease per (action, target), however many incidents hold it."""
    return LeaseId(f"lease-{_digest(action, target.kind, target.name)[:12]}")


@lru_cache(maxsize=4_096)
def _key_text(key: Key) -> str:
    return repr(key)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
