"""The recorded events of a review, and the rules, to what the signals behind it looked at around the moment.

A signal with a `value` gives that value of each event it hears; one without gives how many it heard in each slice of
time. What a rule can't be evaluated on is left out, as the daemon left it out.
"""

import math
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta

from engine.cel.contract import CelFault
from engine.clock import SECOND_US, to_us
from engine.model import Event, Struct
from engine.operate.reviews import RecordedEvent, Review
from engine.operate.shown import EvidenceView
from engine.rulefile.rules import RuleSet, SignalRule

SLICES = 60
"""Slices of time in which events are counted."""


class Series(Struct, frozen=True):
    """One curve: `threshold` only where it is in the unit of the points; `marks` are the signal's findings."""

    name: str
    what: str
    points: tuple[tuple[datetime, float], ...]
    threshold: float | None = None
    marks: tuple[datetime, ...] = ()


def around(review: Review, rules: RuleSet | None) -> tuple[Series, ...]:
    """A curve for each signal of the evidence, in the order in which they fired; none without recorded events."""
    if review.recorded is None or not review.recorded.events:
        return ()
    evidence: dict[str, list[EvidenceView]] = {}
    for each in review.detail.evidence:
        evidence.setdefault(each.signal, []).append(each)
    found = []
    for name, findings in evidence.items():
        rule = rules.signals.get(name) if rules is not None else None  # type: ignore[call-overload]  # ids are texts
        found.append(_series(name, findings, rule, review.recorded.events))
    return tuple(each for each in found if each.points)


def as_event(recorded: RecordedEvent) -> Event:
    """The event as the core takes it."""
    view = recorded.event
    return Event(
        id=view.id,
        source=view.source,
        type=view.type,
        time_us=to_us(view.time),
        subject=view.subject,
        data=view.data,
        ext=recorded.ext,
    )


def _series(
    name: str, findings: list[EvidenceView], rule: SignalRule | None, recorded: Iterable[RecordedEvent]
) -> Series:
    marks = tuple(each.at for each in findings)
    heard = [each for each in recorded if _hears(rule, findings, each)]
    if rule is not None and rule.value is not None:
        points = tuple((each.event.time, value) for each in heard if (value := _value(rule, each)) is not None)
        return Series(name, rule.value.source, points, _threshold(findings, points), marks)
    return Series(name, "events in each slice of time", _counted(heard), None, marks)


def _hears(rule: SignalRule | None, findings: list[EvidenceView], recorded: RecordedEvent) -> bool:
    """Whether the signal heard the event; without its rule, whether it is of a type that it fired on."""
    if rule is None:
        return recorded.event.type in {each.event.type for each in findings if each.event is not None}
    if not rule.on.match(recorded.event.type):
        return False
    try:
        return rule.where is None or bool(rule.where.of_event(as_event(recorded)))
    except CelFault:
        return False


def _value(rule: SignalRule, recorded: RecordedEvent) -> float | None:
    assert rule.value is not None
    try:
        value = rule.value.of_event(as_event(recorded))
    except CelFault:
        return None
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known else None


def _threshold(findings: list[EvidenceView], points: tuple[tuple[datetime, float], ...]) -> float | None:
    """The threshold, if what was held against it is one of the points: else it is in another unit, as deviations."""
    by_time = dict(points)
    for each in findings:
        seen = by_time.get(each.event.time) if each.event is not None else None
        if seen is not None and each.value is not None and math.isclose(seen, each.value, rel_tol=1e-9):
            return each.threshold
    return None


def _counted(heard: list[RecordedEvent]) -> tuple[tuple[datetime, float], ...]:
    if not heard:
        return ()
    times = [each.event.time for each in heard]
    first, last = min(times), max(times)
    slice_s = max((last - first).total_seconds() / SLICES, 1 / SECOND_US)
    counts = Counter(min(int((each - first).total_seconds() / slice_s), SLICES - 1) for each in times)
    return tuple((first + timedelta(seconds=(place + 0.5) * slice_s), float(counts[place])) for place in range(SLICES))
