"""What Kubernetes says of an object, as the fields by which a playbook can act on it."""

from engine.intake.producers.reading import known, printable
from engine.model import Json

JOBS = {"job": "Job", "trainjob": "TrainJob", "pytorchjob": "PyTorchJob"}
WORKLOADS = {"deployment": "Deployment", "statefulset": "StatefulSet"}


ENDPOINT_LABELS = ("halon.endpoint", "serving.kserve.io/inferenceservice", "app.kubernetes.io/name", "app", "k8s-app")
"""Labels of a pod that name what it serves, the most exact first."""


def endpoint(labels: dict[str, str]) -> str | None:
    """The endpoint that a pod with these labels serves."""
    return next((printable(labels[each]) for each in ENDPOINT_LABELS if labels.get(each)), None)


def targets(kind: str | None, name: str | None) -> dict[str, Json]:
    """`Job` or `jobs` and a name to `k8s_job` and `k8s_job_kind`, and so on; nothing for what can't be acted on."""
    word = (kind or "").lower()
    word = word if word in {*JOBS, *WORKLOADS, "node"} else word.removesuffix("s")
    if word in JOBS:
        return known(k8s_job=name, k8s_job_kind=JOBS[word])
    if word in WORKLOADS:
        return known(workload=name, workload_kind=WORKLOADS[word])
    return known(node=name) if word == "node" else {}


def subject(namespace: str | None, kind: str | None, name: str | None) -> str | None:
    """`NAMESPACE/KIND/NAME`, as far as they are known."""
    return "/".join(each for each in (namespace, kind, name) if each) or None
