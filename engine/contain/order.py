"""The intents of one incident, as the store has them, to what is to be done next: pure, and asked after every step.

Phases run one after the other, steps of a phase in order, evidence before what destroys it. A containment that waits
for someone does not keep the incident from being investigated; nothing is recovered before it is contained and
investigated, or a person says that it may be (`engine.contain.lifecycle`).
`engine.contain.executor` calls `next_move` until there is nothing to do.
"""

from collections.abc import Callable, Sequence, Set

from engine.contain.lifecycle import Waits
from engine.model import IncidentState, IntentId, IntentState, OnFailure, Phase, Struct
from engine.store.incidents import Stage
from engine.store.intents import Hold, IntentRecord

EVIDENCE = "evidence"
"""The target kind whose steps come first in a phase."""


class Run(Struct, frozen=True):
    """Carry this step on."""

    record: IntentRecord


class Wait(Struct, frozen=True):
    """Hold this step back: what comes before it is not done."""

    record: IntentRecord
    hold: Hold
    reason: str


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
    stage: Stage,
    records: Sequence[IntentRecord],
    waits: Waits | None,
    *,
    kind_of: Callable[[str], str],
    undone: Set[IntentId] = frozenset(),
) -> NextMove | None:
    """What to do now for an incident; None when all is settled or waits for someone.

    `waits` says why nothing may be recovered yet; `kind_of` gives the target kind of an action; `undone` are steps
    whose undoing was tried already.
    """
    first = dict(zip(Phase, stage.steps_from, strict=True))
    earlier = [each for each in records if each.intent.step < first[each.intent.phase]]
    if stage.state is IncidentState.CLOSED:
        return _wind_up(records, "the incident was closed")
    move = _wind_up(earlier, "the incident was closed, and reopened since")
    if move is not None:
        return move
    for phase in Phase:
        steps = sorted(
            (each for each in records if each.intent.phase is phase and each.intent.step >= first[phase]),
            key=lambda each: (kind_of(each.intent.action) != EVIDENCE, each.intent.step),
        )
        move = _next_in_phase(steps, kind_of, undone)
        if isinstance(move, Run) and phase is Phase.RECOVER and waits is not None:
            observed = move.record.intent.verdict == "observe"
            begins = move.record.state is IntentState.INTENDED and not observed
            return Wait(record=move.record, hold=waits.hold, reason=waits.reason) if begins else move
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


def _wind_up(records: Sequence[IntentRecord], reason: str) -> NextMove | None:
    """What was begun is brought to its end; what was not is given up."""
    left = tuple(each for each in records if each.state in {IntentState.INTENDED, IntentState.HELD})
    if left:
        return Skip(records=left, reason=reason)
    begun = (each for each in records if each.state in {IntentState.APPLYING, IntentState.APPLIED})
    return next((Run(record=each) for each in begun), None)
