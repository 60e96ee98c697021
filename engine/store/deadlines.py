"""By when each phase of an incident has to be done, whether it was, and how far a missed one has been escalated.

Set when an incident opens, in the transaction that writes it. The timer of each (`deadline:PHASE:INCIDENT`) says when
it is looked at next; the row stays as the record of it.
"""

import sqlite3
from collections.abc import Mapping

from engine.clock import Duration, format_duration
from engine.model import IncidentId, IncidentState, Json, Phase, Struct
from engine.store import timers
from engine.store.timers import Timer

DONE: Mapping[Phase, frozenset[IncidentState]] = {
    Phase.CONTAIN: frozenset(set(IncidentState) - {IncidentState.OPEN}),
    Phase.INVESTIGATE: frozenset({IncidentState.RECOVERING, IncidentState.CLOSED}),
    Phase.RECOVER: frozenset({IncidentState.CLOSED}),
}
"""In which states of its incident the work of a phase is done."""


AT_ONCE = Duration(0)
"""Without levels of escalation a missed deadline is said once, at once."""


class Deadline(Struct, frozen=True):
    """When a phase had to be done, when it was, when it was found missed, and at which level (from 1) that was said."""

    incident: IncidentId
    phase: Phase
    due_us: int
    met_us: int | None = None
    missed_us: int | None = None
    level: int = 0


def start(connection: sqlite3.Connection, incident: IncidentId, phase: Phase, *, at_us: int, within_us: int) -> None:
    """Let the clock of a phase run from `at_us`, anew where it ran before."""
    connection.execute(
        "INSERT INTO deadlines (incident, phase, due_us) VALUES (?, ?, ?) ON CONFLICT (incident, phase) DO UPDATE SET "
        "due_us = excluded.due_us, met_us = NULL, missed_us = NULL, level = 0",
        (incident, phase.value, at_us + within_us),
    )
    body: dict[str, Json] = {"incident": incident, "phase": phase.value, "within_us": within_us}
    timers.put(connection, Timer(name=timer_name(incident, phase), due_us=at_us + within_us, body=body))


def timer_name(incident: IncidentId, phase: Phase) -> str:
    """The name of the timer by which a deadline is looked at."""
    return f"{timers.DEADLINE}{phase.value}:{incident}"


def note_state(connection: sqlite3.Connection, incident: IncidentId, state: IncidentState, *, at_us: int) -> None:
    """The incident is in `state` now: deadlines whose work is done are met, or were missed, and their timers go."""
    for phase, done in DONE.items():
        if state not in done:
            continue
        connection.execute(
            "UPDATE deadlines SET met_us = ? WHERE incident = ? AND phase = ? AND met_us IS NULL",
            (at_us, incident, phase.value),
        )
        timers.drop(connection, timer_name(incident, phase))


def miss(connection: sqlite3.Connection, incident: IncidentId, phase: Phase, *, level: int, at_us: int) -> None:
    """A deadline passed with its work undone; `level` counts how often that was said."""
    connection.execute(
        "UPDATE deadlines SET missed_us = coalesce(missed_us, ?), level = ? WHERE incident = ? AND phase = ?",
        (at_us, level, incident, phase.value),
    )


def of_incident(connection: sqlite3.Connection, incident: IncidentId) -> list[Deadline]:
    """The deadlines of an incident, in the order of its phases."""
    rows = connection.execute(
        "SELECT phase, due_us, met_us, missed_us, level FROM deadlines WHERE incident = ?", (incident,)
    )
    found = [
        Deadline(incident=incident, phase=Phase(phase), due_us=due_us, met_us=met_us, missed_us=missed_us, level=level)
        for phase, due_us, met_us, missed_us, level in rows
    ]
    return sorted(found, key=lambda each: list(Phase).index(each.phase))


def next_of(connection: sqlite3.Connection) -> dict[IncidentId, Deadline]:
    """For each incident that has one, the deadline that is not met and due first."""
    rows = connection.execute(
        "SELECT incident, phase, min(due_us), missed_us, level FROM deadlines WHERE met_us IS NULL GROUP BY incident"
    )
    return {
        incident: Deadline(incident=incident, phase=Phase(phase), due_us=due_us, missed_us=missed_us, level=level)
        for incident, phase, due_us, missed_us, level in rows
    }


def overdue(connection: sqlite3.Connection) -> dict[Phase, int]:
    """How many deadlines were missed and are not made good yet, by phase."""
    rows = connection.execute(
        "SELECT phase, count(*) FROM deadlines WHERE met_us IS NULL AND missed_us IS NOT NULL GROUP BY phase"
    )
    counts = {Phase(phase): count for phase, count in rows}
    return {phase: counts.get(phase, 0) for phase in Phase}


def lateness_text(late_us: int) -> str:
    """`25m`, `3h10m`: how late, to the minute past the first."""
    minute_us = 60_000_000
    return format_duration(late_us - late_us % (minute_us if late_us >= minute_us else 1_000_000))
