"""What an operator says to what becomes of held intents and incidents: approve, deny, pause, resume, close.

Functions inside one transaction each, with an audit record of who said it. The service calls them and wakes what they
set free.
"""

import msgspec

from engine.model import IncidentId, IncidentState, Intent, IntentId, IntentState
from engine.store import audit, incidents, intents, leases, state
from engine.store.connection import Connection
from engine.store.intents import Hold, IntentRecord, Move
from engine.store.state import Paused

_BY_POLICY = {Hold.BUDGET, Hold.SERVING}
_NOT_BY_APPROVAL = {
    Hold.PROTECTED: "its target is protected by guards.protected, which no approval overrides",
    Hold.PAUSE: "acting is paused; `halon resume` goes on",
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


def close(connection: Connection, incident: IncidentId, *, who: str, resolution: str, at_us: int) -> list[str]:
    """Close an incident; the leases that it held, which are now to be let go of."""
    known = incidents.state_of(connection, incident)
    if known is None:
        raise NotPossible(f"no incident {incident}")
    if known is IncidentState.CLOSED:
        raise NotPossible(f"{incident} is closed already")
    incidents.move(connection, incident, IncidentState.CLOSED, at_us=at_us, who=who, resolution=resolution)
    return [lease.id for lease in leases.held_by(connection, incident)]


def _held(connection: Connection, intent: IntentId) -> IntentRecord:
    record = intents.get(connection, intent)
    if record is None:
        raise NotPossible(f"no intent {intent}")
    if record.state is not IntentState.HELD:
        raise NotPossible(f"{intent} does not wait for anyone; it is {record.state.value}")
    return record
