"""A rule that fired, and its playbook, to intents: the steps with their parameters evaluated and a verdict on each.

`engine.core` calls this; the rules are those of docs/rules.md, Exact meaning, 27 to 29. Nothing here acts: guards stand
at the moment of acting, in `engine.contain`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from engine.cel.contract import CelFault, Scope
from engine.cel.template import Template, evaluate
from engine.model import Event, Fault, Incident, Intent, Json, Mode, Phase, Signal, Struct, Verdict, intent_id
from engine.rulefile.rules import Playbook, Rule, Step

WAITS_FOR_APPROVAL = "waits for approval"


class Decided(Struct, frozen=True):
    """Intents to execute or hold, steps left out by their `when` (as intents with the reason), and faults."""

    intents: tuple[Intent, ...] = ()
    skipped: tuple[Intent, ...] = ()
    faults: tuple[Fault, ...] = ()


def decide(
    playbook: Playbook,
    *,
    incident: Incident,
    rule: Rule,
    completing: Signal,
    matched: Iterable[Signal],
    at_us: int,
    mode: Mode,
    steps_before: tuple[int, int, int] = (0, 0, 0),
) -> Decided:
    """The steps of `playbook` for `incident`, decided at `at_us` because `rule` fired.

    `mode` is the daemon's; `steps_before` counts the steps of each phase that were decided for the incident before, so
    that every step has an id of its own.
    """
    signals = _newest((*incident.signals, *matched))
    scope = Scope(event=_event(completing, matched), incident=incident, signals=signals)
    observing = Mode.OBSERVE in (mode, rule.mode)
    intents: list[Intent] = []
    skipped: list[Intent] = []
    faults: list[Fault] = []
    phases = (
        (Phase.CONTAIN, playbook.contain),
        (Phase.INVESTIGATE, playbook.investigate),
        (Phase.RECOVER, playbook.recover),
    )
    for (phase, steps), before in zip(phases, steps_before, strict=True):
        for place, step in enumerate(steps, start=before):
            wanted, params, problem = _evaluate_step(step, scope)
            verdict, reason = _verdict(step, observing=observing, problem=problem)
            if not wanted:
                verdict, reason = Verdict.HOLD, f"skipped: `{step.when.source if step.when else ''}` is false"
            intent = Intent(
                id=intent_id(incident.id, phase, place, step.action),
                incident=incident.id,
                incident_type=incident.incident,
                rule=rule.id,
                key=incident.key,
                severity=incident.severity,
                phase=phase,
                step=place,
                action=step.action,
                params=params,
                verdict=verdict,
                at_us=at_us,
                reason=reason,
                on_failure=step.on_failure,
                hold_us=step.hold_us,
                timeout_us=step.timeout_us,
                retries=step.retries,
                # What has no parameters cannot be approved.
                approve=step.approve and problem is None,
                trigger_us=at_us,
            )
            (intents if wanted else skipped).append(intent)
            if problem is not None:
                field = f"{phase.value}[{place - before}].{problem.field}"
                faults.append(
                    Fault(owner=rule.id, field=field, reason=problem.reason, at_us=at_us, event_id=_id_of(scope.event))
                )
    return Decided(tuple(intents), tuple(skipped), tuple(faults))


class _Problem(Struct, frozen=True):
    """What of a step could not be evaluated, and why."""

    field: str
    reason: str


def _evaluate_step(step: Step, scope: Scope) -> tuple[bool, dict[str, Json], _Problem | None]:
    """Whether the step is wanted, its parameters (empty if they have a problem), and the problem."""
    if step.when is not None:
        try:
            if not step.when.evaluate(scope):
                return False, {}, None
        except CelFault as fault:
            return True, {}, _Problem("when", str(fault))
    params: dict[str, Json] = {}
    for name, value in step.params.items():
        try:
            params[name] = _fill(value, scope)
        except CelFault as fault:
            return True, {}, _Problem(name, str(fault))
    return True, params, None


def _fill(value: Any, scope: Scope) -> Json:
    """A parameter with every template in it evaluated."""
    match value:
        case Template():
            return evaluate(value, scope)
        case list() | tuple():
            return [_fill(each, scope) for each in value]
        case Mapping():
            return {name: _fill(each, scope) for name, each in value.items()}
        case _:
            plain: Json = value
            return plain


def _verdict(step: Step, *, observing: bool, problem: _Problem | None) -> tuple[Verdict, str]:
    if problem is not None:
        return Verdict.HOLD, f"`{problem.field}` can't be evaluated: {problem.reason}"
    if observing:
        return Verdict.OBSERVE, ""
    if step.approve:
        return Verdict.HOLD, WAITS_FOR_APPROVAL
    return Verdict.ENFORCE, ""


def _event(completing: Signal, matched: Iterable[Signal]) -> Event | None:
    """The event that completed the match; where a timer did, the newest event behind it."""
    if completing.event is not None:
        return completing.event
    with_event = [each for each in matched if each.event is not None]
    return max(with_event, key=lambda each: each.at_us).event if with_event else None


def _newest(signals: Iterable[Signal]) -> dict[str, Signal]:
    """The newest signal of each name."""
    newest: dict[str, Signal] = {}
    for signal in signals:
        known = newest.get(signal.signal)
        if known is None or signal.at_us >= known.at_us:
            newest[signal.signal] = signal
    return newest


def _id_of(event: Event | None) -> str:
    return "" if event is None else event.id
