"""Incidents to rows and back. The core writes what it saw, `engine.contain` and operators how far it has come.

The two do not overwrite each other: `put` never takes a state back, and `move` alone changes it.
"""

import sqlite3
from collections.abc import Iterator, Sequence, Set
from typing import Any

import msgspec

from engine.model import Incident, IncidentId, IncidentState, Struct
from engine.store import audit, deadlines, evidence, happenings
from engine.store.happenings import What
from engine.store.rows import decode, encode

_COLUMNS = "id, body, state, contained_us, closed_us, resolution, acked_by, duplicate_of"


def put(connection: sqlite3.Connection, incident: Incident, *, at_us: int) -> bool:
    """Write an incident of the core's; True where it is a new one, which is also audited, as found at `at_us`."""
    new = connection.execute("SELECT 1 FROM incidents WHERE id = ?", (incident.id,)).fetchone() is None
    body = encode(msgspec.structs.replace(incident, signals=()))
    connection.execute(
        "INSERT INTO incidents (id, incident, key, state, severity, opened_us, updated_us, contained_us, closed_us, "
        "resolution, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET severity = excluded.severity, updated_us = excluded.updated_us, "
        "body = excluded.body",
        (
            incident.id,
            incident.incident,
            encode(incident.key),
            incident.state.value,
            incident.severity.value,
            incident.opened_us,
            incident.updated_us,
            incident.contained_us,
            incident.closed_us,
            incident.resolution,
            body,
        ),
    )
    evidence.put(connection, incident)
    if new:
        audit.append(connection, "incident.opened", at_us, _opened(incident))
        happenings.put(
            connection, incident.id, What.OPEN, at_us=at_us, reason=f"rule {incident.rule} fired", body={"from": None}
        )
    return new


def get(connection: sqlite3.Connection, incident: IncidentId) -> Incident | None:
    """One incident with its evidence, or None."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM incidents WHERE id = ?", (incident,)).fetchone()
    return None if row is None else _incident(connection, row)


def state_of(connection: sqlite3.Connection, incident: IncidentId) -> IncidentState | None:
    """How far one incident has come, without its evidence; None where there is none."""
    row = connection.execute("SELECT state FROM incidents WHERE id = ?", (incident,)).fetchone()
    return None if row is None else IncidentState(row[0])


def find(
    connection: sqlite3.Connection,
    *,
    states: Sequence[IncidentState] = tuple(IncidentState),
    limit: int = 1_000,
    after_us: int | None = None,
) -> list[Incident]:
    """Incidents in any of `states`, the newest first, up to `limit`; with `after_us` only those opened since."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM incidents WHERE state IN ({_places(states)}) AND opened_us >= ? "
        "ORDER BY opened_us DESC, id LIMIT ?",
        (*(state.value for state in states), -(2**62) if after_us is None else after_us, limit),
    )
    return [_incident(connection, row) for row in rows]


