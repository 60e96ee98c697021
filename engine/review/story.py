"""The times of a review: when it began, how long after that each line of its story was, which deadlines were kept."""

from datetime import datetime

from engine.clock import SECOND_US, format_duration
from engine.model import Struct
from engine.operate.reviews import Review
from engine.operate.shown import DeadlineView


class Line(Struct, frozen=True):
    """One line of the story: when, how long after the incident's first event, what kind of thing, and what."""

    at: datetime
    after: str
    kind: str
    text: str


def tell(review: Review) -> tuple[Line, ...]:
    """The story of `halon incidents show`, with the time since the beginning and who did it in each line."""
    began = beginning(review)
    return tuple(
        Line(
            at=each.at,
            after=after(began, each.at),
            kind=each.kind,
            text=": ".join(part for part in (f"by {each.who}" if each.who else "", each.text) if part),
        )
        for each in review.detail.story
    )


def was_kept(deadline: DeadlineView) -> bool | None:
    """Whether a deadline was kept; None while it may still be."""
    if deadline.missed is not None:
        return False
    return None if deadline.met is None else deadline.met <= deadline.due


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
