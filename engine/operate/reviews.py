"""An incident to all that its review is made of: its view, the receipts of what was kept, and the recorded events.

`engine.operate.control` serves it, `halon incidents report` and its kin turn it into pages, rule tests and exports.
"""

from datetime import datetime

from engine.clock import to_datetime
from engine.model import IncidentId, IntentId, Json, Struct
from engine.operate import views
from engine.operate.shown import EventView, IncidentDetail
from engine.store import intents as intent_rows
from engine.store.connection import Connection
from engine.store.pinned import pinned_of

EVENTS_MAX = 5_000
"""Recorded events that a review takes; of more, the last."""
EVIDENCE_ACTIONS = ("evidence.", "forensics.", "model.validate")


class Kept(Struct, frozen=True):
    """What a step kept as evidence: places and digests, as its receipt has them."""

    intent: IntentId
    action: str
    receipt: dict[str, Json]


class RecordedEvent(Struct, frozen=True):
    """One recorded event with its extensions, so that it can be fed again."""

    event: EventView
    ext: dict[str, Json] = {}


class Recorded(Struct, frozen=True):
    """What the flight recorder kept around the incident; `left_out` were more than may be kept."""

    since: datetime
    until: datetime
    events: tuple[RecordedEvent, ...]
    left_out: int = 0


class Review(Struct, frozen=True):
    """All that is known of one incident."""

    detail: IncidentDetail
    kept: tuple[Kept, ...] = ()
    recorded: Recorded | None = None


def review(connection: Connection, incident: str) -> Review | None:
    """The review of one incident; None where there is none."""
    wanted = IncidentId(incident)
    detail = views.incident(connection, incident)
    if detail is None:
        return None
    return Review(
        detail=detail,
        kept=tuple(
            Kept(intent=each.intent.id, action=each.intent.action, receipt=each.receipt)
            for each in intent_rows.of_incident(connection, wanted)
            if each.receipt is not None and each.intent.action.startswith(EVIDENCE_ACTIONS)
        ),
        recorded=_recorded(connection, wanted),
    )


def _recorded(connection: Connection, incident: IncidentId) -> Recorded | None:
    pinned = pinned_of(connection, incident)
    if pinned is None:
        return None
    last = pinned.events[-EVENTS_MAX:]
    return Recorded(
        since=to_datetime(pinned.from_us),
        until=to_datetime(pinned.until_us),
        events=tuple(RecordedEvent(event=views.event_view(each), ext=each.ext) for each in last),
        left_out=pinned.left_out + len(pinned.events) - len(last),
    )
