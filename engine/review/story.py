"""A review to its story: one line for each thing that was seen, decided, done or refused, in the order of time."""

from collections.abc import Iterator
from datetime import datetime

from engine.clock import SECOND_US, format_duration
from engine.model import IntentState, Struct
from engine.operate.contract import StepView
from engine.operate.reviews import Review

REPEATS_SHOWN_MAX = 3
"""Of one signal, the first ones are told; the others are counted in a line."""
_TOLD = {
    IntentState.VERIFIED: "verified at the target",
    IntentState.HELD: "held",
    IntentState.REFUSED: "refused",
    IntentState.FAILED: "failed",
    IntentState.UNVERIFIED: "NOT verified",
    IntentState.SKIPPED: "skipped",
    IntentState.UNDONE: "undone",
    IntentState.OBSERVED: "only looked at",
}


class Line(Struct, frozen=True):
    """One line: when, how long after the incident's first event, what kind of thing, and what."""

    at: datetime
    after: str
    kind: str
    text: str


def tell(review: Review) -> tuple[Line, ...]:
    """The story, oldest first; of equal times, what was seen before what was done about it."""
    lines = sorted([*_seen(review), *_moved(review), *_done(review), *_told(review)], key=lambda each: each[0])
    began = beginning(review)
    return tuple(Line(at=at, after=after(began, at), kind=kind, text=text) for at, kind, text in lines)


def beginning(review: Review) -> datetime:
    """When it began, as far as is known: the oldest event among the evidence."""
    times = [each.event.time if each.event is not None else each.at for each in review.detail.evidence]
    if review.recorded is not None:
        named = {name for each in review.detail.evidence for name in each.event_ids}
        times += [each.event.time for each in review.recorded.events if each.event.id in named]
    return min([review.detail.incident.opened, *times])


def after(began: datetime, at: datetime) -> str:
    """`+1m30s` since the beginning; milliseconds within the first minute."""
    micros = round((at - began).total_seconds() * 1_000_000)
    unit = 1_000 if abs(micros) < 60 * SECOND_US else SECOND_US
    rounded = micros // unit * unit
    return f"+{format_duration(rounded)}" if rounded >= 0 else f"-{format_duration(-rounded)}"


_Raw = tuple[datetime, str, str]


def _seen(review: Review) -> Iterator[_Raw]:
    counts: dict[str, int] = {}
    for each in review.detail.evidence:
        counts[each.signal] = counts.get(each.signal, 0) + 1
        if counts[each.signal] <= REPEATS_SHOWN_MAX:
            figures = (
                "" if each.value is None or each.threshold is None else f" ({each.value:g} against {each.threshold:g})"
            )
            source = f", from {each.event.source}" if each.event is not None else ""
            yield each.at, "signal", f"{each.signal}: {each.detail}{figures}{source}"
    more = review.detail.incident.signals - sum(min(count, REPEATS_SHOWN_MAX) for count in counts.values())
    if more > 0:
        yield review.detail.incident.updated, "signal", f"{more} more signals of the same kind by then"


def _moved(review: Review) -> Iterator[_Raw]:
    for each in review.moments:
        who = "" if each.who == "halon" else f" by {each.who}"
        yield each.at, "incident", f"{each.what}{who}{f': {each.reason}' if each.reason else ''}"


def _done(review: Review) -> Iterator[_Raw]:
    for step in review.detail.steps:
        name = f"{step.place} {step.action}"
        aim = f" on {step.target}" if step.target else ""
        yield step.decided, "step", f"{name} decided ({step.verdict.value}){aim}"
        for move in step.transitions:
            if move.state in _TOLD:
                yield move.at, "step", f"{name} {_TOLD[move.state]}{_because(step, move.state, move.reason)}"


def _because(step: StepView, state: IntentState, reason: str) -> str:
    took = next((each.after_ms for each in step.stations if each.name == "verified"), None)
    late = f", {took / 1_000:.3g} s after its event" if state is IntentState.VERIFIED and took is not None else ""
    return f"{late}{f': {reason}' if reason else ''}"


def _told(review: Review) -> Iterator[_Raw]:
    for each in review.notices:
        yield (
            each.at,
            "notice",
            f"{each.channel}: {each.title} ({each.state}{f', {each.detail}' if each.detail else ''})",
        )
