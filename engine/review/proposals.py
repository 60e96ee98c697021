"""A review to what should change: concrete proposals, each with what happened that asks for it.

The areas are those of the post-incident analysis that handbooks ask for: detection, procedures, training and controls
to improve; playbooks, policies, guidelines and recovery to bring up to date. An area of which nothing went wrong gets
no proposal: invented work hides the real.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from enum import StrEnum

from engine.model import IntentState, Mode, Phase, Struct
from engine.operate.reviews import Review
from engine.operate.shown import StepView
from engine.review.story import was_kept

LATE_S = 60.0
"""An event that was received so long after its time came late."""
SLOW_S = 30.0
"""Containment that took longer from event to verified is slow."""
ALONE_MIN = 1
REPEATED_MIN = 2
"""Other incidents of the same kind and key from which on it repeats itself."""


class Area(StrEnum):
    """What a proposal is about."""

    DETECTION = "detection mechanisms"
    PROCEDURES = "response procedures"
    TRAINING = "training and awareness"
    CONTROLS = "security controls"
    PLAYBOOKS = "incident response playbooks"
    POLICIES = "security policies"
    GUIDELINES = "monitoring guidelines"
    RECOVERY = "recovery procedures"


class Proposal(Struct, frozen=True):
    """What to do, in which area, and what happened that asks for it."""

    area: Area
    do: str
    because: str


def propose(review: Review) -> tuple[Proposal, ...]:
    """All proposals, in the order of the areas."""
    found = [each for finder in _FINDERS for each in finder(review)]
    return tuple(sorted(found, key=lambda each: list(Area).index(each.area)))


def _false_positive(review: Review) -> Iterator[Proposal]:
    row = review.detail.incident
    if row.resolution.startswith("false"):
        yield Proposal(
            area=Area.DETECTION,
            do=f"make rule `{row.rule}` quiet for this: `halon test add {row.id}` writes the test that it must pass",
            because="it was closed as a false positive",
        )
        yield Proposal(
            area=Area.GUIDELINES,
            do=f"add what it looked like to `false_positives` of rule `{row.rule}`",
            because="who sees the next one should know of this one",
        )
    elif row.closed is not None:
        yield Proposal(
            area=Area.DETECTION,
            do=f"keep it as a rule test: `halon test add {row.id}`",
            because="a later change of the rules must still find it",
        )


def _late(review: Review) -> Iterator[Proposal]:
    waits = [each.after_ms for step in review.detail.steps for each in step.stations if each.name == "received"]
    if max(waits, default=0.0) > LATE_S * 1_000:
        yield Proposal(
            area=Area.GUIDELINES,
            do="have the source send sooner, or in smaller batches; see what holds its events back",
            because=f"the event that completed it was {max(waits) / 1_000:.0f} s old when it came",
        )


def _lone(review: Review) -> Iterator[Proposal]:
    sources = {source for each in review.detail.evidence for source in each.sources}
    sources |= {each.event.source for each in review.detail.evidence if each.event is not None}
    if len(sources) == ALONE_MIN and review.detail.evidence:
        yield Proposal(
            area=Area.DETECTION,
            do=f"find a second source for rule `{review.detail.incident.rule}`, and ask for both by `corroborate = 2`",
            because=f"all evidence came from {next(iter(sources))}: whoever controls it can set this off",
        )


def _slow(review: Review) -> Iterator[Proposal]:
    for step in review.detail.steps:
        took = next((each.after_ms for each in step.stations if each.name == "verified"), None)
        if step.phase is Phase.CONTAIN and took is not None and took > SLOW_S * 1_000:
            slowest = _slowest(step)
            yield Proposal(
                area=Area.PROCEDURES,
                do=f"make {step.action} quicker: most of the time went between {slowest[0]} and {slowest[1]}",
                because=f"{step.place} was verified {took / 1_000:.0f} s after its event",
            )


def _slowest(step: StepView) -> tuple[str, str]:
    pairs = list(zip(step.stations, step.stations[1:], strict=False))
    first, second = max(pairs, key=lambda each: each[1].after_ms - each[0].after_ms)
    return first.name, second.name


def _steps(review: Review) -> Iterator[Proposal]:
    for step in review.detail.steps:
        area = Area.RECOVERY if step.phase is Phase.RECOVER else Area.PLAYBOOKS
        match step.state:
            case IntentState.FAILED:
                do = f"mend {step.action}, and try it on purpose before the next incident does"
                yield Proposal(area=area, do=do, because=f"{step.place} failed: {step.reason}")
            case IntentState.UNVERIFIED:
                do = f"find out how {step.target or step.action} can be read back, and look whether it is in force"
                yield Proposal(area=area, do=do, because=f"{step.place} could not be verified: {step.reason}")
            case IntentState.REFUSED if "nobody approved" in step.reason:
                yield Proposal(
                    area=Area.TRAINING,
                    do="see that whoever may approve hears of it in time, and knows `halon approve`",
                    because=f"{step.place} ({step.action}) waited for a person until it was denied",
                )
            case IntentState.REFUSED:
                do = f"decide whether {step.action} should be allowed there, and say so in rule or guard"
                yield Proposal(area=Area.POLICIES, do=do, because=f"{step.place} was refused: {step.reason}")
            case IntentState.HELD if step.waits_for != "approval":
                do = f"decide whether the guard ({step.waits_for}) is right for this kind of incident"
                yield Proposal(area=Area.POLICIES, do=do, because=f"{step.place} is held: {step.reason}")
            case _:
                pass


def _no_playbook(review: Review) -> Iterator[Proposal]:
    phases = {step.phase for step in review.detail.steps}
    rule = review.detail.incident.rule
    if Phase.CONTAIN not in phases:
        because = "nothing was contained: the rule has no playbook, or it has no contain steps that applied"
        yield Proposal(area=Area.PLAYBOOKS, do=f"write contain steps for rule `{rule}`", because=because)
    elif Phase.INVESTIGATE not in phases:
        yield Proposal(
            area=Area.PLAYBOOKS,
            do=f"add `evidence.capture` or a `forensics.*` step to the playbook of rule `{rule}`",
            because="no step kept evidence",
        )
    if Phase.RECOVER not in phases and Phase.CONTAIN in phases:
        because = "the way back was left to whoever was there"
        yield Proposal(area=Area.RECOVERY, do=f"add recover steps to the playbook of rule `{rule}`", because=because)


def _observed(review: Review) -> Iterator[Proposal]:
    if review.detail.incident.mode is Mode.OBSERVE and not review.detail.incident.resolution.startswith("false"):
        yield Proposal(
            area=Area.POLICIES,
            do=f"let rule `{review.detail.incident.rule}` enforce",
            because="it was right, and only looked on",
        )


def _deadlines(review: Review) -> Iterator[Proposal]:
    for each in review.detail.deadlines:
        if was_kept(each) is False:
            yield Proposal(
                area=Area.TRAINING if each.phase is not Phase.CONTAIN else Area.PROCEDURES,
                do=f"practise the phase `{each.phase.value}` with those on call, or give it more time in config",
                because=f"its deadline of {each.due:%Y-%m-%d %H:%M:%S} UTC was missed",
            )


def _notices(review: Review) -> Iterator[Proposal]:
    failed = Counter(each.channel for each in review.detail.notices if each.state == "failed")
    for channel, count in failed.items():
        yield Proposal(
            area=Area.PROCEDURES,
            do=f"mend the channel `{channel}`, or name a second one",
            because=f"{count} of its notices did not arrive",
        )


def _leases(review: Review) -> Iterator[Proposal]:
    for each in review.detail.leases:
        if each.drifts:
            yield Proposal(
                area=Area.CONTROLS,
                do=f"find who changes {each.target}, and take the right to do so from them while it is contained",
                because=f"{each.action} was undone {each.drifts} times behind Halon's back",
            )


def _again(review: Review) -> Iterator[Proposal]:
    row = review.detail.incident
    same = [each for each in review.detail.related if (each.type, each.key) == (row.incident, row.key)]
    if len(same) >= REPEATED_MIN:
        yield Proposal(
            area=Area.CONTROLS,
            do=f"remove the cause of `{row.incident}` for {', '.join(row.key.values())}: containing is no cure",
            because=f"it is number {len(same) + 1} of its kind for this key",
        )


def _unrecorded(review: Review) -> Iterator[Proposal]:
    if review.recorded is None or review.recorded.left_out:
        lost = "no events were recorded around it"
        if review.recorded is not None:
            lost = f"{review.recorded.left_out} recorded events had no room"
        yield Proposal(
            area=Area.GUIDELINES, do="give the flight recorder more room ([recorder] in config.toml)", because=lost
        )


_FINDERS: tuple[Callable[[Review], Iterator[Proposal]], ...] = (
    _false_positive, _late, _lone, _slow, _steps, _no_playbook, _observed, _deadlines, _notices, _leases, _again,
    _unrecorded,
)  # fmt: skip
