"""What the signals looked at around the moment, from recorded events and real rules."""

import msgspec

from engine.review.series import around
from tests.support.reviewed import reviewed


def test_a_signal_with_a_value_gives_the_values_that_it_heard(tmp_path):
    """Five slow requests of 65, with the threshold where it is in their unit; none of another model."""
    review, rules, _ = reviewed(tmp_path)
    slow = next(each for each in around(review, rules) if each.name == "slow")
    assert [value for _, value in slow.points] == [900.0, 901.0, 902.0, 903.0, 950.0]
    assert slow.what == "event.data.latency_ms"
    assert slow.marks
    assert slow.threshold is None  # the mean is held against it, and none of the points is the mean


def test_a_signal_without_a_value_is_counted_in_slices_of_time(tmp_path):
    """Four errors in all, wherever they fall."""
    review, rules, _ = reviewed(tmp_path)
    errors = next(each for each in around(review, rules) if each.name == "errors")
    assert sum(value for _, value in errors.points) == 4
    assert len(errors.points) == 60


def test_without_the_rules_events_of_the_same_type_are_counted(tmp_path):
    """Rules that do not load any more take no picture away."""
    review, _, _ = reviewed(tmp_path)
    assert {sum(value for _, value in each.points) for each in around(review, None)} == {65.0}


def test_the_threshold_is_drawn_where_it_is_in_the_unit_of_the_points(tmp_path):
    """`threshold` compares the value itself."""
    rules = """
[signal.slow]
on     = "inference.request"
by     = { model = "event.subject" }
value  = "event.data.latency_ms"
detect = { method = "threshold", above = 500 }
[rule.r]
incident = "performance-anomaly"
severity = "low"
when     = { any = ["slow"] }
"""
    review, loaded, _ = reviewed(tmp_path, rules=rules)
    (slow,) = around(review, loaded)
    assert (slow.threshold, len(slow.points)) == (500.0, 65)


def test_nothing_recorded_nothing_drawn(tmp_path):
    """No curve is made up."""
    review, rules, _ = reviewed(tmp_path)
    assert around(msgspec.structs.replace(review, recorded=None), rules) == ()
