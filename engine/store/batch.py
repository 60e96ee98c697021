"""Everything that one batch of events changed to one transaction: the pipeline's side of the order of durability.

The pipeline makes a `BatchChanges` of what intake and the core gave it and hands `commit_batch` to `Store.write`.
Committing the same batch twice (after a failure that came too late to tell) changes nothing the second time, except
that faults and dead letters are counted again.
"""

import sqlite3

from engine.model import Event, Fault, Incident, IncidentId, IncidentState, Intent, IntentState, Mode, Phase, Struct
from engine.statechange import StateChange
from engine.store import deadletters, deadlines, faults, incidents, intents, recorder, seen, state, timers
from engine.store.deadletters import DeadLetter
from engine.store.recorder import RecorderLimits
from engine.store.timers import Timer


class BatchChanges(Struct, frozen=True):
    """What one batch changed.

    `at_us` is when its first message arrived (by which deduplication is counted), `matched_us` when the core had judged
    it; `seen` holds `seen.digest` of each new event, `events` the events themselves for the flight recorder; `facts`
    are single values such as the core's clock; `reopened` names those of `incidents` that were closed; `skipped` are
    steps that their own `when` left out.
    """

    at_us: int
    matched_us: int
    seen: tuple[bytes, ...] = ()
    states: tuple[StateChange, ...] = ()
    facts: tuple[tuple[str, bytes], ...] = ()
    events: tuple[Event, ...] = ()
    incidents: tuple[Incident, ...] = ()
    reopened: tuple[IncidentId, ...] = ()
    intents: tuple[Intent, ...] = ()
    skipped: tuple[Intent, ...] = ()
    timers: tuple[Timer, ...] = ()
    faults: tuple[Fault, ...] = ()
    deadletters: tuple[DeadLetter, ...] = ()


class BatchLimits(Struct, frozen=True):
    """The bounds from config.toml that committing keeps."""

    dedup_horizon_us: int = 3_600_000_000
    deadletters_max: int = 1_000
    contain_within_us: int = 900_000_000
    investigate_within_us: int = 7_200_000_000
    recover_within_us: int = 86_400_000_000
    recorder: RecorderLimits = RecorderLimits()
    pin_after_us: int = 60_000_000


def commit_batch(connection: sqlite3.Connection, batch: BatchChanges, limits: BatchLimits) -> None:
    """Write all of a batch, in the transaction that is open."""
    seen.put(connection, batch.seen, batch.at_us)
    seen.prune(connection, before_us=batch.at_us - limits.dedup_horizon_us)
    state.put(connection, batch.states)
    for name, body in batch.facts:
        state.put_fact(connection, name, body)
    recorder.put(connection, batch.events, batch.at_us, limits.recorder)
    for incident in batch.incidents:
        _put_incident(connection, incident, batch, limits)
    for intent in batch.intents:
        intents.put(connection, intent, received_us=batch.at_us, matched_us=batch.matched_us)
    for intent in batch.skipped:
        intents.put(connection, intent, received_us=batch.at_us, matched_us=batch.matched_us, state=IntentState.SKIPPED)
    for timer in batch.timers:
        timers.put(connection, timer)
    _put_faults(connection, batch.faults)
    for letter in batch.deadletters:
        deadletters.put(connection, letter, kept_max=limits.deadletters_max)


def _put_incident(connection: sqlite3.Connection, incident: Incident, batch: BatchChanges, limits: BatchLimits) -> None:
    """An incident as the core has it; one that is new, or open again, has its clock set and its events kept."""
    at_us = batch.matched_us
    fresh = incidents.put(connection, incident, at_us=at_us)
    if incident.id in batch.reopened:
        times = "once" if incident.reopened == 1 else f"{incident.reopened} times"
        reason = f"it came again after it was closed, {times} in all"
        fresh |= incidents.move(connection, incident.id, IncidentState.OPEN, at_us=at_us, who="halon", reason=reason)
    # Nobody is asked to hurry for what is only tried out; a rule that enforces may join later.
    if incident.mode is Mode.ENFORCE and (fresh or not deadlines.of_incident(connection, incident.id)):
        for phase, within_us in (
            (Phase.CONTAIN, limits.contain_within_us),
            (Phase.INVESTIGATE, limits.investigate_within_us),
            (Phase.RECOVER, limits.recover_within_us),
        ):
            # It runs from when the incident was found, not from its events' time: nobody is late before knowing.
            deadlines.start(connection, incident.id, phase, at_us=at_us, within_us=within_us)
    if fresh and limits.recorder.events_max:
        # What came before is kept at once, since the recorder may soon go on; what comes after, when it has come.
        for name, due_us in (("before", at_us), ("after", at_us + limits.pin_after_us)):
            pin = Timer(name=f"{timers.PIN}{name}:{incident.id}", due_us=due_us, body={"incident": incident.id})
            timers.put(connection, pin)


def _put_faults(connection: sqlite3.Connection, found: tuple[Fault, ...]) -> None:
    """One row per kind of fault, however many events of the batch had it."""
    kinds: dict[tuple[str, str, str], list[Fault]] = {}
    for fault in found:
        kinds.setdefault((fault.owner, fault.field, faults.kind_of(fault.reason)), []).append(fault)
    for same in kinds.values():
        faults.put(connection, same[-1], count=len(same), first_us=same[0].at_us)
