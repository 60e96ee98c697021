"""Turns the database into what people ask about: status, incidents, why they fired, leases, dead letters, the audit.

Functions on a connection that only reads. `engine.operate.control` serves them from the running daemon; `engine.cli`
calls the same ones on the database file where no daemon runs.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import assert_never

from engine.clock import SECOND_US, to_datetime
from engine.config import BudgetConfig
from engine.model import (
    AlreadyInPlace,
    Applied,
    Event,
    Failed,
    Incident,
    IncidentId,
    IncidentState,
    IntentId,
    IntentState,
    Lease,
    LeaseState,
    Outcome,
    Refused,
    Signal,
    Unverified,
)
from engine.operate.contract import NotFound
from engine.operate.scope import related, touched
from engine.operate.shown import (
    AuditReport,
    BudgetRow,
    DeadLetterDetail,
    DeadLetterRow,
    DeadlineView,
    EventView,
    EvidenceView,
    FaultRow,
    IncidentDetail,
    IncidentRow,
    LeaseRow,
    NoticeView,
    Pause,
    PinnedView,
    Recorded,
    Station,
    StepTransition,
    StepView,
    Stored,
    WatchView,
)
from engine.operate.story import story
from engine.store import audit, recorder
from engine.store import deadletters as letters
from engine.store import deadlines as deadline_rows
from engine.store import faults as fault_counts
from engine.store import incidents as incident_rows
from engine.store import intents as intent_rows
from engine.store import leases as lease_rows
from engine.store import notices as notice_rows
from engine.store import state as facts
from engine.store import watches as watch_rows
from engine.store.connection import Connection
from engine.store.damage import kept_aside
from engine.store.deadletters import DeadLetter
from engine.store.deadlines import Deadline
from engine.store.intents import IntentRecord, Stations
from engine.store.pinned import pinned_of

LIMIT_DEFAULT = 100
LIMIT_MAX = 10_000
FAULTS_SHOWN_MAX = 50
PAYLOAD_BYTES_SHOWN_MAX = 8_192
RELATED_LOOKED_AT_MAX = 300
"""So many of the newest incidents are asked whether they have to do with the one that is shown."""
HOUR_US = 3_600 * SECOND_US


class BadQuery(Exception):  # noqa: N818  # says what it is
    """A parameter that makes no sense; the text says which."""


def limit(text: str | None) -> int:
    """How many rows, from a query. Raises BadQuery."""
    if text is None:
        return LIMIT_DEFAULT
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:10]) <= LIMIT_MAX):
        raise BadQuery(f"limit must be a whole number from 1 to {LIMIT_MAX}, not `{text[:20]}`")
    return int(text)


def stored(connection: Connection, *, now_us: int, budgets: Mapping[str, BudgetConfig]) -> Stored:
    """The counts of `halon status`."""
    paused = facts.paused(connection)
    intents = dict(connection.execute("SELECT state, count(*) FROM intents GROUP BY state").fetchall())
    leases = connection.execute("SELECT state, count(*) FROM leases GROUP BY state").fetchall()
    return Stored(
        incidents=incident_rows.count_by_state(connection),
        leases={LeaseState(state): count for state, count in leases},
        steps_held=intents.get(IntentState.HELD.value, 0),
        steps_under_way=sum(
            intents.get(state.value, 0) for state in (IntentState.INTENDED, IntentState.APPLYING, IntentState.APPLIED)
        ),
        deadletters=letters.count(connection),
        paused=Pause(who=paused.who, since=to_datetime(paused.at_us)) if paused else None,
        faults=tuple(
            FaultRow(
                owner=each.owner,
                field=each.field,
                count=each.count,
                reason=each.last_reason,
                last=to_datetime(each.last_us),
                last_event=each.last_event,
            )
            for each in fault_counts.find(connection, limit=FAULTS_SHOWN_MAX)
        ),
        budgets=tuple(_budget(connection, kind, budget, now_us) for kind, budget in sorted(budgets.items())),
        overdue=deadline_rows.overdue(connection),
        notices={state.value: count for state, count in notice_rows.count_by_state(connection).items()},
        recorded=_recorded(connection),
        watched=len(watch_rows.find(connection)),
        set_aside=tuple(kept_aside(Path(connection.execute("PRAGMA database_list").fetchone()[2]))),
    )


def _recorded(connection: Connection) -> Recorded:
    held = recorder.held(connection)
    since = None if held.since_us is None else to_datetime(held.since_us)
    return Recorded(events=held.events, bytes=held.bytes, since=since)


def watch_list(connection: Connection) -> tuple[WatchView, ...]:
    """The keys that are watched more closely, what ends first in front."""
    return tuple(
        WatchView(
            key=dict(each.key),
            since=to_datetime(each.since_us),
            until=to_datetime(each.until_us),
            who=each.who,
            reason=each.reason,
            incident=each.incident,
        )
        for each in watch_rows.find(connection)
    )


def incidents(connection: Connection, *, state: str, limit: int) -> tuple[IncidentRow, ...]:
    """Incidents, newest first; `state` is one of theirs, `open` for all that are not closed, or `all`."""
    if state == "all":
        states = tuple(IncidentState)
    elif state == "open":
        states = tuple(each for each in IncidentState if each is not IncidentState.CLOSED)
    elif state in set(IncidentState):
        states = (IncidentState(state),)
    else:
        raise BadQuery(f"`{state[:40]}` is no state: all, {', '.join(IncidentState)}")
    due = deadline_rows.next_of(connection)
    return tuple(
        incident_row(each, due.get(each.id)) for each in incident_rows.find(connection, states=states, limit=limit)
    )


def incident(connection: Connection, incident: str) -> IncidentDetail | None:
    """One incident with its evidence, its steps and the leases that it holds; None where there is none."""
    found = incident_rows.get(connection, IncidentId(incident))
    if found is None:
        return None
    records = intent_rows.of_incident(connection, found.id)
    pinned = pinned_of(connection, found.id)
    events = {signal.event.id: signal.event for signal in found.signals if signal.event is not None}
    events |= {event.id: event for event in pinned.events} if pinned is not None else {}
    held = lease_rows.held_by(connection, found.id)
    due = deadline_rows.of_incident(connection, found.id)
    return IncidentDetail(
        incident=incident_row(found, next((each for each in due if each.met_us is None), None)),
        playbook=found.playbook,
        tags=found.tags,
        evidence=tuple(_evidence(signal) for signal in found.signals),
        steps=tuple(_step(connection, record) for record in records),
        leases=tuple(_lease(each) for each in held),
        deadlines=tuple(_deadline(each) for each in due),
        scope=touched(found, events.values(), records, held),
        related=related(found, incident_rows.find(connection, limit=RELATED_LOOKED_AT_MAX)),
        story=story(connection, found, records),
        notices=tuple(
            NoticeView(
                channel=each.channel,
                title=each.title,
                state=each.state.value,
                made=to_datetime(each.made_us),
                tries=each.tries,
                detail=each.detail,
            )
            for each in notice_rows.of_incident(connection, found.id)
        ),
        pinned=None
        if pinned is None
        else PinnedView(
            events=len(pinned.events),
            since=to_datetime(pinned.from_us),
            until=to_datetime(pinned.until_us),
            left_out=pinned.left_out,
        ),
    )


def find_step(connection: Connection, incident: str, step: str) -> IntentId | NotFound:
    """The intent that people mean by a step's place (`recover.1`), its action's name, or its id."""
    found = incident_rows.get(connection, IncidentId(incident))
    if found is None:
        return NotFound(reason=f"there is no incident `{incident}`; `halon incidents` lists the open ones")
    records = intent_rows.of_incident(connection, found.id)
    wanted = re.sub(r"\[(\d+)\]", r".\1", step)
    named = [each for each in records if wanted in {each.intent.id, _place(each), each.intent.action}]
    if not named:
        places = ", ".join(f"`{_place(each)}` ({each.intent.action})" for each in records)
        return NotFound(reason=f"incident `{incident}` has no step `{step}`; it has {places or 'no steps'}")
    waiting = [each for each in named if each.state is IntentState.HELD] or named
    if len(waiting) > 1:
        places = ", ".join(f"`{_place(each)}`" for each in waiting)
        return NotFound(reason=f"`{step}` names several steps of `{incident}`: say which of {places}")
    return waiting[0].intent.id


def leases(connection: Connection, *, ended: bool, limit: int) -> tuple[LeaseRow, ...]:
    """What is contained now; with `ended` what was, too."""
    states = tuple(LeaseState) if ended else tuple(each for each in LeaseState if each is not LeaseState.RELEASED)
    return tuple(_lease(each) for each in lease_rows.find(connection, states=states, limit=limit))


def leases_by_kind(connection: Connection) -> dict[str, int]:
    """How many leases are in force, by target kind."""
    rows = connection.execute(
        "SELECT target_kind, count(*) FROM leases WHERE state = ? GROUP BY target_kind", (LeaseState.IN_FORCE.value,)
    )
    return dict(rows.fetchall())


def deadletters(connection: Connection, *, limit: int) -> tuple[DeadLetterRow, ...]:
    """Messages that were no events, newest first."""
    return tuple(_letter(each) for each in letters.find(connection, limit=limit))


def deadletter(connection: Connection, number: int) -> DeadLetterDetail | None:
    """One of them with the head of its payload."""
    found = letters.get(connection, number)
    if found is None:
        return None
    head = found.payload[:PAYLOAD_BYTES_SHOWN_MAX]
    try:
        payload, encoding = head.decode("utf-8"), "utf-8"
    except UnicodeDecodeError as error:
        # A character cut in two at the end of the head is no reason to show digits.
        cut_short = len(head) < found.payload_bytes and error.start >= len(head) - 3
        payload, encoding = (head[: error.start].decode(), "utf-8") if cut_short else (head.hex(), "hex")
    return DeadLetterDetail(row=_letter(found), payload=payload, encoding=encoding, cut=len(head) < found.payload_bytes)


def audit_report(
    connection: Connection,
    *,
    key: bytes | None = None,
    anchor: audit.Anchor | None = None,
    archive: Iterable[audit.Row] | None = None,
) -> AuditReport:
    """Whether the audit chain holds; from its first record on where `archive` gives those that were moved to files."""
    head = audit.anchor(connection)
    problem = audit.verify(connection, key=key, anchor=anchor, archive=archive)
    return AuditReport(
        ok=problem is None,
        records=head.seq,
        head=head.hash,
        problem="" if problem is None else f"{problem.breach.value} at record {problem.seq}: {problem.detail}",
        signed_from=audit.signed_from(connection),
        key=key is not None,
        checked_from=1 if archive is not None else audit.base(connection).seq + 1,
    )


def _budget(connection: Connection, kind: str, budget: BudgetConfig, now_us: int) -> BudgetRow:
    (held,) = connection.execute(
        "SELECT count(*) FROM leases WHERE target_kind = ? AND state <> 'released'", (kind,)
    ).fetchone()
    return BudgetRow(
        kind=kind,
        held=held,
        held_max=budget.held_max,
        last_hour=intent_rows.acted_since(connection, kind, now_us - HOUR_US),
        per_hour_max=budget.per_hour_max,
    )


def _deadline(each: Deadline) -> DeadlineView:
    return DeadlineView(
        phase=each.phase,
        due=to_datetime(each.due_us),
        met=None if each.met_us is None else to_datetime(each.met_us),
        missed=None if each.missed_us is None else to_datetime(each.missed_us),
        level=each.level,
    )


def incident_row(found: Incident, due: Deadline | None = None) -> IncidentRow:
    """One incident as lists show it; `due` is its next deadline."""
    return IncidentRow(
        id=found.id,
        incident=found.incident,
        rule=found.rule,
        severity=found.severity,
        key=dict(found.key),
        state=found.state,
        opened=to_datetime(found.opened_us),
        updated=to_datetime(found.updated_us),
        signals=max(found.absorbed, len(found.signals)),
        mode=found.mode,
        contained=None if found.contained_us is None else to_datetime(found.contained_us),
        closed=None if found.closed_us is None else to_datetime(found.closed_us),
        resolution=found.resolution,
        acked_by=found.acked_by,
        reopened=found.reopened,
        duplicate_of=found.duplicate_of,
        due=None if due is None else _deadline(due),
    )


def _evidence(signal: Signal) -> EvidenceView:
    event = signal.event
    return EvidenceView(
        signal=signal.signal,
        key=dict(signal.key),
        at=to_datetime(signal.at_us),
        detail=signal.finding.detail,
        value=signal.finding.value,
        threshold=signal.finding.threshold,
        event=None if event is None else event_view(event),
        event_ids=signal.finding.event_ids,
        sources=signal.sources,
    )


def event_view(event: Event) -> EventView:
    """An event as people read it."""
    return EventView(
        id=event.id,
        source=event.source,
        type=event.type,
        time=to_datetime(event.time_us),
        subject=event.subject,
        data=event.data,
    )


def _step(connection: Connection, record: IntentRecord) -> StepView:
    intent = record.intent
    return StepView(
        intent=intent.id,
        place=_place(record),
        phase=intent.phase,
        action=intent.action,
        params=intent.params,
        verdict=intent.verdict,
        state=record.state,
        decided=to_datetime(intent.at_us),
        reason=record.reason or intent.reason,
        would=record.plan.would if record.plan else "",
        outcome=outcome_text(record.outcome) if record.outcome else "",
        target=f"{record.plan.target.kind}:{record.plan.target.name}" if record.plan else "",
        lease=record.lease,
        approved_by=record.approved_by,
        waits_for=record.hold.value if record.hold and record.state is IntentState.HELD else "",
        waits_until=None
        if record.hold_until_us is None or record.state is not IntentState.HELD
        else to_datetime(record.hold_until_us),
        tries=record.tries,
        stations=_stations(record.stations),
        transitions=tuple(
            StepTransition(at=to_datetime(each.at_us), state=each.state, reason=each.reason)
            for each in intent_rows.transitions(connection, intent.id)
        ),
    )


def _stations(passed: Stations) -> tuple[Station, ...]:
    """The way from event to verified, as far as it went; latencies count from the event."""
    times = (
        ("event", passed.event_us),
        ("received", passed.received_us),
        ("matched", passed.matched_us),
        ("durable", passed.durable_us),
        ("applying", passed.applying_us),
        ("applied", passed.applied_us),
        ("verified", passed.verified_us),
    )
    return tuple(
        Station(name=name, at=to_datetime(at_us), after_ms=(at_us - passed.event_us) / 1_000)
        for name, at_us in times
        if at_us is not None
    )


def outcome_text(outcome: Outcome) -> str:
    """An outcome in words."""
    match outcome:
        case Applied(detail=detail):
            return f"applied: {detail}" if detail else "applied"
        case AlreadyInPlace(detail=detail):
            return f"already in place: {detail}" if detail else "already in place"
        case Refused(reason=reason):
            return f"refused: {reason}"
        case Failed(error=error):
            return f"failed: {error}"
        case Unverified(reason=reason):
            return f"unverified: {reason}"
    assert_never(outcome)


def _place(record: IntentRecord) -> str:
    return f"{record.intent.phase.value}.{record.intent.step}"


def _lease(each: Lease) -> LeaseRow:
    return LeaseRow(
        id=each.id,
        action=each.action,
        target_kind=each.target.kind,
        target=each.target.name,
        state=each.state,
        acquired=to_datetime(each.acquired_us),
        expires=to_datetime(each.expires_us),
        holders=each.holders,
        drifts=each.drifts,
        detail=each.detail,
        adopted=each.adopted,
    )


def _letter(each: DeadLetter) -> DeadLetterRow:
    return DeadLetterRow(
        number=each.id,
        at=to_datetime(each.at_us),
        source=each.source,
        topic=each.topic,
        reason=each.reason,
        payload_bytes=each.payload_bytes,
    )
