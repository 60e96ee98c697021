"""What may keep a step from acting, at the moment of acting: pause, protected targets, budgets.

`standing` looks at what does not depend on other steps. `reserve` counts budgets inside the transaction that moves
the intent to `applying`, so that two steps can never both take the last place, whatever rule or phase they come
from; what is reserved is the intent's own row, which survives a restart.
"""

import sqlite3
from pathlib import Path

from engine.cel.contract import CelFault
from engine.clock import SECOND_US
from engine.config import BudgetConfig
from engine.contain.environment import Environment
from engine.model import Lease, Plan, Struct, Target
from engine.store import intents
from engine.store.intents import Hold

HOUR_US = 3_600 * SECOND_US
PAUSE_FILE = "PAUSE"
"""A file of this name in the state directory pauses all acting, when nothing else works."""


class Refusal(Struct, frozen=True):
    """That a guard said no: what the step now waits for, and a sentence."""

    hold: Hold
    reason: str


class Switch:
    """Whether acting is paused: by an operator's command (kept in the store) or by the pause file."""

    def __init__(self, state_dir: Path) -> None:
        self._file = state_dir / PAUSE_FILE
        self.paused_by = ""

    def refusal(self) -> Refusal | None:
        """Why nothing may be done now, or None. The file is looked at each time."""
        if self.paused_by:
            return Refusal(hold=Hold.PAUSE, reason=f"acting is paused by {self.paused_by}; `halon resume` goes on")
        if self._file.exists():
            return Refusal(hold=Hold.PAUSE, reason=f"acting is paused by the file {self._file}; remove it to go on")
        return None


def protected(environment: Environment, target: Target) -> Refusal | None:
    """Why this target is never acted on, or None."""
    try:
        if not environment.protected(target):
            return None
    except CelFault as fault:
        # Whether it is protected cannot be told, so it is.
        return Refusal(
            hold=Hold.PROTECTED, reason=f"guards.protected cannot be evaluated on {target.kind} {target.name}: {fault}"
        )
    return Refusal(hold=Hold.PROTECTED, reason=f"{target.kind} {target.name} is protected by guards.protected")


def reserve(
    connection: sqlite3.Connection, *, target: Target, share_after: float | None, budget: BudgetConfig, now_us: int
) -> Refusal | None:
    """Why the budget of this kind of target has no room for one more, or None: then the caller moves the intent on."""
    if budget.held_max:
        held = _held_elsewhere(connection, target)
        if held >= budget.held_max:
            return Refusal(
                hold=Hold.BUDGET,
                reason=f"{held} of kind {target.kind} are held already; guards.budget.{target.kind}.held_max is "
                f"{budget.held_max}",
            )
    if budget.per_hour_max:
        acted = intents.acted_since(connection, target.kind, now_us - HOUR_US)
        if acted >= budget.per_hour_max:
            return Refusal(
                hold=Hold.BUDGET,
                reason=f"{acted} of kind {target.kind} were acted on within the hour; "
                f"guards.budget.{target.kind}.per_hour_max is {budget.per_hour_max}",
            )
    if budget.serving_min:
        return _serving(target, share_after, budget)
    return None


def reserve_again(
    connection: sqlite3.Connection, *, lease: Lease, plan: Plan, budget: BudgetConfig, now_us: int
) -> Refusal | None:
    """The same for an effect that someone undid and that is to be put in place again; notes down that it is.

    The lease keeps its place among those held; the act counts within its hour, and the share left serving is what it
    would be now.
    """
    refusal = reserve(
        connection, target=lease.target, share_after=plan.serving_share_after, budget=budget, now_us=now_us
    )
    if refusal is None:
        connection.execute("DELETE FROM reapplied WHERE at_us <= ?", (now_us - HOUR_US,))
        connection.execute(
            "INSERT INTO reapplied (at_us, lease, target_kind) VALUES (?, ?, ?)", (now_us, lease.id, lease.target.kind)
        )
    return refusal


def needs_pool(plan: Plan, budget: BudgetConfig) -> str | None:
    """The pool whose steps must not overlap, since each one's `check` must see what the last one did; or None."""
    if not budget.serving_min:
        return None
    return plan.target.labels.get("pool", "")


def _serving(target: Target, share_after: float | None, budget: BudgetConfig) -> Refusal | None:
    limit = f"guards.budget.{target.kind}.serving_min is {budget.serving_min:g}"
    if share_after is None:
        return Refusal(hold=Hold.SERVING, reason=f"the action cannot tell what share would be left serving; {limit}")
    if share_after < budget.serving_min:
        return Refusal(hold=Hold.SERVING, reason=f"a share of {share_after:g} would be left serving; {limit}")
    return None


def _held_elsewhere(connection: sqlite3.Connection, target: Target) -> int:
    """Other targets of the kind that are leased, in doubt, or being acted on now."""
    row = connection.execute(
        "SELECT count(*) FROM ("
        "SELECT target_name FROM leases WHERE target_kind = :kind AND state <> 'released' "
        "UNION SELECT target_name FROM intents WHERE target_kind = :kind AND state IN ('applying', 'applied')"
        ") WHERE target_name <> :name",
        {"kind": target.kind, "name": target.name},
    ).fetchone()
    return int(row[0])
