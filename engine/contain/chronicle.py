"""Moves of intents to commits, log lines and escalations: the only way that `engine.contain` changes an intent.

A move is committed before this returns; what it says is logged and escalated afterwards, never before.
"""

import sqlite3
from collections.abc import Callable, Sequence

import structlog

from engine.contain.environment import Cause, Environment, Escalation
from engine.model import IncidentId, IncidentState, Intent, IntentState, Phase
from engine.store import incidents, intents
from engine.store.connection import Connection
from engine.store.intents import IntentRecord, Move

_log = structlog.get_logger(__name__)

_CAUSES = {
    IntentState.HELD: Cause.HELD,
    IntentState.REFUSED: Cause.REFUSED,
    IntentState.FAILED: Cause.FAILED,
    IntentState.UNVERIFIED: Cause.UNVERIFIED,
}


class Chronicle:
    """Writes down what becomes of intents and incidents."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    async def move(
        self,
        intent: Intent,
        expected: Sequence[IntentState],
        change: Move,
        also: Callable[[Connection], None] | None = None,
    ) -> None:
        """Commit one move, with `also` in the same transaction; then log it and tell whoever should know."""

        def commit(connection: Connection) -> None:
            intents.move(connection, intent.id, expected=expected, change=change)
            if also is not None:
                also(connection)
            settle_incident(connection, intent.incident, change.at_us)

        await self._environment.store.write(commit)
        self.tell(intent, change)

    def tell(self, intent: Intent, change: Move) -> None:
        """Log a move that is committed, and escalate it if it keeps an incident from being contained."""
        _log.info(
            f"intent {change.to.value}",
            intent=intent.id,
            incident=intent.incident,
            rule=intent.rule,
            phase=intent.phase.value,
            action=intent.action,
            reason=change.reason,
            lease=change.lease,
        )
        self._environment.moved(intent, change)
        cause = _CAUSES.get(change.to)
        if cause is not None:
            self._environment.notify(
                Escalation(
                    cause=cause,
                    reason=f"{intent.action}: {change.reason}",
                    at_us=change.at_us,
                    incident=intent.incident,
                    severity=intent.severity,
                    intent=intent.id,
                )
            )

    def escalate(self, escalation: Escalation) -> None:
        """Log and tell something that is not one intent's move."""
        _log.warning(
            "escalated",
            cause=escalation.cause.value,
            reason=escalation.reason,
            incident=escalation.incident,
            intent=escalation.intent,
            lease=escalation.lease,
        )
        self._environment.notify(escalation)


def settle_incident(connection: sqlite3.Connection, incident: IncidentId, at_us: int) -> None:
    """Call an incident contained once every contain step of it was read back from its target, and not before."""
    if incidents.state_of(connection, incident) is not IncidentState.OPEN:
        return
    if _is_contained(intents.of_incident(connection, incident, Phase.CONTAIN)):
        incidents.move(
            connection, incident, IncidentState.CONTAINED, at_us=at_us, who="halon", reason="every step was verified"
        )


def lose_containment(connection: sqlite3.Connection, incident: IncidentId, at_us: int, reason: str) -> None:
    """Open a contained incident again, because what contained it is no longer in force."""
    if incidents.state_of(connection, incident) is IncidentState.CONTAINED:
        incidents.move(connection, incident, IncidentState.OPEN, at_us=at_us, who="halon", reason=reason)


def _is_contained(steps: Sequence[IntentRecord]) -> bool:
    # A step that its own `when` left out was never asked for; one given up after a failure stands beside that failure.
    left = [step for step in steps if step.state is not IntentState.SKIPPED]
    return bool(left) and all(step.state is IntentState.VERIFIED for step in left)
