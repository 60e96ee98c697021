"""Leases and their holders to rows and back; every change of a lease is audited in its own transaction.

`engine.contain` acquires and ends leases; budgets count them; `halon leases` lists them.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from engine.model import IncidentId, Json, Lease, LeaseId, LeaseState, Receipt, Target
from engine.store import audit, happenings
from engine.store.happenings import What
from engine.store.rows import decode_any, encode

_COLUMNS = (
    "id, action, target_kind, target_name, labels, params, receipt, intent, state, acquired_us, expires_us, drifts, "
    "adopted, detail, lost"
)


def acquire(connection: sqlite3.Connection, lease: Lease, *, at_us: int) -> Lease:
    """Put a lease in force for its holders, or join the live one of the same action and target.

    Joining adds the holders and keeps the later expiry; the receipt, which is what undoes the effect, stays the first
    one's unless the new lease says that it was applied anew (`adopted` false and another receipt).
    """
    live = get(connection, lease.id)
    if live is not None and live.state is not LeaseState.RELEASED:
        lease = msgspec.structs.replace(
            lease,
            acquired_us=live.acquired_us,
            expires_us=max(live.expires_us, lease.expires_us),
            drifts=live.drifts,
        )
    else:
        connection.execute("DELETE FROM lease_holders WHERE lease = ?", (lease.id,))
    _put(connection, lease)
    connection.executemany(
        "INSERT INTO lease_holders (lease, incident, since_us) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        [(lease.id, holder, at_us) for holder in lease.holders],
    )
    acquired = get(connection, lease.id)
    assert acquired is not None
    body: dict[str, Json] = {
        "lease": lease.id,
        "action": lease.action,
        "target": {"kind": lease.target.kind, "name": lease.target.name},
        "holders": list(acquired.holders),
        "expires_us": lease.expires_us,
        "receipt": lease.receipt,
        "adopted": lease.adopted,
    }
    audit.append(connection, "lease.acquired", at_us, body)
    until = f"{lease.action} holds {lease.target.kind} {lease.target.name}"
    for holder in lease.holders:
        _tell(connection, holder, acquired, "acquired", at_us=at_us, who="halon", reason=until)
    return acquired


def change(
    connection: sqlite3.Connection,
    lease: LeaseId,
    *,
    at_us: int,
    kind: str,
    who: str = "halon",
    state: LeaseState | None = None,
    detail: str | None = None,
    drifts: int | None = None,
    receipt: Receipt | None = None,
    adopted: bool | None = None,
    lost: bool | None = None,
) -> Lease:
    """Change what is given, with an audit record `lease.KIND`; returns the lease as it is then."""
    old = get(connection, lease)
    assert old is not None, f"{lease} is not in the store"
    new = msgspec.structs.replace(
        old,
        state=old.state if state is None else state,
        detail=old.detail if detail is None else detail,
        drifts=old.drifts if drifts is None else drifts,
        receipt=old.receipt if receipt is None else receipt,
        adopted=old.adopted if adopted is None else adopted,
        lost=old.lost if lost is None else lost,
    )
    _put(connection, new)
    body: dict[str, Json] = {
        "lease": lease,
        "from": old.state.value,
        "state": new.state.value,
        "who": who,
        "detail": new.detail,
        "drifts": new.drifts,
    }
    audit.append(connection, f"lease.{kind}", at_us, body)
    for incident in _concerned(connection, new):
        _tell(connection, incident, new, kind, at_us=at_us, who=who, reason=new.detail)
    return new


def drop_holder(
    connection: sqlite3.Connection, lease: LeaseId, incident: IncidentId, *, at_us: int
) -> tuple[IncidentId, ...]:
    """Take one incident off a lease; returns the holders that are left."""
    gone = connection.execute("DELETE FROM lease_holders WHERE lease = ? AND incident = ?", (lease, incident)).rowcount
    left = _holders(connection, lease)
    if gone:
        audit.append(connection, "lease.holder-gone", at_us, {"lease": lease, "incident": incident, "left": list(left)})
        known = get(connection, lease)
        if left and known is not None:
            reason = f"it stays in force for {', '.join(left)}"
            _tell(connection, incident, known, "holder-gone", at_us=at_us, who="halon", reason=reason)
    return left


def get(connection: sqlite3.Connection, lease: LeaseId) -> Lease | None:
    """One lease, or None."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM leases WHERE id = ?", (lease,)).fetchone()
    return None if row is None else _lease(connection, row)


