"""Checked rules: what the loader makes of rule files, and all that `detect`, `correlate` and `decide` know of them.

Every name is resolved, every expression checked, every duration in microseconds. A `RuleSet` is immutable; reload
builds a new one and swaps.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from engine.cel.contract import Expression
from engine.cel.template import Template as Template  # noqa: PLC0414  # part of this module's words
from engine.detectors.contract import Detector
from engine.detectors.sample import Sample
from engine.model import (
    IncidentType,
    Json,
    Mode,
    OnFailure,
    PlaybookId,
    RuleId,
    Severity,
    SignalId,
    Struct,
)


class EventTypes(Struct, frozen=True):
    """The event types a signal listens to: exact names, and prefixes written `training.*` (kept as `training.`)."""

    exact: frozenset[str]
    prefixes: tuple[str, ...] = ()

    def match(self, event_type: str) -> bool:
        """Whether an event of that type is heard."""
        return event_type in self.exact or event_type.startswith(self.prefixes)


class Detect(Struct, frozen=True):
    """A detection method with its parameters; `create` makes the state of one key."""

    method: str
    detector: type[Detector[Any]]
    params: msgspec.Struct
    of: Expression | None = None
    sample: Sample | None = None
    """What the file that a parameter names holds."""

    def create(self) -> Detector[Any]:
        """A fresh detector for one key."""
        return self.detector(self.params) if self.sample is None else self.detector(self.params, self.sample)


class SignalRule(Struct, frozen=True):
    """One `[signal.ID]` table. `digest` changes when its meaning does: state of the same digest survives a reload."""

    id: SignalId
    on: EventTypes
    by: tuple[tuple[str, Expression], ...] = ()
    where: Expression | None = None
    value: Expression | None = None
    detect: Detect | None = None
    watched: Detect | None = None
    """`detect` with the parameters that hold besides for keys on the watch list."""
    for_us: int = 0
    cooldown_us: int = 0
    description: str = ""
    digest: str = ""


class All(Struct, frozen=True, tag="all"):
    """Every one of the signals, in any order."""

    signals: tuple[SignalId, ...]


class AnyOf(Struct, frozen=True, tag="any"):
    """At least `at_least` distinct ones of the signals."""

    signals: tuple[SignalId, ...]
    at_least: int = 1


class Sequence(Struct, frozen=True, tag="sequence"):
    """The signals in this order."""

    signals: tuple[SignalId, ...]


class When(Struct, frozen=True):
    """The join of a rule: which signals, how close together, which must be missing, from how many sources."""

    of: All | AnyOf | Sequence
    within_us: int | None = None
    none: tuple[SignalId, ...] = ()
    wait_us: int = 0
    corroborate: int = 1


StepParam = Json | Template | list["StepParam"] | dict[str, "StepParam"]


class Step(Struct, frozen=True):
    """One action with its parameters, as a playbook has it."""

    action: str
    params: Mapping[str, Any]
    """Parameter name to StepParam: JSON in which any string may be a Template."""
    on_failure: OnFailure = OnFailure.STOP
    hold_us: int | None = None
    timeout_us: int = 30_000_000
    retries: int = 2
    approve: bool = False
    when: Expression | None = None


class Playbook(Struct, frozen=True):
    """The ordered steps for an incident."""

    id: PlaybookId
    contain: tuple[Step, ...] = ()
    investigate: tuple[Step, ...] = ()
    recover: tuple[Step, ...] = ()


class Rule(Struct, frozen=True):
    """One `[rule.ID]` table: signals to an incident type. `place` is `path:line` for people."""

    id: RuleId
    incident: IncidentType
    severity: Severity
    when: When
    by: tuple[str, ...] = ()
    playbook: PlaybookId | None = None
    mode: Mode = Mode.ENFORCE
    tags: tuple[str, ...] = ()
    title: str = ""
    description: str = ""
    references: tuple[str, ...] = ()
    owner: str = ""
    false_positives: tuple[str, ...] = ()
    place: str = ""
    digest: str = ""


class RuleSet(Struct, frozen=True):
    """All rules of all files, checked; `files` are the paths read, `digest` names this exact set."""

    signals: Mapping[SignalId, SignalRule]
    rules: Mapping[RuleId, Rule]
    playbooks: Mapping[PlaybookId, Playbook]
    incidents: Mapping[IncidentType, str]
    """Known incident types (the taxonomy and `[incident.ID]` tables) with a description."""
    lists: Mapping[str, tuple[Json, ...]]
    values: Mapping[str, Json] = {}
    files: tuple[str, ...] = ()
    digest: str = ""
