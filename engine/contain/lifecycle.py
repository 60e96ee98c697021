"""How far an incident has come, from what became of its steps: pure; in words: docs/incidents.md, Exact meaning.

`engine.contain.chronicle` asks after every move of a step, `engine.contain.order` before it lets one recover, and
`engine.contain.steering` what a person may say.
"""

from collections.abc import Iterable, Sequence

from engine.model import IncidentState, IntentState, OnFailure, Phase, Struct
from engine.store.incidents import Stage
from engine.store.intents import Hold, Progress

_PENDING = {IntentState.INTENDED, IntentState.APPLYING, IntentState.APPLIED, IntentState.HELD}
_BAD = {IntentState.FAILED, IntentState.REFUSED, IntentState.UNVERIFIED}
_BEGUN = {
    IntentState.APPLYING,
    IntentState.APPLIED,
    IntentState.VERIFIED,
    IntentState.FAILED,
    IntentState.REFUSED,
    IntentState.UNVERIFIED,
}
_BY_PEOPLE = {
    IncidentState.OPEN: (IncidentState.INVESTIGATING, IncidentState.RECOVERING),
    IncidentState.CONTAINED: (IncidentState.INVESTIGATING, IncidentState.RECOVERING),
    IncidentState.INVESTIGATING: (IncidentState.RECOVERING,),
    IncidentState.RECOVERING: (IncidentState.INVESTIGATING,),
    IncidentState.CLOSED: (),
}


class Transition(Struct, frozen=True):
    """Where the incident goes by itself, and why."""

    to: IncidentState
    reason: str


class Waits(Struct, frozen=True):
    """Why nothing is recovered yet."""

    hold: Hold
    reason: str


def present(stage: Stage, steps: Iterable[Progress]) -> list[Progress]:
    """The steps of the incident's present life that count: not of one before it was reopened, and not left out."""
    first = dict(zip(Phase, stage.steps_from, strict=True))
    return [each for each in steps if each.step >= first[each.phase] and each.state is not IntentState.SKIPPED]


def next_transition(stage: Stage, steps: Sequence[Progress]) -> Transition | None:
    """Where the incident goes by itself now; asked again after each, until there is nothing."""
    counting = present(stage, steps)
    match stage.state:
        case IncidentState.OPEN:
            if is_contained(counting):
                return Transition(IncidentState.CONTAINED, "every contain step was read back from its target")
        case IncidentState.CONTAINED:
            begun = _begun(counting, Phase.INVESTIGATE)
            if begun is not None:
                return Transition(IncidentState.INVESTIGATING, _began(begun))
            if stage.acked_by:
                return Transition(IncidentState.INVESTIGATING, f"{stage.acked_by} looks after it")
            begun = _begun(counting, Phase.RECOVER)
            if begun is not None:
                return Transition(IncidentState.RECOVERING, _began(begun))
        case IncidentState.INVESTIGATING:
            begun = _begun(counting, Phase.RECOVER)
            if begun is not None:
                return Transition(IncidentState.RECOVERING, _began(begun))
        case IncidentState.RECOVERING | IncidentState.CLOSED:
            pass
    return None


def is_contained(counting: Sequence[Progress]) -> bool:
    """Whether there are contain steps, each verified, and what they hold is in force."""
    contain = [each for each in counting if each.phase is Phase.CONTAIN]
    return bool(contain) and all(each.state is IntentState.VERIFIED and each.in_force for each in contain)


def is_recovered(stage: Stage, steps: Sequence[Progress]) -> bool:
    """Whether the incident recovers, and each of its recover steps was read back from its target."""
    recover = [each for each in present(stage, steps) if each.phase is Phase.RECOVER]
    verified = bool(recover) and all(each.state is IntentState.VERIFIED for each in recover)
    return stage.state is IncidentState.RECOVERING and verified


def recovery_waits(stage: Stage, steps: Sequence[Progress]) -> Waits | None:
    """Why no recover step may be taken yet; None where one may.

    A person who moves the incident to `recovering` says that it may.
    """
    if stage.state in {IncidentState.RECOVERING, IncidentState.CLOSED}:
        return None
    counting = present(stage, steps)
    if stage.state is IncidentState.OPEN and any(each.phase is Phase.CONTAIN for each in counting):
        return Waits(Hold.CONTAINMENT, "the incident is not contained")
    for each in counting:
        if each.phase is not Phase.INVESTIGATE:
            continue
        where = f"investigate step {each.step + 1} ({each.action})"
        if each.state in _PENDING:
            return Waits(Hold.INVESTIGATION, f"{where} is not done: it is {each.state.value}")
        if each.state in _BAD and each.on_failure is not OnFailure.CONTINUE:
            return Waits(Hold.INVESTIGATION, f"{where} was {each.state.value}, so that what happened is not known")
    return None


def objection(state: IncidentState, to: IncidentState, *, reason: str) -> str | None:
    """Why a person may not move an incident from `state` to `to`; None where they may."""
    allowed = _BY_PEOPLE[state]
    if to in allowed:
        if state is IncidentState.OPEN and not reason:
            return "it is not contained: say why it goes on all the same with --reason"
        return None
    if state is to:
        return f"it is {state.value} already"
    if state is IncidentState.CLOSED:
        return "it is closed; `halon incidents reopen` opens it again"
    match to:
        case IncidentState.CONTAINED:
            return "`contained` is what Halon read back from every target; a person moves it to `investigating`"
        case IncidentState.OPEN:
            return "an incident goes back to `open` by itself, where its containment is lost"
        case IncidentState.CLOSED:
            return "`halon incidents close` ends it, with how it ended"
        case _:
            listed = " or ".join(f"`{each.value}`" for each in allowed)
            return f"it is {state.value}, from where a person moves it to {listed}"


def following(state: IncidentState) -> IncidentState | None:
    """Where `halon incidents advance` moves an incident if it is not told; None where closing is what is left."""
    match state:
        case IncidentState.OPEN | IncidentState.CONTAINED:
            return IncidentState.INVESTIGATING
        case IncidentState.INVESTIGATING:
            return IncidentState.RECOVERING
        case _:
            return None


def _begun(counting: Sequence[Progress], phase: Phase) -> Progress | None:
    """The first step of a phase that has begun."""
    return next((each for each in counting if each.phase is phase and each.state in _BEGUN), None)


def _began(step: Progress) -> str:
    return f"{step.phase.value} step {step.step + 1} ({step.action}) began"
