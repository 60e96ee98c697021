"""engine.intake.producers.kubernetes: objects to targets."""

import pytest

from engine.intake.producers.kubernetes import endpoint, subject, targets


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


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ({"app": "a", "halon.endpoint": "b"}, "b"),
        ({"app": "a", "serving.kserve.io/inferenceservice": "c"}, "c"),
        ({"k8s-app": "", "app": "a\x00"}, "a"),
        ({"pod-template-hash": "x"}, None),
    ],
)
def test_the_endpoint_of_a_pod_stands_in_its_labels(labels, found):
    """The operator's own label first, then what serving and packaging put there."""
    assert endpoint(labels) == found


def test_a_subject_has_the_parts_that_are_known():
    """Cluster-wide objects have no namespace, a list has no name."""
    assert subject("a", "pods", "b") == "a/pods/b"
    assert subject(None, "Node", "gpu-3") == "Node/gpu-3"
    assert subject(None, None, None) is None
