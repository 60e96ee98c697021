"""engine.intake.producers.sagemaker_monitor: what operators rely on beyond the samples."""

import json

import pytest

from tests.support.samples import converted


def violations(*found, **beside):
    return converted("sagemaker-monitor", body=json.dumps({"violations": list(found), **beside}).encode())


@pytest.mark.parametrize(
    ("violation", "name", "value", "limit"),
    [
        (
            {
                "metric_name": "recall",
                "constraint_check_type": "LessThanThreshold",
                "description": "Metric recall with 0.5 was LessThanThreshold 0.6",
            },
            "recall",
            0.5,
            0.6,
        ),
        (
            {
                "metric_name": "rmse",
                "constraint_check_type": "GreaterThanThreshold",
                "description": "Metric rmse with 1.2e1 +/- 3.0 was GreaterThanThreshold '8'",
            },
            "rmse",
            12.0,
            8.0,
        ),
        ({"feature_name": "a", "constraint_check_type": "missing_column_check"}, "drift", None, None),
        ({"feature_name": "a", "constraint_check_type": "x", "description": "in other words"}, "drift", None, None),
    ],
)
def test_figures_are_read_where_the_description_has_them(violation, name, value, limit):
    """And left out where it is worded in another way; that it is violated is known all the same."""
    [event] = violations(violation).events
    assert (event.data["name"], event.data.get("value"), event.data.get("limit")) == (name, value, limit)
    assert event.data["violated"] is True


def test_the_file_may_be_sent_as_it_is():
    """Without an endpoint the event has no subject; none violated is no event, and not wrong."""
    [event] = violations({"feature_name": "a", "constraint_check_type": "extra_column_check"}).events
    assert event.subject is None
    nothing = violations()
    assert (nothing.events, nothing.malformed) == ([], [])


def test_two_runs_that_find_the_same_are_two_events_if_they_say_when():
    """`time` tells them apart."""
    found = {"feature_name": "a", "constraint_check_type": "extra_column_check"}
    [first] = violations(found, time="2026-03-02T12:00:00Z").events
    [second] = violations(found, time="2026-03-02T13:00:00Z").events
    assert first.id != second.id
