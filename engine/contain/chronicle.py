"""Moves of intents to commits, log lines and escalations: the only way that `engine.contain` changes an intent.

A move is committed before this returns; what it says is logged and escalated afterwards, never before.
"""

import sqlite3
from collections.abc import Callable, Sequence

import structlog

from engine.contain import lifecycle
from engine.contain.environment import Cause, Environment, Escalation
from engine.model import IncidentId, IncidentState, Intent, IntentState, Phase
from engine.store import deadlines, incidents, intents
from engine.store.connection import Connection
from engine.store.intents import Move

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
    """Move an incident on to where what became of its steps has brought it, one transition after the other."""
    for _ in IncidentState:
        stage = incidents.stage_of(connection, incident)
        if stage is None:
            return
        change = lifecycle.next_transition(stage, intents.progress(connection, incident))
        if change is None:
            return
        incidents.move(connection, incident, change.to, at_us=at_us, who="halon", reason=change.reason)


def lose_containment(
    connection: sqlite3.Connection, incident: IncidentId, at_us: int, reason: str, *, contain_within_us: int
) -> None:
    """Open an incident again, because what contained it is no longer in force; its clock to contain runs anew.

    One that recovers stays there: its containment is lifted on the way, and what is not meant is escalated.
    """
    if incidents.state_of(connection, incident) not in {IncidentState.CONTAINED, IncidentState.INVESTIGATING}:
        return
    incidents.move(connection, incident, IncidentState.OPEN, at_us=at_us, who="halon", reason=reason)
    deadlines.start(connection, incident, Phase.CONTAIN, at_us=at_us, within_us=contain_within_us)