def find(
    connection: sqlite3.Connection,
    *,
    states: Sequence[LeaseState] = (LeaseState.IN_FORCE, LeaseState.RELEASING, LeaseState.CONFLICT),
    limit: int = 10_000,
) -> list[Lease]:
    """Leases in any of `states` (live ones unless told otherwise), oldest first, up to `limit`."""
    places = ", ".join("?" * len(states))
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM leases WHERE state IN ({places}) ORDER BY acquired_us, id LIMIT ?",
        (*(state.value for state in states), limit),
    ).fetchall()
    return [_lease(connection, row) for row in rows]


def expired(connection: sqlite3.Connection, now_us: int) -> list[Lease]:
    """Leases in force whose time is over, the longest overdue first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM leases WHERE state = 'in-force' AND expires_us <= ? ORDER BY expires_us, id",
        (now_us,),
    ).fetchall()
    return [_lease(connection, row) for row in rows]


def held_by(connection: sqlite3.Connection, incident: IncidentId) -> list[Lease]:
    """The leases that an incident holds, live ones only."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM leases JOIN lease_holders ON lease_holders.lease = leases.id "
        "WHERE lease_holders.incident = ? AND leases.state <> 'released' ORDER BY acquired_us, id",
        (incident,),
    ).fetchall()
    return [_lease(connection, row) for row in rows]


def held_by_closed(connection: sqlite3.Connection) -> list[IncidentId]:
    """Closed incidents that hold a lease which is in force."""
    rows = connection.execute(
        "SELECT DISTINCT lease_holders.incident FROM lease_holders "
        "JOIN leases ON leases.id = lease_holders.lease "
        "JOIN incidents ON incidents.id = lease_holders.incident "
        "WHERE leases.state = 'in-force' AND incidents.state = 'closed' ORDER BY 1"
    )
    return [IncidentId(incident) for (incident,) in rows]


def _tell(
    connection: sqlite3.Connection, incident: IncidentId, lease: Lease, kind: str, *, at_us: int, who: str, reason: str
) -> None:
    """What became of a lease is a happening of an incident."""
    body: dict[str, Json] = {
        "lease": lease.id,
        "kind": kind,
        "action": lease.action,
        "target": f"{lease.target.kind} {lease.target.name}",
        "expires_us": lease.expires_us,
    }
    happenings.put(connection, incident, What.LEASE, at_us=at_us, who=who, reason=reason, body=body)


def _concerned(connection: sqlite3.Connection, lease: Lease) -> list[IncidentId]:
    """The holders; where none is left, the incident whose step put it in force."""
    if lease.holders:
        return list(lease.holders)
    rows = connection.execute("SELECT incident FROM intents WHERE id = ?", (lease.intent,))
    return [IncidentId(incident) for (incident,) in rows]


def _put(connection: sqlite3.Connection, lease: Lease) -> None:
    connection.execute(
        f"INSERT INTO leases ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET labels = excluded.labels, params = excluded.params, "
        "receipt = excluded.receipt, intent = excluded.intent, state = excluded.state, "
        "acquired_us = excluded.acquired_us, expires_us = excluded.expires_us, drifts = excluded.drifts, "
        "adopted = excluded.adopted, detail = excluded.detail, lost = excluded.lost",
        (
            lease.id,
            lease.action,
            lease.target.kind,
            lease.target.name,
            encode(lease.target.labels),
            encode(lease.params),
            encode(lease.receipt),
            lease.intent,
            lease.state.value,
            lease.acquired_us,
            lease.expires_us,
            lease.drifts,
            int(lease.adopted),
            lease.detail,
            int(lease.lost),
        ),
    )


def _holders(connection: sqlite3.Connection, lease: LeaseId) -> tuple[IncidentId, ...]:
    rows = connection.execute(
        "SELECT incident FROM lease_holders WHERE lease = ? ORDER BY since_us, incident", (lease,)
    )
    return tuple(IncidentId(incident) for (incident,) in rows)


def _lease(connection: sqlite3.Connection, row: tuple[Any, ...]) -> Lease:
    (
        lease,
        action,
        kind,
        name,
        labels,
        params,
        receipt,
        intent,
        state,
        acquired_us,
        expires_us,
        drifts,
        adopted,
        detail,
        lost,
    ) = row
    return Lease(
        id=lease,
        action=action,
        target=Target(kind=kind, name=name, labels=decode_any(labels, dict[str, str])),
        params=decode_any(params, dict[str, Json]),
        receipt=decode_any(receipt, Receipt),
        intent=intent,
        holders=_holders(connection, lease),
        state=LeaseState(state),
        acquired_us=acquired_us,
        expires_us=expires_us,
        drifts=drifts,
        adopted=bool(adopted),
        detail=detail,
        lost=bool(lost),
    )
