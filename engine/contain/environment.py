"""What every part of `engine.contain` is handed: the store, the clock, the bounds, and whom to tell.

`engine.app` makes one and gives it to `Contain`.
"""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import msgspec

from engine.clock import SECOND_US, Clock
from engine.config import ContainConfig, GuardsConfig, IncidentsConfig, RecorderConfig
from engine.model import IncidentId, Intent, IntentId, LeaseId, Phase, Severity, Struct, Target
from engine.store.database import Store
from engine.store.intents import Move

BACKOFF_MAX_US = 30_000_000
"""A retry waits no longer than this."""


class Cause(StrEnum):
    """Why someone is told."""

    HELD = "held"
    REFUSED = "refused"
    FAILED = "failed"
    UNVERIFIED = "unverified"
    DRIFT = "drift"
    LEASE = "lease"
    DEADLINE = "deadline"
    NOTICE = "notice"


class Escalation(Struct, frozen=True):
    """Something that a person should know of: a step that did not contain, a lease in doubt, a deadline missed."""

    cause: Cause
    reason: str
    at_us: int
    incident: IncidentId | None = None
    severity: Severity | None = None
    intent: IntentId | None = None
    lease: LeaseId | None = None


Notify = Callable[[Escalation], None]
"""Is told of escalations after they are durable; must return at once."""

Moved = Callable[[Intent, Move], None]
"""Is told of each move of an intent after it is durable; must return at once."""

Protected = Callable[[Target], bool]
"""Whether a target may never be acted on; raises CelFault where that cannot be told, which counts as yes."""


class Environment(msgspec.Struct):
    """The surroundings of containment; `jitter` gives a number from 0 to 1.

    One for all parts, and the one place where a reload changes their bounds: what is of the config, and
    `protected`, are read at the moment of acting, never kept.
    """

    store: Store
    clock: Clock
    contain: ContainConfig
    guards: GuardsConfig
    incidents: IncidentsConfig
    recorder: RecorderConfig
    notify: Notify
    moved: Moved
    protected: Protected
    state_dir: Path
    jitter: Callable[[], float]

    def backoff_s(self, tries: int) -> float:
        """How long to wait after the given number of tries (from 1): doubling, capped, with jitter of a half."""
        wait_us: int = min(self.contain.retry_backoff * 2 ** min(tries - 1, 20), BACKOFF_MAX_US)
        return wait_us * (0.5 + self.jitter()) / SECOND_US

    def approval_us(self, phase: Phase) -> int:
        """How long a step of a phase waits for a person: what comes later has the time of its phase's deadline."""
        longest = {
            Phase.CONTAIN: 0,
            Phase.INVESTIGATE: self.incidents.investigate_within,
            Phase.RECOVER: self.incidents.recover_within,
        }
        return max(int(self.guards.approval_timeout), int(longest[phase]))
