"""A database in which a run was poisoned and frozen under a lease, and a step waits for a person."""

import asyncio
from pathlib import Path

from engine.clock import SECOND_US, parse_time_us
from engine.model import (
    Applied,
    Event,
    Fault,
    Finding,
    Incident,
    IncidentState,
    IncidentType,
    Intent,
    IntentState,
    Lease,
    LeaseState,
    Phase,
    Plan,
    PlaybookId,
    RuleId,
    Severity,
    Signal,
    SignalId,
    Target,
    Verdict,
    incident_id,
    intent_id,
    lease_id,
    make_key,
)
from engine.store import deadletters, faults, incidents, intents, leases
from engine.store.connection import Connection
from engine.store.database import Store
from engine.store.deadletters import DeadLetter
from engine.store.intents import Hold, Move

START_US = parse_time_us("2026-01-01T00:05:21Z")
KEY = make_key({"run": "run-7"})
EVENT = Event(
    id="evt-321",
    source="trainer-1",
    type="training.batch",
    time_us=START_US,
    subject="run-7",
    data={"flipped": 3, "job_id": "17"},
)
INCIDENT = Incident(
    id=incident_id(IncidentType("data-poisoning"), KEY, EVENT.id),
    incident=IncidentType("data-poisoning"),
    rule=RuleId("poisoned-run"),
    severity=Severity.CRITICAL,
    key=KEY,
    state=IncidentState.OPEN,
    opened_us=START_US,
    updated_us=START_US,
    signals=(
        Signal(
            signal=SignalId("loss-spike"),
            key=KEY,
            at_us=START_US - SECOND_US,
            finding=Finding(detail="90 is far above", value=90.0, threshold=8.0, event_ids=("evt-301",)),
            event=Event(id="evt-301", source="trainer-1", type="training.step", time_us=START_US - SECOND_US),
            sources=("trainer-1",),
        ),
        Signal(
            signal=SignalId("label-flips"), key=KEY, at_us=START_US, finding=Finding(detail="20 in 5m"), event=EVENT
        ),
    ),
    absorbed=3,
    playbook=PlaybookId("halt-training"),
    tags=("atlas:AML.T0020",),
)
TARGET = Target(kind="training", name="pid 4242 started 918273")


def _intent(phase: Phase, step: int, action: str, verdict: Verdict = Verdict.ENFORCE, reason: str = "") -> Intent:
    return Intent(
        id=intent_id(INCIDENT.id, phase, step, action),
        incident=INCIDENT.id,
        incident_type=INCIDENT.incident,
        rule=INCIDENT.rule,
        key=KEY,
        severity=INCIDENT.severity,
        phase=phase,
        step=step,
        action=action,
        params={"pid": 4242},
        verdict=verdict,
        at_us=START_US + 1_000,
        reason=reason,
        trigger_us=START_US,
    )


FREEZE = _intent(Phase.CONTAIN, 0, "process.freeze")
ROTATE = _intent(Phase.CONTAIN, 1, "file.rotate-token")
RESTORE = _intent(Phase.RECOVER, 0, "model.restore", Verdict.HOLD, "the step asks for approval")
LEASE = Lease(
    id=lease_id("process.freeze", TARGET),
    action="process.freeze",
    target=TARGET,
    params={"pid": 4242},
    receipt={"root": "4242"},
    intent=FREEZE.id,
    holders=(INCIDENT.id,),
    state=LeaseState.IN_FORCE,
    acquired_us=START_US + 20_000,
    expires_us=START_US + 86_400 * SECOND_US,
)


def fill(db: Connection) -> None:
    """Write all of the above as the daemon would."""
    incidents.put(db, INCIDENT, at_us=INCIDENT.opened_us)
    for intent in (FREEZE, ROTATE, RESTORE):
        intents.put(db, intent, received_us=START_US + 500, matched_us=START_US + 1_000)
    plan = Plan(target=TARGET, would="stop python (pid 4242), 1 processes")
    started, applying, applied = [IntentState.INTENDED], [IntentState.APPLYING], [IntentState.APPLIED]
    moves = (
        (
            FREEZE,
            started,
            Move(to=IntentState.APPLYING, at_us=START_US + 8_000, plan=plan, durable_us=START_US + 4_000),
        ),
        (
            FREEZE,
            applying,
            Move(to=IntentState.APPLIED, at_us=START_US + 12_000, outcome=Applied(receipt={}), tried=True),
        ),
        (FREEZE, applied, Move(to=IntentState.VERIFIED, at_us=START_US + 16_500, reason="1 stopped", lease=LEASE.id)),
        (ROTATE, started, Move(to=IntentState.REFUSED, at_us=START_US + 9_000, reason="protected: owner is `core`")),
        (
            RESTORE,
            started,
            Move(
                to=IntentState.HELD,
                at_us=START_US + 9_500,
                reason="the step asks for approval",
                hold=Hold.APPROVAL,
                hold_until_us=START_US + 900 * SECOND_US,
            ),
        ),
    )
    for intent, expected, move in moves:
        intents.move(db, intent.id, expected=expected, change=move)
    leases.acquire(db, LEASE, at_us=LEASE.acquired_us)
    incidents.move(db, INCIDENT.id, IncidentState.CONTAINED, at_us=START_US + 20_000, who="halon")
    fault = Fault(
        owner="signal.loss-spike", field="value", reason="no such key: loss", at_us=START_US, event_id="evt-9"
    )
    faults.put(db, fault, count=4)
    deadletters.put(
        db,
        DeadLetter(at_us=START_US, source="local", topic="halon/events/x", reason="not JSON", payload=b"{\x1b[31m\xff"),
        kept_max=10,
    )


def make_database(path: Path) -> Path:
    """The database at `path`, closed again."""

    async def write() -> None:
        store = await Store.open(path)
        await store.write(fill)
        await store.close()

    asyncio.run(write())
    return path
