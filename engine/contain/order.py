"""The intents of one incident, as the store has them, to what is to be done next: pure, and asked after every step.

Phases run one after the other, steps of a phase in order, evidence before what destroys it. A phase that waits for
someone does not keep the next from being investigated; nothing is recovered before the incident is contained.
`engine.contain.executor` calls `next_move` until there is nothing to do.
"""

from collections.abc import Callable, Sequence, Set

from engine.model import IncidentState, IntentId, IntentState, OnFailure, Phase, Struct
from engine.store.intents import IntentRecord

EVIDENCE = "evidence"
"""The target kind whose steps come first in a phase."""


class Run(Struct, frozen=True):
    """Carry this step on."""

    record: IntentRecord


class Wait(Struct, frozen=True):
    """Hold this step back: the incident is not contained."""

    record: IntentRecord


class Skip(Struct, frozen=True):
    """Give these steps up."""

    records: tuple[IntentRecord, ...]
    reason: str


class Undo(Struct, frozen=True):
    """Take this step's effect back, because a later one failed."""

    record: IntentRecord
    reason: str


NextMove = Run | Wait | Skip | Undo

_GOOD = {IntentState.VERIFIED, IntentState.OBSERVED}
_BAD = {IntentState.FAILED, IntentState.REFUSED, IntentState.UNVERIFIED}
_READY = {IntentState.INTENDED, IntentState.APPLYING, IntentState.APPLIED}


def next_move(
    incident: IncidentState,
    records: Sequence[IntentRecord],
    *,
    kind_of: Callable[[str], str],
    undone: Set[IntentId] = frozenset(),
) -> NextMove | None:
    """What to do now for an incident; None when all is settled or waits for someone.

    `kind_of` gives the target kind of an action; `undone` are steps whose undoing was tried already.
    """
    if incident is IncidentState.CLOSED:
        left = tuple(each for each in records if each.state in {IntentState.INTENDED, IntentState.HELD})
        return Skip(records=left, reason="the incident was closed") if left else _first_ready(records)
    contains = any(each.intent.phase is Phase.CONTAIN for each in records)
    for phase in Phase:
        steps = sorted(
            (each for each in records if each.intent.phase is phase),
            key=lambda each: (kind_of(each.intent.action) != EVIDENCE, each.intent.step),
        )
        move = _next_in_phase(steps, kind_of, undone)
        if isinstance(move, Run) and phase is Phase.RECOVER and contains and incident is IncidentState.OPEN:
            observed = move.record.intent.verdict == "observe"
            return move if observed or move.record.state is not IntentState.INTENDED else Wait(record=move.record)
        if move is not None:
            return move
    return None


def _next_in_phase(
    steps: Sequence[IntentRecord], kind_of: Callable[[str], str], undone: Set[IntentId]
) -> NextMove | None:
    for place, step in enumerate(steps):
        if step.state in _READY:
            return Run(record=step)
        if step.state is IntentState.HELD and step.intent.on_failure is not OnFailure.CONTINUE:
            return None
        if step.state in _BAD:
            move = _after_failure(steps, place, kind_of, undone)
            if move is not None:
                return move
            if _stops(step, kind_of):
                return None
    return None


def _after_failure(
    steps: Sequence[IntentRecord], place: int, kind_of: Callable[[str], str], undone: Set[IntentId]
) -> NextMove | None:
    """Undo backwards, then give up the rest, as the failed step's `on_failure` says."""
    failed = steps[place]
    if not _stops(failed, kind_of):
        return None
    reason = f"step {failed.intent.step + 1} ({failed.intent.action}) was {failed.state.value}"
    if failed.intent.on_failure is OnFailure.UNDO:
        for step in reversed(steps[: place + 1]):
            in_force = step.state in {IntentState.VERIFIED, IntentState.UNVERIFIED} and step.lease is not None
            if in_force and step.intent.id not in undone:
                return Undo(record=step, reason=reason)
    left = tuple(step for step in steps[place + 1 :] if step.state in {IntentState.INTENDED, IntentState.HELD})
    return Skip(records=left, reason=reason) if left else None


def _stops(failed: IntentRecord, kind_of: Callable[[str], str]) -> bool:
    """Whether a failure ends its phase. Evidence that could not be captured never keeps a fire from being put out."""
    if failed.intent.on_failure is OnFailure.STOP:
        return kind_of(failed.intent.action) != EVIDENCE
    return failed.intent.on_failure is OnFailure.UNDO


def _first_ready(records: Sequence[IntentRecord]) -> NextMove | None:
    """What was begun before an incident was closed is brought to its end."""
    begun = (each for each in records if each.state in {IntentState.APPLYING, IntentState.APPLIED})
    return next((Run(record=each) for each in begun), None)
