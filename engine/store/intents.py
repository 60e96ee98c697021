"""Intents and how far each has come: every move of the state machine is one row changed, one transition, one record.

`put` is called with the batch that decided an intent; `move` by `engine.contain` before and after every effect.
"""

import hashlib
import sqlite3
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import msgspec

from engine.model import (
    IncidentId,
    Intent,
    IntentId,
    IntentState,
    Json,
    LeaseId,
    OnFailure,
    Outcome,
    Phase,
    Plan,
    Receipt,
    Struct,
)
from engine.store import audit
from engine.store.rows import canonical, decode, decode_any, encode


class Hold(StrEnum):
    """What an intent waits for: a person, acting to be resumed, room in a budget, a pool to serve again, …"""

    APPROVAL = "approval"
    PAUSE = "pause"
    BUDGET = "budget"
    SERVING = "serving"
    PROTECTED = "protected"
    DECISION = "decision"
    CONTAINMENT = "containment"
    INVESTIGATION = "investigation"
    LEASE = "lease"


class Stations(Struct, frozen=True):
    """When an intent passed each station; their differences are the latencies that operators see."""

    event_us: int
    received_us: int
    matched_us: int
    durable_us: int | None = None
    applying_us: int | None = None
    applied_us: int | None = None
    verified_us: int | None = None


class IntentRecord(Struct, frozen=True):
    """An intent with all that became of it so far."""

    intent: Intent
    state: IntentState
    stations: Stations
    updated_us: int
    reason: str = ""
    hold: Hold | None = None
    hold_until_us: int | None = None
    approved_by: str = ""
    override: bool = False
    plan: Plan | None = None
    receipt: Receipt | None = None
    outcome: Outcome | None = None
    lease: LeaseId | None = None
    tries: int = 0


class Progress(Struct, frozen=True):
    """How far one step has come; `in_force`: it holds nothing, or what it holds was in force when last read back."""

    phase: Phase
    step: int
    action: str
    state: IntentState
    on_failure: OnFailure
    in_force: bool = True


class Transition(Struct, frozen=True):
    """One move of an intent."""

    at_us: int
    state: IntentState
    reason: str


class Move(Struct, frozen=True):
    """What a move changes besides the state; None leaves a column as it is."""

    to: IntentState
    at_us: int
    reason: str = ""
    hold: Hold | None = None
    hold_until_us: int | None = None
    approved_by: str | None = None
    override: bool | None = None
    plan: Plan | None = None
    receipt: Receipt | None = None
    outcome: Outcome | None = None
    lease: LeaseId | None = None
    durable_us: int | None = None
    tried: bool = False


_COLUMNS = (
    "body, state, reason, hold, hold_until_us, approved_by, override, plan, receipt, outcome, lease, tries, event_us, "
    "received_us, matched_us, durable_us, applying_us, applied_us, verified_us, updated_us"
)
_UNSETTLED = ("intended", "applying", "applied", "held")


def acted_since(connection: sqlite3.Connection, kind: str, since_us: int) -> int:
    """How often a kind of target was acted on since then: by steps, and by putting back what someone undid."""
    row = connection.execute(
        "SELECT (SELECT count(*) FROM intents WHERE target_kind = :kind AND applying_us > :since) "
        "+ (SELECT count(*) FROM reapplied WHERE target_kind = :kind AND at_us > :since)",
        {"kind": kind, "since": since_us},
    ).fetchone()
    return int(row[0])


def digest(intent: Intent) -> str:
    """What an approval is bound to: this intent and no other, parameters included."""
    return hashlib.sha256(canonical(intent).encode("utf-8")).hexdigest()


