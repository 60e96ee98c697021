"""An incident to all that its review is made of: evidence, steps, what happened beside them, and the recorded events.

`engine.operate.control` serves it, `halon incidents report` and its kin turn it into pages, rule tests and exports.
"""

from datetime import datetime

from engine.clock import to_datetime
from engine.model import Event, IncidentId, IntentId, Json, Phase, Struct
from engine.operate import views
from engine.operate.contract import EventView, IncidentDetail, IncidentRow
from engine.store import deadlines, happenings, notices, recorder
from engine.store import incidents as incident_rows
from engine.store import intents as intent_rows
from engine.store.connection import Connection

EVENTS_MAX = 5_000
"""Recorded events that a review takes; of more, the last."""
OTHERS_MAX = 20
OTHERS_LOOKED_AT_MAX = 1_000
EVIDENCE_ACTIONS = ("evidence.", "forensics.", "model.validate")


class Moment(Struct, frozen=True):
    """Something that happened to the incident besides the moves of its steps."""

    at: datetime
    what: str
    who: str
    reason: str = ""


class DeadlineRow(Struct, frozen=True):
    """By when a phase had to be done, when it was, and when it was found missed."""

    phase: Phase
    due: datetime
    met: datetime | None = None
    missed: datetime | None = None

    @property
    def kept(self) -> bool | None:
        """Whether it was kept; None while it may still be."""
        if self.missed is not None:
            return False
        return None if self.met is None else self.met <= self.due


class NoticeRow(Struct, frozen=True):
    """A message to people: where it went and whether it arrived."""

    at: datetime
    channel: str
    title: str
    state: str
    detail: str = ""


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
    """All that is known of one incident. `others` were about the same key or part of it, newest first."""

    detail: IncidentDetail
    moments: tuple[Moment, ...] = ()
    deadlines: tuple[DeadlineRow, ...] = ()
    notices: tuple[NoticeRow, ...] = ()
    kept: tuple[Kept, ...] = ()
    recorded: Recorded | None = None
    others: tuple[IncidentRow, ...] = ()


def review(connection: Connection, incident: str) -> Review | None:
    """The review of one incident; None where there is none."""
    wanted = IncidentId(incident)
    detail = views.incident(connection, incident)
    if detail is None:
        return None
    return Review(
        detail=detail,
        moments=tuple(
            Moment(at=to_datetime(each.at_us), what=each.what.value, who=each.who, reason=each.reason)
            for each in happenings.of_incident(connection, wanted)
        ),
        deadlines=tuple(
            DeadlineRow(
                phase=each.phase, due=to_datetime(each.due_us), met=_maybe(each.met_us), missed=_maybe(each.missed_us)
            )
            for each in deadlines.of_incident(connection, wanted)
        ),
        notices=tuple(
            NoticeRow(
                at=to_datetime(each.made_us),
                channel=each.channel,
                title=each.title,
                state=each.state.value,
                detail=each.detail,
            )
            for each in notices.of_incident(connection, wanted)
        ),
        kept=tuple(
            Kept(intent=each.intent.id, action=each.intent.action, receipt=each.receipt)
            for each in intent_rows.of_incident(connection, wanted)
            if each.receipt is not None and each.intent.action.startswith(EVIDENCE_ACTIONS)
        ),
        recorded=_recorded(connection, wanted),
        others=_others(connection, detail),
    )


def _recorded(connection: Connection, incident: IncidentId) -> Recorded | None:
    pinned = recorder.pinned_of(connection, incident)
    if pinned is None:
        return None
    last = pinned.events[-EVENTS_MAX:]
    return Recorded(
        since=to_datetime(pinned.from_us),
        until=to_datetime(pinned.until_us),
        events=tuple(_event(each) for each in last),
        left_out=pinned.left_out + len(pinned.events) - len(last),
    )


def _event(event: Event) -> RecordedEvent:
    view = EventView(
        id=event.id,
        source=event.source,
        type=event.type,
        time=to_datetime(event.time_us),
        subject=event.subject,
        data=event.data,
    )
    return RecordedEvent(event=view, ext=event.ext)


def _others(connection: Connection, detail: IncidentDetail) -> tuple[IncidentRow, ...]:
    """Other incidents of the newest that share a name and value of the key."""
    key = set(detail.incident.key.items())
    found = incident_rows.find(connection, limit=OTHERS_LOOKED_AT_MAX) if key else []
    shared = [each for each in found if each.id != detail.incident.id and key & set(each.key)]
    return tuple(views.incident_row(each) for each in shared[:OTHERS_MAX])


def _maybe(at_us: int | None) -> datetime | None:
    return None if at_us is None else to_datetime(at_us)
