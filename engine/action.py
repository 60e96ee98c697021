"""The action contract: what every file of `actions/` implements, and all that it may import besides the model.

An action is one small class with frozen typed parameters and four methods over one target. The engine of acting
(`engine.contain`) calls them in this order, and records each step durably in between:

    check ──► guards ──► [applying + plan recorded] ──► apply ──► [applied recorded] ──► verify ──► [verified, lease]
                                                                        undo ◄── release, expiry, on_failure="undo"

After a crash the recorded plan is handed to `verify` first and to `apply` only if the effect is not in force.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

import msgspec

from engine.model import (
    AlreadyInPlace,
    Applied,
    Failed,
    IncidentId,
    IntentId,
    Plan,
    Receipt,
    Refused,
    Struct,
    Undoing,
    Verification,
)

ParamsT = TypeVar("ParamsT", bound=msgspec.Struct)


class Params(Struct, frozen=True):
    """Base of an action's parameters. Field names are the keys of a step; types and `Meta` constraints are checked."""


class Settings(Struct, frozen=True):
    """Base of an action's settings: its table `[actions."NAME"]` in config.toml."""


class ActionContext(Struct, frozen=True):
    """What an action is told about the step it carries out.

    `intent` is the idempotency key. `state_dir` is the daemon's own directory; evidence goes below it.
    `now_us` is the wall clock. `secret` gives a secret by name and raises KeyError where there is none.
    """

    intent: IntentId
    incident: IncidentId
    state_dir: Path
    now_us: Callable[[], int]
    secret: Callable[[str], str]


class Action(ABC, Generic[ParamsT]):
    """One kind of containment, forensic or recovery step. Instances are stateless and shared between steps.

    Methods never raise for what the target does: an operating failure is a returned `Failed`, `Refused` or
    `Unknown` whose text says what to do. They may be cancelled at any await.
    """

    name: ClassVar[str]
    """`subject.verb`, as in rule files."""
    params: ClassVar[type[msgspec.Struct]]
    """The struct of its parameters."""
    settings: ClassVar[type[Settings]] = Settings
    """The struct of its table in config.toml."""
    target_kind: ClassVar[str]
    """`endpoint`, `training`, `credential`, `model`, `client`, `evidence` or `any`: what budgets are counted by."""
    reversible: ClassVar[bool]
    """Whether `undo` restores the prior state; a reversible step is leased."""
    privileges: ClassVar[str]
    """What the daemon must be allowed to do, in a sentence for operators."""
    raises: ClassVar[tuple[str, ...]] = ()
    """Event types (or prefixes, `ops.*`) that its own effect makes senders publish: for the search for loops."""
    opposes: ClassVar[tuple[str, ...]] = ()
    """Names of actions that take its effect back, or that it takes back: for the search for contradictions."""
    example: ClassVar[str]
    """A step as it stands in a playbook: one TOML inline table."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def probe(self, context: ActionContext) -> str:
        """Why its targets could not be acted on now, as far as that shows without any of them; else empty.

        `halon check --live` asks; changes nothing. An action that can't tell leaves this as it is.
        """
        del context
        return ""

    @abstractmethod
    async def check(self, params: ParamsT, context: ActionContext) -> Plan | Refused | Failed:
        """Resolve the target and say what would happen; changes nothing. The dry run, and the first half of acting."""

    @abstractmethod
    async def apply(
        self, params: ParamsT, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        """Act, idempotently. `plan` is what `check` returned, possibly before a crash; its receipt is durable."""

    @abstractmethod
    async def verify(self, params: ParamsT, receipt: Receipt, context: ActionContext) -> Verification:
        """Read the target back; `receipt` is the plan's until `apply` has returned its own."""

    async def undo(self, params: ParamsT, receipt: Receipt, context: ActionContext) -> Undoing:
        """Restore the prior state from the receipt, unless someone else changed the target since."""
        raise NotImplementedError(f"{self.name} is irreversible")  # reached only by a programmer's error


class Catalogue(Struct, frozen=True):
    """The table of actions by name; `app` builds it, everyone else is handed it."""

    actions: Mapping[str, type[Action]]  # type: ignore[type-arg]  # the parameters' type differs per entry

    def get(self, name: str) -> "type[Action] | None":  # type: ignore[type-arg]
        """The class of that name, or None."""
        return self.actions.get(name)
