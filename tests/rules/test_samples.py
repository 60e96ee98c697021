"""Samples of real producers' formats through the shipped rules: no fault, and what is amiss in them is found."""

import pytest

from engine.replay import Replay
from tests.support.samples import SAMPLES, converted
from tests.support.shipped import shipped_rules

FOUND = {
    "alertmanager": ("availability", "endpoint-failing", "medium", {"endpoint": "chat"}),
    "dcgm": ("performance-anomaly", "accelerator-faulty", "high", {"host": "gpu-3"}),
    "sagemaker-monitor": ("model-drift", "drift-seen", "low", {"model": "fraud"}),
    "sagemaker-monitor-bias": ("fairness", "favour-unequal", "medium", {"model": "loans"}),
}
"""The incident on the sample alone: type, rule, severity, key. On the others there is none: MLflow does not say who did
it, an audit record or an alert of the sensor is evidence beside others."""


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_makes_the_incident_that_it_should_and_no_fault(sample):
    """What the producers make of real messages is what the rules can read."""
    lines = [each.fields for each in Replay(shipped_rules(), converted(sample).events).lines()]
    assert [each for each in lines if each["kind"] == "fault"] == []
    opened = [
        (each["incident"], each["rule"], each["severity"], each["key"]) for each in lines if each["kind"] == "incident"
    ]
    assert opened == ([FOUND[sample]] if sample in FOUND else [])
