"""What an operator says to what becomes of held intents and incidents: approve, deny, pause, acknowledge, close, ….

Functions inside one transaction each, with an audit record of who said it. The service calls them and wakes what they
set free.
"""

from collections.abc import Mapping

import msgspec

from engine.contain import lifecycle
from engine.contain.chronicle import settle_incident
from engine.model import (
    Incident,
    IncidentId,
    IncidentState,
    Intent,
    IntentId,
    IntentState,
    Json,
    Phase,
    Resolution,
    Struct,
    format_key,
)
from engine.store import audit, deadlines, happenings, incidents, intents, state, watches
from engine.store.connection import Connection
from engine.store.happenings import What
from engine.store.intents import Hold, IntentRecord, Move
from engine.store.state import Paused
from engine.store.watches import Watched

_BY_POLICY = {Hold.BUDGET, Hold.SERVING}
_NOT_BY_APPROVAL = {
    Hold.PROTECTED: "its target is protected by guards.protected, which no approval overrides",
    Hold.PAUSE: "acting is paused; `halon resume` goes on",
    Hold.CONTAINMENT: "its incident is not contained; if it may go on: `halon incidents advance INCIDENT recovering`",
    Hold.INVESTIGATION: "its incident is not investigated; if it is: `halon incidents advance INCIDENT recovering`",
}


class NotPossible(Exception):  # noqa: N818  # says what is so, not that something broke
    """What the operator asked for cannot be done; the message says why."""


def approve(connection: Connection, intent: IntentId, *, who: str, digest: str | None, at_us: int) -> Intent:
    """Set a held intent free. With `digest`, only if it is exactly the intent that the operator was shown."""
    record = _held(connection, intent)
    assert record.hold is not None
    if record.hold in _NOT_BY_APPROVAL:
        raise NotPossible(f"{intent} cannot be approved: {_NOT_BY_APPROVAL[record.hold]}")
    if digest is not None and digest != intents.digest(record.intent):
        raise NotPossible(f"{intent} is not the intent that was shown; look at it again")
    change = Move(
        to=IntentState.INTENDED,
        at_us=at_us,
        reason=f"approved by {who}; it waited for {record.hold.value}: {record.reason}",
        approved_by=who,
        override=True if record.hold in _BY_POLICY else None,
    )
    intents.move(connection, intent, expected=(IntentState.HELD,), change=change)
    return record.intent


def deny(connection: Connection, intent: IntentId, *, who: str, reason: str, at_us: int) -> tuple[Intent, Move]:
    """Refuse a held intent for good."""
    record = _held(connection, intent)
    change = Move(to=IntentState.REFUSED, at_us=at_us, reason=reason or f"denied by {who}")
    intents.move(connection, intent, expected=(IntentState.HELD,), change=change)
    audit.append(connection, "steering.deny", at_us, {"intent": intent, "who": who, "reason": reason})
    return record.intent, change


def set_free(connection: Connection, record: IntentRecord, *, why: str, at_us: int) -> bool:
    """Let a held intent try again, if it still waits and its incident is not closed."""
    known = intents.get(connection, record.intent.id)
    if known is None or known.state is not IntentState.HELD or known.hold is not record.hold:
        return False
    if incidents.state_of(connection, record.intent.incident) is IncidentState.CLOSED:
        return False
    change = Move(to=IntentState.INTENDED, at_us=at_us, reason=why)
    intents.move(connection, record.intent.id, expected=(IntentState.HELD,), change=change)
    return True


def pause(connection: Connection, *, who: str, at_us: int) -> None:
    """Keep in the store that acting is paused."""
    state.put_fact(connection, "paused", msgspec.json.encode(Paused(who=who, at_us=at_us)))
    audit.append(connection, "steering.pause", at_us, {"who": who})


def resume(connection: Connection, *, who: str, at_us: int) -> None:
    """Keep in the store that acting goes on."""
    state.drop_fact(connection, "paused")
    audit.append(connection, "steering.resume", at_us, {"who": who})


def acknowledge(connection: Connection, incident: IncidentId, *, who: str, reason: str, at_us: int) -> IncidentState:
    """Somebody looks after an incident; the state in which it is then. Raises NotPossible."""
    state = _state(connection, incident)
    if state is IncidentState.CLOSED:
        raise NotPossible(f"{incident} is closed; `halon incidents reopen` opens it again")
    incidents.acknowledge(connection, incident, at_us=at_us, who=who, reason=reason)
    settle_incident(connection, incident, at_us)
    return _state(connection, incident)


def advance(
    connection: Connection, incident: IncidentId, to: IncidentState | None, *, who: str, reason: str, at_us: int
) -> tuple[IncidentState, IncidentState]:
    """A person moves an incident on, by default to where it goes next; from where and to where. Raises NotPossible."""
    state = _state(connection, incident)
    wanted = to or lifecycle.following(state)
    if wanted is None:
        wanted = IncidentState.CLOSED
    problem = lifecycle.objection(state, wanted, reason=reason)
    if problem is not None:
        raise NotPossible(f"{incident} is not moved to `{wanted.value}`: {problem}")
    incidents.move(connection, incident, wanted, at_us=at_us, who=who, reason=reason)
    return state, wanted


class Closing(Struct, frozen=True):
    """How a person, or Halon, closes an incident. `watched`: its key is on the watch list from then on."""

    who: str
    resolution: Resolution
    reason: str = ""
    duplicate_of: str = ""
    watched: Watched | None = None


def close(connection: Connection, incident: IncidentId, closing: Closing, *, at_us: int) -> bool:
    """Close an incident, if it is not closed already."""
    closed = incidents.move(
        connection,
        incident,
        IncidentState.CLOSED,
        at_us=at_us,
        who=closing.who,
        reason=closing.reason,
        resolution=closing.resolution.value,
        duplicate_of=closing.duplicate_of,
    )
    if closed and closing.watched is not None:
        watches.put(connection, closing.watched)
        told = f"{format_key(closing.watched.key)} is watched more closely"
        body: dict[str, Json] = {"until_us": closing.watched.until_us}
        happenings.put(connection, incident, What.WATCHED, at_us=at_us, who=closing.who, reason=told, body=body)
    return closed


def reopen(
    connection: Connection, again: Incident, *, who: str, reason: str, at_us: int, within_us: Mapping[Phase, int]
) -> None:
    """Open a closed incident again as the core has it, with its clock set anew."""
    incidents.put(connection, again, at_us=at_us)
    if incidents.move(connection, again.id, IncidentState.OPEN, at_us=at_us, who=who, reason=reason):
        for phase, length_us in within_us.items():
            deadlines.start(connection, again.id, phase, at_us=at_us, within_us=length_us)


def _state(connection: Connection, incident: IncidentId) -> IncidentState:
    known = incidents.state_of(connection, incident)
    if known is None:
        raise NotPossible(f"no incident {incident}")
    return known


def _held(connection: Connection, intent: IntentId) -> IntentRecord:
    record = intents.get(connection, intent)
    if record is None:
        raise NotPossible(f"no intent {intent}")
    if record.state is not IntentState.HELD:
        raise NotPossible(f"{intent} does not wait for anyone; it is {record.state.value}")
    return record
