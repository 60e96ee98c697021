"""Everything that one batch of events changed to one transaction: the pipeline's side of the order of durability.

The pipeline makes a `BatchChanges` of what intake and the core gave it and hands `commit_batch` to `Store.write`.
Committing the same batch twice (after a failure that came too late to tell) changes nothing the second time, except
that faults and dead letters are counted again.
"""

import sqlite3

from engine.model import Fault, Incident, Intent, IntentState, Phase, Struct
from engine.statechange import StateChange
from engine.store import deadletters, faults, incidents, intents, seen, state, timers
from engine.store.deadletters import DeadLetter
from engine.store.timers import Timer


class BatchChanges(Struct, frozen=True):
    """What one batch changed.

    `at_us` is when its first message arrived (by which deduplication is counted), `matched_us` when the core had judged
    it; `seen` holds `seen.digest` of each new event; `facts` are single values such as the core's clock; `skipped` are
    steps that their own `when` left out.
    """

    at_us: int
    matched_us: int
    seen: tuple[bytes, ...] = ()
    states: tuple[StateChange, ...] = ()
    facts: tuple[tuple[str, bytes], ...] = ()
    incidents: tuple[Incident, ...] = ()
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


def commit_batch(connection: sqlite3.Connection, batch: BatchChanges, limits: BatchLimits) -> None:
    """Write all of a batch, in the transaction that is open."""
    seen.put(connection, batch.seen, batch.at_us)
    seen.prune(connection, before_us=batch.at_us - limits.dedup_horizon_us)
    state.put(connection, batch.states)
    for name, body in batch.facts:
        state.put_fact(connection, name, body)
    for incident in batch.incidents:
        if incidents.put(connection, incident, at_us=batch.matched_us):
            _set_deadlines(connection, incident, limits, since_us=batch.matched_us)
    for intent in batch.intents:
        intents.put(connection, intent, received_us=batch.at_us, matched_us=batch.matched_us)
    for intent in batch.skipped:
        intents.put(connection, intent, received_us=batch.at_us, matched_us=batch.matched_us, state=IntentState.SKIPPED)
    for timer in batch.timers:
        timers.put(connection, timer)
    _put_faults(connection, batch.faults)
    for letter in batch.deadletters:
        deadletters.put(connection, letter, kept_max=limits.deadletters_max)


def _set_deadlines(connection: sqlite3.Connection, incident: Incident, limits: BatchLimits, *, since_us: int) -> None:
    """The clock of a new incident: each deadline is a timer that `engine.contain` looks at when it is due.

    It runs from when the incident was found, not from its events' time: nobody can be late before knowing.
    """
    for phase, within_us in (
        (Phase.CONTAIN, limits.contain_within_us),
        (Phase.INVESTIGATE, limits.investigate_within_us),
        (Phase.RECOVER, limits.recover_within_us),
    ):
        timers.put(
            connection,
            Timer(
                name=f"{timers.DEADLINE}{phase.value}:{incident.id}",
                due_us=since_us + within_us,
                body={"incident": incident.id, "phase": phase.value, "within_us": within_us},
            ),
        )


def _put_faults(connection: sqlite3.Connection, found: tuple[Fault, ...]) -> None:
    """One row per kind of fault, however many events of the batch had it."""
    kinds: dict[tuple[str, str, str], list[Fault]] = {}
    for fault in found:
        kinds.setdefault((fault.owner, fault.field, faults.kind_of(fault.reason)), []).append(fault)
    for same in kinds.values():
        faults.put(connection, same[-1], count=len(same), first_us=same[0].at_us)
