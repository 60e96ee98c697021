"""engine.intake.producers.kubernetes: objects to targets."""

import pytest

from engine.intake.producers.kubernetes import subject, targets


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("jobs", {"k8s_job": "x", "k8s_job_kind": "Job"}),
        ("PyTorchJob", {"k8s_job": "x", "k8s_job_kind": "PyTorchJob"}),
        ("trainjobs", {"k8s_job": "x", "k8s_job_kind": "TrainJob"}),
        ("deployments", {"workload": "x", "workload_kind": "Deployment"}),
        ("StatefulSet", {"workload": "x", "workload_kind": "StatefulSet"}),
        ("nodes", {"node": "x"}),
        ("pods", {}),
        (None, {}),
    ],
)
def test_what_can_be_acted_on_is_named_as_playbooks_name_it(kind, found):
    """Kinds and resources alike; anything else is no target."""
    assert targets(kind, "x") == found


def test_a_subject_has_the_parts_that_are_known():
    """Cluster-wide objects have no namespace, a list has no name."""
    assert subject("a", "pods", "b") == "a/pods/b"
    assert subject(None, "Node", "gpu-3") == "Node/gpu-3"
    assert subject(None, None, None) is None