def load_not_closed(connection: sqlite3.Connection, *, but: Set[IncidentId] = frozenset()) -> Iterator[Incident]:
    """Every incident that is not closed, oldest first, but those that the core knows: for it at start."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM incidents WHERE state <> 'closed' ORDER BY opened_us, id")
    for row in rows:
        if row[0] not in but:
            yield _incident(connection, row)


def count_by_state(connection: sqlite3.Connection) -> dict[IncidentState, int]:
    """How many incidents stand in each state."""
    rows = connection.execute("SELECT state, count(*) FROM incidents GROUP BY state")
    return {IncidentState(state): count for state, count in rows}


def move(
    connection: sqlite3.Connection,
    incident: IncidentId,
    state: IncidentState,
    *,
    at_us: int,
    who: str,
    reason: str = "",
    resolution: str = "",
    duplicate_of: str = "",
) -> bool:
    """Change how far an incident has come, with a happening and an audit record; False where it stands there already.

    `contained_us` is set on reaching `contained`, and cleared on going back to `open`: containment that was lost is
    not containment. Who looked after one that was closed does not yet look after it when it is open again. Deadlines
    whose work is done in `state` are met.
    """
    row = connection.execute("SELECT state FROM incidents WHERE id = ?", (incident,)).fetchone()
    if row is None or row[0] == state.value:
        return False
    connection.execute(
        "UPDATE incidents SET state = ?, updated_us = max(updated_us, ?), resolution = ?, duplicate_of = ?, "
        "contained_us = CASE ? WHEN 'contained' THEN coalesce(contained_us, ?) WHEN 'open' THEN NULL "
        "ELSE contained_us END, closed_us = CASE ? WHEN 'closed' THEN ? ELSE NULL END, "
        "acked_by = CASE state WHEN 'closed' THEN '' ELSE acked_by END WHERE id = ?",
        (state.value, at_us, resolution, duplicate_of, state.value, at_us, state.value, at_us, incident),
    )
    deadlines.note_state(connection, incident, state, at_us=at_us)
    body = {"from": row[0], "resolution": resolution}
    if duplicate_of:
        body["duplicate_of"] = duplicate_of
    happenings.put(connection, incident, What(state.value), at_us=at_us, who=who, reason=reason, body=body)
    audit.append(
        connection,
        f"incident.{state.value}",
        at_us,
        {"incident": incident, "who": who, "reason": reason, **body},
    )
    return True


def acknowledge(connection: sqlite3.Connection, incident: IncidentId, *, at_us: int, who: str, reason: str) -> None:
    """Somebody looks after it; the last who said so is named."""
    connection.execute("UPDATE incidents SET acked_by = ? WHERE id = ?", (who, incident))
    happenings.put(connection, incident, What.ACKNOWLEDGED, at_us=at_us, who=who, reason=reason)
    audit.append(connection, "incident.acknowledged", at_us, {"incident": incident, "who": who, "reason": reason})


def recovering(connection: sqlite3.Connection) -> list[IncidentId]:
    """The incidents that recover."""
    rows = connection.execute("SELECT id FROM incidents WHERE state <> 'closed' AND state = 'recovering' ORDER BY id")
    return [IncidentId(incident) for (incident,) in rows]


class Stage(Struct, frozen=True):
    """How far an incident has come, and what of it decides what comes next."""

    state: IncidentState
    acked_by: str
    steps_from: tuple[int, int, int]


def stage_of(connection: sqlite3.Connection, incident: IncidentId) -> Stage | None:
    """The stage of one incident; None where there is none."""
    row = connection.execute("SELECT state, acked_by, body FROM incidents WHERE id = ?", (incident,)).fetchone()
    if row is None:
        return None
    return Stage(
        state=IncidentState(row[0]), acked_by=row[1], steps_from=msgspec.json.decode(row[2], type=_StepsFrom).steps_from
    )


class _StepsFrom(msgspec.Struct):
    """Of an incident's body, what its stage needs."""

    steps_from: tuple[int, int, int] = (0, 0, 0)


def _opened(incident: Incident) -> dict[str, Any]:
    return {
        "incident": incident.id,
        "type": incident.incident,
        "rule": incident.rule,
        "severity": incident.severity.value,
        "mode": incident.mode.value,
        "key": dict(incident.key),
        "signals": [
            {
                "signal": signal.signal,
                "at_us": signal.at_us,
                "detail": signal.finding.detail,
                "value": signal.finding.value,
                "threshold": signal.finding.threshold,
                "event": signal.event.id if signal.event is not None else None,
            }
            for signal in incident.signals
        ],
    }


def _incident(connection: sqlite3.Connection, row: tuple[Any, ...]) -> Incident:
    found, body, state, contained_us, closed_us, resolution, acked_by, duplicate_of = row
    return msgspec.structs.replace(
        decode(body, Incident),
        state=IncidentState(state),
        contained_us=contained_us,
        closed_us=closed_us,
        resolution=resolution,
        acked_by=acked_by,
        duplicate_of=duplicate_of,
        signals=evidence.of_incident(connection, found),
    )


def _places(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
