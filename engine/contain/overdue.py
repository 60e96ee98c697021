"""Deadlines that have come to what is said of them: recorded, escalated with growing urgency, and sent as notices.

`engine.contain.housekeeping` hands in the timers that are due. All that is said is in one transaction with the timer of
what is said next, so that a restart says nothing twice and leaves nothing out.
"""

import functools
from collections.abc import Sequence

from engine.clock import format_duration
from engine.config import EscalationConfig
from engine.contain.chronicle import Chronicle
from engine.contain.environment import Cause, Environment, Escalation
from engine.model import Incident, IncidentId, Json, Mode, Phase, Struct, format_key
from engine.store import audit, deadlines, happenings, incidents, notices, timers
from engine.store.connection import Connection
from engine.store.deadlines import Deadline, lateness_text
from engine.store.happenings import What
from engine.store.notices import Notice, NoticeState
from engine.store.timers import Timer

_UNDONE = {
    Phase.CONTAIN: "it is not contained",
    Phase.INVESTIGATE: "its investigation is not done",
    Phase.RECOVER: "it is not closed",
}


MINUTE_US = 60_000_000


class _Said(Struct, frozen=True):
    """What was said of one deadline."""

    incident: Incident
    text: str


class Overdue:
    """Looks at deadlines that are due."""

    def __init__(self, environment: Environment, chronicle: Chronicle) -> None:
        self._environment = environment
        self._chronicle = chronicle

    async def look(self, due: Sequence[Timer], now_us: int) -> None:
        """Say what is to be said of each, and set the timer of what comes next."""
        for timer in due:
            look = functools.partial(self._look, timer=timer, now_us=now_us)
            said = await self._environment.store.write(look)
            if said is not None:
                self._chronicle.escalate(
                    Escalation(
                        cause=Cause.DEADLINE,
                        reason=said.text,
                        at_us=now_us,
                        incident=said.incident.id,
                        severity=said.incident.severity,
                    )
                )

    def _look(self, connection: Connection, *, timer: Timer, now_us: int) -> _Said | None:
        timers.drop(connection, timer.name)
        incident = incidents.get(connection, IncidentId(str(timer.body["incident"])))
        phase = Phase(str(timer.body["phase"]))
        if incident is None or incident.state in deadlines.DONE[phase]:
            return None
        known = {each.phase: each for each in deadlines.of_incident(connection, incident.id)}.get(phase)
        if known is None:
            return None
        levels = self._environment.incidents.escalation or (EscalationConfig(after=deadlines.AT_ONCE),)
        reached = sum(known.due_us + each.after <= now_us for each in levels)
        if reached < len(levels):
            following = Timer(name=timer.name, due_us=known.due_us + levels[reached].after, body=timer.body)
            timers.put(connection, following)
        if reached <= known.level:
            return None
        # What passed while nobody looked is said once, at the level that it has reached.
        return self._say(connection, incident, known, levels, reached, timer, now_us)

    def _say(
        self,
        connection: Connection,
        incident: Incident,
        known: Deadline,
        levels: Sequence[EscalationConfig],
        reached: int,
        timer: Timer,
        now_us: int,
    ) -> _Said:
        phase, level = known.phase, levels[reached - 1]
        within_us, late_us = timer.body.get("within_us"), now_us - known.due_us
        given = f" within {format_duration(within_us)}" if isinstance(within_us, int) else " in time"
        late = f", and {lateness_text(late_us)} have passed since" if late_us >= MINUTE_US else ""
        text = f"{_UNDONE[phase]}{given}{late}"
        deadlines.miss(connection, incident.id, phase, level=reached, at_us=now_us)
        body: dict[str, Json] = {
            "incident": incident.id,
            "phase": phase.value,
            "level": reached,
            "levels": len(levels),
            "channel": level.channel,
        }
        audit.append(connection, "incident.deadline-missed", now_us, body)
        happenings.put(connection, incident.id, What.DEADLINE_MISSED, at_us=now_us, reason=text, body=body)
        if level.channel and self._environment.guards.mode is Mode.ENFORCE:
            # One that is reopened, or lost its containment, has this deadline anew: its time tells them apart.
            name = f"{incident.id}.{phase.value}.{known.due_us}.{reached}"
            notices.put(connection, self._notice(name, incident, level, f"{reached}/{len(levels)}", text, now_us))
        return _Said(incident=incident, text=f"{text}; said {reached} of {len(levels)} times")

    def _notice(
        self, name: str, incident: Incident, level: EscalationConfig, count: str, text: str, now_us: int
    ) -> Notice:
        by = (
            f"\n{incident.acked_by} looks after it."
            if incident.acked_by
            else "\nNobody has said that they look after it."
        )
        return Notice(
            id=name,
            incident=incident.id,
            channel=level.channel,
            title=f"[{count}] {incident.severity.value} {incident.incident} {format_key(incident.key)}: {text}"[:250],
            body=f"{incident.id} is {incident.state.value}.{by}\nhalon incidents show {incident.id}",
            level=level.level,
            state=NoticeState.WAITING,
            made_us=now_us,
            next_us=now_us,
        )
