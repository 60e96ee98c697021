"""The times in the story of an incident that came about by real rules and events."""

from datetime import UTC, datetime

import msgspec
import pytest

from engine.review.story import after, beginning, tell, was_kept
from tests.support.reviewed import close, miss, reviewed


def test_the_story_is_told_with_the_time_since_it_began(tmp_path):
    """In order, from the first event that any finding names; signals, then what opened, then what was decided."""
    review, _, _ = reviewed(tmp_path)
    lines = tell(review)
    assert [each.at for each in lines] == sorted(each.at for each in lines)
    first = next(each.event for each in review.recorded.events if each.event.id == "e-60-m-1")
    assert beginning(review) == first.time, "the first of the three errors, not the one that completed them"
    kinds = [each.kind for each in lines]
    assert kinds.index("signal") < kinds.index("opened")
    assert any(each.kind == "signal" and "errors: 3 events within 1m" in each.text for each in lines)
    assert any(each.kind == "decided" and "haproxy.drain" in each.text for each in lines)
    assert all(each.after.startswith("+") for each in lines)


def test_who_did_something_is_named(tmp_path):
    """A person who closed it."""
    review, _, _ = reviewed(tmp_path, move=close("resolved"))
    assert any(each.kind == "closed" and each.text.startswith("by ann: as resolved") for each in tell(review))


def test_a_deadline_is_kept_missed_or_open(tmp_path):
    """Missed by the word of the store; met in time; neither."""
    (missed,) = reviewed(tmp_path, move=miss)[0].detail.deadlines
    assert was_kept(missed) is False
    at = missed.due
    assert was_kept(msgspec.structs.replace(missed, missed=None, met=at)) is True
    assert was_kept(msgspec.structs.replace(missed, missed=None, met=None)) is None


@pytest.mark.parametrize(
    ("micros", "text"), [(0, "+0s"), (1_500, "+1ms"), (90_000_000, "+1m30s"), (61_234_567, "+1m1s"), (-5_000, "-5ms")]
)
def test_times_are_told_as_exactly_as_they_matter(micros, text):
    """Milliseconds within the first minute, seconds after it."""
    began = datetime(2026, 1, 1, tzinfo=UTC)
    assert after(began, datetime.fromtimestamp(began.timestamp() + micros / 1e6, tz=UTC)) == text
