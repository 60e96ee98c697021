"""Samples of real producers' formats through the shipped rules: no fault, and what is amiss in them is found."""

import pytest

from engine.replay import Replay
from tests.support.samples import SAMPLES, converted
from tests.support.shipped import shipped_rules

FOUND = {
    "alertmanager": {"endpoint-failing"},
    "dcgm": {"accelerator-faulty"},
    "sagemaker-monitor": {"drift-seen"},
    "sagemaker-monitor-bias": {"favour-unequal"},
}
"""The rules that open an incident on the sample alone; on the others none does."""


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_makes_the_incidents_that_it_should_and_no_fault(sample):
    """What the producers make of real messages is what the rules can read."""
    lines = list(Replay(shipped_rules(), converted(sample).events).lines())
    assert [each.fields for each in lines if each.kind == "fault"] == []
    assert {each.fields["rule"] for each in lines if each.kind == "incident"} == FOUND.get(sample, set())


def test_a_fault_of_a_device_names_the_node_that_takes_no_more_work():
    """From an exporter's line to a step that can be taken: the target is in the message."""
    [cordon] = [
        each.fields for each in Replay(shipped_rules(), converted("dcgm").events).lines() if each.kind == "intent"
    ]
    assert (cordon["action"], cordon["verdict"]) == ("kubernetes.cordon", "enforce")
    assert cordon["params"]["node"]