def put(
    connection: sqlite3.Connection,
    intent: Intent,
    *,
    received_us: int,
    matched_us: int,
    state: IntentState = IntentState.INTENDED,
) -> bool:
    """Write a decided intent (`intended`, or `skipped` by its own `when`) with an audit record.

    False where it is known already, which changes nothing.
    """
    cursor = connection.execute(
        "INSERT INTO intents (id, incident, phase, step, action, state, reason, body, event_us, received_us, "
        "matched_us, updated_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
        (
            intent.id,
            intent.incident,
            intent.phase.value,
            intent.step,
            intent.action,
            state.value,
            intent.reason,
            encode(intent),
            intent.trigger_us or intent.at_us,
            received_us,
            matched_us,
            matched_us,
        ),
    )
    if not cursor.rowcount:
        return False
    _record(connection, intent.id, matched_us, state, intent.reason)
    body: dict[str, Json] = {
        "intent": intent.id,
        "incident": intent.incident,
        "phase": intent.phase.value,
        "step": intent.step,
        "action": intent.action,
        "params": intent.params,
        "verdict": intent.verdict.value,
        "reason": intent.reason,
    }
    audit.append(connection, f"intent.{state.value}", matched_us, body)
    return True


def move(connection: sqlite3.Connection, intent: IntentId, *, expected: Sequence[IntentState], change: Move) -> None:
    """One step of the state machine, with its transition and audit record.

    The present state must be one of `expected`: anything else is a programmer's error.
    """
    row = connection.execute("SELECT state FROM intents WHERE id = ?", (intent,)).fetchone()
    assert row is not None, f"{intent} is not in the store"
    assert row[0] in expected, f"{intent} is {row[0]}, not {[state.value for state in expected]}"
    to = change.to
    connection.execute(
        "UPDATE intents SET state = ?, reason = ?, hold = ?, hold_until_us = ?, "
        "approved_by = coalesce(?, approved_by), override = coalesce(?, override), "
        "plan = coalesce(?, plan), receipt = coalesce(?, receipt), "
        "outcome = coalesce(?, outcome), lease = coalesce(?, lease), tries = tries + ?, "
        "target_kind = coalesce(?, target_kind), target_name = coalesce(?, target_name), "
        "durable_us = coalesce(durable_us, ?), applying_us = coalesce(applying_us, ?), "
        "applied_us = coalesce(applied_us, ?), verified_us = coalesce(verified_us, ?), updated_us = ? WHERE id = ?",
        (
            to.value,
            change.reason,
            change.hold.value if change.hold is not None else None,
            change.hold_until_us,
            change.approved_by,
            int(change.override) if change.override is not None else None,
            _json(change.plan),
            _json(change.receipt),
            _json(change.outcome),
            change.lease,
            int(change.tried),
            change.plan.target.kind if change.plan is not None else None,
            change.plan.target.name if change.plan is not None else None,
            change.durable_us,
            change.at_us if to is IntentState.APPLYING else None,
            change.at_us if to is IntentState.APPLIED else None,
            change.at_us if to is IntentState.VERIFIED else None,
            change.at_us,
            intent,
        ),
    )
    _record(connection, intent, change.at_us, to, change.reason)
    body: dict[str, Json] = {"intent": intent, "from": row[0], "reason": change.reason}
    if change.hold is not None:
        body["hold"] = change.hold.value
    if change.approved_by:
        body["approved_by"] = change.approved_by
    if change.plan is not None:
        body["target"] = {"kind": change.plan.target.kind, "name": change.plan.target.name}
        body["would"] = change.plan.would
    if change.outcome is not None:
        body["outcome"] = msgspec.to_builtins(change.outcome)
    if change.lease is not None:
        body["lease"] = change.lease
    audit.append(connection, f"intent.{to.value}", change.at_us, body)


def get(connection: sqlite3.Connection, intent: IntentId) -> IntentRecord | None:
    """One intent, or None."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM intents WHERE id = ?", (intent,)).fetchone()
    return None if row is None else _intent(row)


def steps_of(connection: sqlite3.Connection, incident: IncidentId) -> tuple[int, int, int]:
    """How many places for steps each phase of an incident has used."""
    used = dict(
        connection.execute("SELECT phase, max(step) + 1 FROM intents WHERE incident = ? GROUP BY phase", (incident,))
    )
    first, second, third = (int(used.get(phase.value, 0)) for phase in Phase)
    return first, second, third


def of_incident(connection: sqlite3.Connection, incident: IncidentId, phase: Phase | None = None) -> list[IntentRecord]:
    """The intents of an incident in the order of phase and step."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM intents WHERE incident = ? ORDER BY step", (incident,))
    found = [_intent(row) for row in rows]
    order = list(Phase)
    return sorted(
        (each for each in found if phase is None or each.intent.phase is phase),
        key=lambda each: (order.index(each.intent.phase), each.intent.step),
    )


