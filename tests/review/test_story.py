"""The story of an incident that came about by real rules and events."""

from datetime import UTC, datetime

import pytest

from engine.review.story import after, beginning, tell
from tests.support.reviewed import miss, reviewed


def test_a_story_is_told_in_order_from_the_first_event(tmp_path):
    """Signals with their figures, then the incident, then what was decided; each with the time since it began."""
    review, _, _ = reviewed(tmp_path)
    lines = tell(review)
    assert [each.at for each in lines] == sorted(each.at for each in lines)
    first = next(each.event for each in review.recorded.events if each.event.id == "e-60-m-1")
    assert beginning(review) == first.time, "the first of the three errors, not the one that completed them"
    texts = [f"{each.kind}: {each.text}" for each in lines]
    assert any(text.startswith("signal: slow:") and "against 500" in text and "from gateway" in text for text in texts)
    assert any(text.startswith("signal: errors:") for text in texts)
    assert "step: contain.0 haproxy.drain decided (enforce)" in texts
    assert texts.index(next(t for t in texts if t.startswith("incident: open"))) > 0


def test_what_repeats_is_told_a_few_times_and_counted(tmp_path):
    """Three of a signal in full; the rest in one line."""
    review, _, _ = reviewed(tmp_path)
    told = [each for each in tell(review) if each.kind == "signal"]
    assert len([each for each in told if each.text.startswith("slow:")]) <= 3


def test_who_was_told_is_part_of_the_story(tmp_path):
    """A notice that did not arrive says so."""
    review, _, _ = reviewed(tmp_path, move=miss)
    assert any("pager: contain missed (failed, 401)" in each.text for each in tell(review))


@pytest.mark.parametrize(
    ("micros", "text"), [(0, "+0s"), (1_500, "+1ms"), (90_000_000, "+1m30s"), (61_234_567, "+1m1s"), (-5_000, "-5ms")]
)
def test_times_are_told_as_exactly_as_they_matter(micros, text):
    """Milliseconds within the first minute, seconds after it."""
    began = datetime(2026, 1, 1, tzinfo=UTC)
    assert after(began, datetime.fromtimestamp(began.timestamp() + micros / 1e6, tz=UTC)) == text