def progress(connection: sqlite3.Connection, incident: IncidentId) -> list[Progress]:
    """How far each step of an incident has come, in the order of phase and step: what its state follows from."""
    rows = connection.execute(
        "SELECT phase, step, intents.action, intents.state, json_extract(body, '$.on_failure'), lease IS NULL "
        "OR coalesce((SELECT leases.state = 'in-force' AND NOT lost FROM leases WHERE leases.id = lease), 0) "
        "FROM intents WHERE incident = ?",
        (incident,),
    )
    found = [
        Progress(Phase(phase), step, action, IntentState(state), OnFailure(on_failure), bool(in_force))
        for phase, step, action, state, on_failure, in_force in rows
    ]
    order = list(Phase)
    return sorted(found, key=lambda each: (order.index(each.phase), each.step))


def unsettled(connection: sqlite3.Connection) -> list[IntentRecord]:
    """Every intent for which something is still to be done, in the order they were decided."""
    return in_state(connection, *(IntentState(state) for state in _UNSETTLED))


def in_state(connection: sqlite3.Connection, *states: IntentState) -> list[IntentRecord]:
    """Every intent in one of these states, in the order they were decided."""
    # The partial index serves only states named in the statement itself; they are an enum's, not an operator's.
    names = ", ".join(f"'{state.value}'" for state in states)
    rows = connection.execute(f"SELECT {_COLUMNS} FROM intents WHERE state IN ({names}) ORDER BY matched_us, id")
    return [_intent(row) for row in rows]


def held(connection: sqlite3.Connection, *holds: Hold) -> list[IntentRecord]:
    """Every intent that waits for one of these, in the order they were decided."""
    return [record for record in in_state(connection, IntentState.HELD) if record.hold in holds]


def overdue(connection: sqlite3.Connection, now_us: int) -> list[IntentRecord]:
    """Every intent that has waited for as long as it may."""
    waiting = in_state(connection, IntentState.HELD)
    return [record for record in waiting if record.hold_until_us is not None and record.hold_until_us <= now_us]


def transitions(connection: sqlite3.Connection, intent: IntentId) -> list[Transition]:
    """How an intent came to where it is, in order."""
    rows = connection.execute("SELECT at_us, state, reason FROM transitions WHERE intent = ? ORDER BY seq", (intent,))
    return [Transition(at_us=at_us, state=IntentState(state), reason=reason) for at_us, state, reason in rows]


def _record(connection: sqlite3.Connection, intent: IntentId, at_us: int, state: IntentState, reason: str) -> None:
    connection.execute(
        "INSERT INTO transitions (intent, at_us, state, reason) VALUES (?, ?, ?, ?)",
        (intent, at_us, state.value, reason),
    )


def _json(value: object) -> str | None:
    return None if value is None else encode(value)


def _intent(row: tuple[Any, ...]) -> IntentRecord:
    (
        body,
        state,
        reason,
        hold,
        until,
        approved_by,
        override,
        plan,
        receipt,
        outcome,
        lease,
        tries,
        *stations,
        updated_us,
    ) = row
    return IntentRecord(
        intent=decode(body, Intent),
        state=IntentState(state),
        stations=Stations(*stations),
        updated_us=updated_us,
        reason=reason,
        hold=Hold(hold) if hold is not None else None,
        hold_until_us=until,
        approved_by=approved_by,
        override=bool(override),
        plan=decode(plan, Plan) if plan is not None else None,
        receipt=decode_any(receipt, Receipt) if receipt is not None else None,
        outcome=decode_any(outcome, Outcome) if outcome is not None else None,
        lease=lease,
        tries=tries,
    )
